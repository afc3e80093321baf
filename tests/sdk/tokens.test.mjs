/** What a connection token can say beyond who the user is. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { SECRET, useServer } from "./lib/server.mjs";
import { connect, inEveryEncoding, newClient, subscribe } from "./lib/sdk.mjs";
import { openRaw } from "./lib/raw.mjs";
import { hs256, secondsFromNow } from "./lib/token.mjs";

const INVALID = { code: 3500, reason: "invalid token" };

describe("claims", () => {
  const server = useServer({
    channel: { namespaces: [{ name: "open", allow_subscribe_for_client: true, allow_publish_for_client: true }, { name: "closed" }, { name: "kept", presence: true, history_size: 10, history_ttl: "60s" }] },
  });

  inEveryEncoding((wire) => {
    test("channels of the token are subscribed from the start", async (t) => {
      const client = newClient(t, wire, server, { token: server.token({ sub: "42", channels: ["closed:a", "closed:b"] }) });
      client.connect();
      const channels = [(await client.events.next("subscribed")).channel, (await client.events.next("subscribed")).channel];
      assert.deepEqual(channels.sort(), ["closed:a", "closed:b"]);
      await server.api("publish", { channel: "closed:b", data: { n: 1 } });
      const publication = await client.events.next("publication");
      assert.equal(publication.channel, "closed:b");
      assert.deepEqual(wire.fromPayload(publication.data), { n: 1 });
    });

    test("subscriptions of the token bring data, and come back after a reconnect", async (t) => {
      const user = crypto.randomUUID();
      const subs = { "closed:c": { data: { welcome: true } } };
      const client = newClient(t, wire, server, { token: server.token({ sub: user, subs }) });
      client.connect();
      assert.deepEqual(wire.fromPayload((await client.events.next("subscribed")).data), { welcome: true });
      await server.api("disconnect", { user, disconnect: { code: 4000, reason: "again" } });
      assert.equal((await client.events.next("subscribing")).channel, "closed:c");
      assert.equal((await client.events.next("subscribed")).channel, "closed:c");
    });

    test("what a token overrides holds for its subscriptions, the client's own and the server's", async (t) => {
      const on = { value: true };
      const override = { force_recovery: on, force_positioning: on };
      const channel = `kept:${crypto.randomUUID()}`;
      await server.api("publish", { channel, data: 1 });
      const own = await connect(t, wire, server, { user: "own" });
      const token = server.token({ sub: "own", channel, override });
      const subscription = await subscribe(own, channel, { token });
      const { context } = subscription.events.all.find(({ name }) => name === "subscribed");
      assert.deepEqual([context.recoverable, context.positioned], [true, true]);
      const given = newClient(t, wire, server, { token: server.token({ sub: "given", subs: { [channel]: { override } } }) });
      given.connect();
      const subscribed = await given.events.next("subscribed");
      assert.deepEqual([subscribed.recoverable, subscribed.positioned], [true, true]);
      const plain = newClient(t, wire, server, { token: server.token({ sub: "plain", subs: { [channel]: { override: { presence: { value: false } } } } }) });
      plain.connect();
      assert.equal((await plain.events.next("subscribed")).recoverable, false);
      const { presence } = await server.api("presence", { channel });
      assert.deepEqual(Object.values(presence).map(({ user }) => user).sort(), ["given", "own"]);
    });

    test("a channel in a namespace that does not exist gets error 102", async (t) => {
      const raw = await openRaw(t, server, wire);
      const reply = await raw.call({ connect: { token: server.token({ sub: "42", channels: ["nowhere:a"] }) } });
      assert.equal(reply.error.code, 102);
    });

    test("info is shown to those who read what the user publishes", async (t) => {
      const reader = await connect(t, wire, server, { user: "reader" });
      const subscription = await subscribe(reader, "open:info");
      const token = server.token({ sub: "writer", info: { name: "Ада", level: 7 } });
      const writer = await connect(t, wire, server, { token });
      await writer.publish("open:info", wire.toPayload(1));
      const { info } = await subscription.events.next("publication");
      assert.equal(info.user, "writer");
      assert.deepEqual(wire.fromPayload(info.connInfo), { name: "Ада", level: 7 });
    });
  });

  for (const algorithm of ["HS256", "HS384", "HS512"]) {
    test(`${algorithm} is accepted`, async (t) => {
      const raw = await openRaw(t, server);
      const reply = await raw.call({ connect: { token: hs256(SECRET, { sub: "42" }, { alg: algorithm, typ: "JWT" }) } });
      assert.ok(reply.connect, JSON.stringify(reply));
    });
  }

  for (const [name, header] of Object.entries({
    "an algorithm nobody knows": { alg: "HS257" },
    "an algorithm of another family": { alg: "RS256" },
    "no algorithm": { typ: "JWT" },
  })) {
    test(`a token with ${name} ends in 3500`, async (t) => {
      const raw = await openRaw(t, server);
      raw.send({ id: 1, connect: { token: hs256(SECRET, { sub: "42" }, header) } });
      assert.deepEqual(await raw.closed(), INVALID);
    });
  }
});

describe("token settings", () => {
  const previous = "the secret before, also of at least 32 bytes";
  const server = useServer({
    client: {
      token: {
        user_id_claim: "account",
        audience: "chat",
        issuer_regex: "^https://(?:eu|us)\\.example\\.com$",
        hmac_previous_secret_key: previous,
        hmac_previous_secret_key_valid_until: secondsFromNow(3600),
      },
    },
    channel: { without_namespace: { allow_subscribe_for_client: true, allow_publish_for_client: true } },
  });
  const claims = { account: "42", aud: ["mail", "chat"], iss: "https://eu.example.com" };

  test("a token that meets them is accepted, and the user is the configured claim", async (t) => {
    const raw = await openRaw(t, server);
    assert.ok((await raw.call({ connect: { token: server.token({ ...claims, sub: "not me" }) } })).connect);
    await raw.call({ subscribe: { channel: "a" } });
    raw.send({ id: 9, publish: { channel: "a", data: 1 } });
    assert.equal((await raw.push()).pub.info.user, "42");
  });

  test("a token signed with the previous key is still accepted", async (t) => {
    const raw = await openRaw(t, server);
    assert.ok((await raw.call({ connect: { token: hs256(previous, claims) } })).connect);
  });

  for (const [name, wrong] of Object.entries({
    "another audience": { aud: "mail" },
    "no audience": { aud: undefined },
    "another issuer": { iss: "https://eu.example.com.evil.org" },
    "no issuer": { iss: undefined },
  })) {
    test(`a token with ${name} ends in 3500`, async (t) => {
      const raw = await openRaw(t, server);
      raw.send({ id: 1, connect: { token: server.token({ ...claims, ...wrong }) } });
      assert.deepEqual(await raw.closed(), INVALID);
    });
  }
});
