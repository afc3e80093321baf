/**
 * Who may do what: subscription tokens and their end (SUBT-10..16, LIFE-02, LIFE-04), the codes of token errors (HID-52), the permission ladders
 * (PERM-01..05), capabilities, expressions and channel patterns (PRO-40..43).
 */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { SECRET, useServer } from "./lib/server.mjs";
import { beginSubscription, connect, inEveryEncoding, newClient, nextValue, subscribe } from "./lib/sdk.mjs";
import { openRaw } from "./lib/raw.mjs";
import { hs256, secondsFromNow } from "./lib/token.mjs";

const OTHER_SECRET = "another secret, also of at least 32 bytes long";

describe("tokens that run out", () => {
  const server = useServer({
    client: { expired_close_delay: "1s", expired_sub_close_delay: "1s", subscription_token: { enabled: true, hmac_secret_key: OTHER_SECRET } },
    channel: { without_namespace: {} },
  });
  const subToken = (claims) => hs256(OTHER_SECRET, claims);

  inEveryEncoding((wire) => {
    test("a subscription whose token is refreshed goes on", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      const asked = [];
      const getToken = async ({ channel }) => {
        asked.push(channel);
        return subToken({ sub: "42", channel, exp: secondsFromNow(asked.length === 1 ? 2 : 600) });
      };
      const subscription = await subscribe(client, "$news", { getToken });
      await new Promise((resolve) => setTimeout(resolve, 4_000));
      assert.deepEqual(asked, ["$news", "$news"]);
      await server.api("publish", { channel: "$news", data: { n: 1 } });
      assert.deepEqual(await nextValue(wire, subscription), { n: 1 });
      assert.equal(subscription.events.count("subscribing"), 1, "it was never lost");
    });

    test("a subscription whose token is not refreshed ends with 2501", async (t) => {
      const raw = await openRaw(t, server, wire);
      await raw.connect(server, "42");
      const { subscribe: result } = await raw.call({ subscribe: { channel: "$news", token: subToken({ sub: "42", channel: "$news", exp: secondsFromNow(2) }) } });
      assert.ok(result.expires && result.ttl >= 1 && result.ttl <= 2, JSON.stringify(result));
      const { channel, unsubscribe } = await raw.push();
      assert.deepEqual({ channel, code: unsubscribe.code, reason: unsubscribe.reason }, { channel: "$news", code: 2501, reason: "subscription expired" });
    });

    test("a connection whose token is not refreshed ends with 3005", async (t) => {
      const raw = await openRaw(t, server, wire);
      const { connect: result } = await raw.call({ connect: { token: server.token({ sub: "42", exp: secondsFromNow(2) }) } });
      assert.ok(result.expires && result.ttl >= 1, JSON.stringify(result));
      assert.deepEqual(await raw.closed(), { code: 3005, reason: "connection expired" });
    });

    for (const [name, token, expected] of [
      ["of another key", (channel) => hs256(SECRET, { sub: "42", channel }), { error: 103 }],
      ["that is none", () => "x.y.z", { error: 103 }],
      ["that ran out", (channel) => subToken({ sub: "42", channel, exp: secondsFromNow(-10) }), { error: 109 }],
      ["whose time has not come", (channel) => subToken({ sub: "42", channel, nbf: secondsFromNow(600) }), { error: 109 }],
      ["for another channel", () => subToken({ sub: "42", channel: "$other" }), { close: 3500 }],
      ["for another user", (channel) => subToken({ sub: "43", channel }), { close: 3500 }],
      ["for another connection", (channel) => subToken({ sub: "42", channel, client: crypto.randomUUID() }), { close: 3500 }],
    ]) {
      test(`a subscription token ${name} gets ${JSON.stringify(expected)}`, async (t) => {
        const raw = await openRaw(t, server, wire);
        await raw.connect(server, "42");
        raw.send({ id: 7, subscribe: { channel: "$news", token: token("$news") } });
        if (expected.close) {
          assert.deepEqual(await raw.closed(), { code: expected.close, reason: "invalid token" });
        } else {
          const { error } = await raw.events.next("reply", ({ id }) => id === 7);
          assert.equal(error.code, expected.error);
        }
      });
    }

    test("a refresh of a subscription by an expired token gets error 110, by a wrong one 3500", async (t) => {
      const raw = await openRaw(t, server, wire);
      await raw.connect(server, "42");
      const good = { sub: "42", channel: "$news" };
      await raw.call({ subscribe: { channel: "$news", token: subToken({ ...good, exp: secondsFromNow(600) }) } });
      const { error } = await raw.call({ sub_refresh: { channel: "$news", token: subToken({ ...good, exp: secondsFromNow(-10) }) } });
      assert.equal(error.code, 110);
      raw.send({ id: 9, sub_refresh: { channel: "$news", token: hs256(SECRET, good) } });
      assert.deepEqual(await raw.closed(), { code: 3500, reason: "invalid token" });
    });
  });
});

/** Which of a namespace's options let whom do what: for users, for subscribers, and with each for the anonymous. */
const LADDER = [
  { name: "none" },
  { name: "client", forClient: true },
  { name: "anonymous", forAnonymous: true },
  { name: "client-anonymous", forClient: true, forAnonymous: true },
  { name: "subscriber", forSubscriber: true },
  { name: "subscriber-anonymous", forSubscriber: true, forAnonymous: true },
];

describe("permission ladders", () => {
  const server = useServer({
    client: { allow_anonymous_connect_without_token: true },
    channel: {
      namespaces: LADDER.map(({ name, forClient = false, forSubscriber = false, forAnonymous = false }) => ({
        name,
        presence: true,
        history_size: 1,
        history_ttl: "60s",
        allow_subscribe_for_client: forClient,
        allow_subscribe_for_anonymous: forAnonymous,
        ...Object.fromEntries(
          ["publish", "presence", "history"].flatMap((what) => [
            [`allow_${what}_for_client`, forClient],
            [`allow_${what}_for_subscriber`, forSubscriber],
            [`allow_${what}_for_anonymous`, forAnonymous],
          ]),
        ),
      })),
    },
  });
  const verdict = (reply) => reply.error?.code ?? "allowed";

  for (const { name, forClient = false, forSubscriber = false, forAnonymous = false } of LADDER) {
    for (const user of ["42", undefined]) {
      for (const subscribed of [false, true]) {
        test(`${name}: ${user ? "a user" : "nobody"}, ${subscribed ? "subscribed" : "not subscribed"}`, async (t) => {
          const channel = `${name}:${crypto.randomUUID()}`;
          // Who may not subscribe is subscribed by the token's claim, or does without.
          const subs = subscribed ? { [channel]: {} } : undefined;
          const raw = await openRaw(t, server);
          const token = user || subscribed ? server.token({ sub: user, subs }) : "";
          assert.ok((await raw.call({ connect: { token } })).connect);
          const known = user !== undefined || forAnonymous;
          const expected = (allowed) => (allowed ? "allowed" : 103);
          const may = known && (forClient || (forSubscriber && subscribed));
          assert.equal(verdict(await raw.call({ publish: { channel, data: 1 } })), expected(may), "publish");
          assert.equal(verdict(await raw.call({ presence: { channel } })), expected(may), "presence");
          assert.equal(verdict(await raw.call({ presence_stats: { channel } })), expected(may), "presence_stats");
          assert.equal(verdict(await raw.call({ history: { channel, limit: 1 } })), expected(may), "history");
          const other = `${name}:${crypto.randomUUID()}`;
          assert.equal(verdict(await raw.call({ subscribe: { channel: other } })), expected(known && forClient), "subscribe");
          const { allowed, rules } = await server.api("explain", { channel, user, action: "publish", subscribed });
          assert.equal(allowed, may, `explain says the same: ${JSON.stringify(rules)}`);
        });
      }
    }
  }
});

describe("capabilities, expressions and patterns", () => {
  const server = useServer({
    client: { token: { meta_from_claim: [{ key: "roles", value: "realm.roles" }], labels_from_claim: [{ key: "tier", value: "plan.tier" }] } },
    channel: {
      patterns: true,
      namespaces: [
        { name: "closed" },
        { name: "users", pattern: "/users/:user", subscribe_cel: "vars.user == user || 'admin' in meta.roles", publish_cel: "subscribed && labels.tier == 'pro'" },
      ],
    },
  });

  inEveryEncoding((wire) => {
    test("a token may allow channels by name, wildcard and expression", async (t) => {
      const caps = [
        { channels: ["closed:a"], allow: ["sub", "pub"] },
        { channels: ["closed:w-*"], match: "wildcard", allow: ["sub"] },
        { channels: ["^closed:[0-9]+$"], match: "regex", allow: ["sub"] },
      ];
      const client = await connect(t, wire, server, { token: server.token({ sub: "42", caps }) });
      for (const channel of ["closed:a", "closed:w-7", "closed:123"]) await subscribe(client, channel);
      await client.publish("closed:a", wire.toPayload(1));
      await assert.rejects(client.publish("closed:w-7", wire.toPayload(1)), { code: 103 });
      const refused = beginSubscription(client, "closed:b");
      assert.equal((await refused.events.next("unsubscribed")).code, 103);
    });

    test("capabilities that a refresh takes away end the subscriptions that they gave", async (t) => {
      const caps = (...channels) => [{ channels, allow: ["sub"] }];
      let first = true;
      const getToken = async () => {
        const claims = { sub: "42", caps: first ? caps("closed:a", "closed:b") : caps("closed:a"), exp: secondsFromNow(first ? 2 : 600) };
        first = false;
        return server.token(claims);
      };
      const client = newClient(t, wire, server, { getToken });
      client.connect();
      await client.events.next("connected");
      const [kept, lost] = [await subscribe(client, "closed:a"), await subscribe(client, "closed:b")];
      assert.equal((await lost.events.next("unsubscribed")).code, 2000);
      await server.api("publish", { channel: "closed:a", data: 7 });
      assert.equal(await nextValue(wire, kept), 7);
    });

    test("a subscription token may allow more than to subscribe", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      const token = server.token({ sub: "42", channel: "closed:c", allow: ["pub"] });
      const subscription = await subscribe(client, "closed:c", { token });
      await subscription.publish(wire.toPayload({ n: 1 }));
      assert.deepEqual(await nextValue(wire, subscription), { n: 1 });
      await assert.rejects(client.publish("closed:d", wire.toPayload(1)), { code: 103 });
    });

    test("expressions see user, meta, labels and the variables of the pattern", async (t) => {
      const anna = await connect(t, wire, server, { token: server.token({ sub: "anna", plan: { tier: "pro" } }) });
      const own = await subscribe(anna, "/users/anna");
      await own.publish(wire.toPayload("mine"));
      assert.equal(await nextValue(wire, own), "mine");
      assert.equal((await beginSubscription(anna, "/users/ben").events.next("unsubscribed")).code, 103);
      assert.equal((await beginSubscription(anna, "/users/anna/more").events.next("unsubscribed")).code, 102);
      const admin = await connect(t, wire, server, { token: server.token({ sub: "root", realm: { roles: ["admin"] } }) });
      await subscribe(admin, "/users/anna");
      await assert.rejects(admin.publish("/users/anna", wire.toPayload(1)), { code: 103 });
    });
  });
});
