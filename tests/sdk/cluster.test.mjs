/** Two servers on one Redis: ENG-01, ENG-02, ENG-03, ENG-06, CTL-03, CTL-05, EMU-09, NET-11, PRO-36, RED-17. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { Server } from "./lib/server.mjs";
import { JSON_WIRE, connect, inEveryEncoding, newClient, nextValue, overEveryHttpTransport, subscribe } from "./lib/sdk.mjs";
import { missing, useRedis, useServersOn } from "./lib/redis.mjs";
import { PATIENCE, until } from "./lib/wait.mjs";

const open = { allow_subscribe_for_client: true, allow_publish_for_client: true };
const CHANNELS = {
  namespaces: [
    { name: "open", ...open },
    { name: "closed" },
    { name: "kept", ...open, history_size: 100, history_ttl: "60s", force_recovery: true, allow_history_for_client: true },
    { name: "seen", ...open, presence: true, join_leave: true, force_push_join_leave: true, allow_presence_for_subscriber: true },
  ],
};

/** Both on the same Redis. */
const useServers = (redis, config = (address) => ({ engine: { type: "redis", redis: { address } } })) =>
  useServersOn(redis, (address) => ({ channel: CHANNELS, http_stream: { enabled: true }, sse: { enabled: true }, ...config(address) }));

const fresh = (namespace) => `${namespace}:${crypto.randomUUID()}`;

const acquainted = (one, two) =>
  until("the servers to know each other", PATIENCE, async () => {
    const { nodes } = await one.api("info");
    const { nodes: others } = await two.api("info");
    return nodes.length === 2 && others.length === 2;
  });

describe("two servers on one Redis", { skip: missing }, () => {
  const redis = useRedis();
  const [one, two] = useServers(redis);

  test("each knows of the other", async () => {
    await acquainted(one, two);
    const { nodes } = await one.api("info");
    assert.deepEqual(nodes.map(({ name }) => name).sort(), ["one", "two"]);
  });

  inEveryEncoding((wire) => {
    test("what is published at one arrives at the other, in one order", async (t) => {
      const channel = fresh("open");
      const ann = await connect(t, wire, one, { user: "ann" });
      const bob = await connect(t, wire, two, { user: "bob" });
      const [hers, his] = [await subscribe(ann, channel), await subscribe(bob, channel)];
      for (let n = 0; n < 20; n += 1) await (n % 2 ? one : two).api("publish", { channel, data: { n } });
      await ann.publish(channel, wire.toPayload({ n: 20 }));
      for (let n = 0; n <= 20; n += 1) {
        assert.deepEqual([await nextValue(wire, hers), await nextValue(wire, his)], [{ n }, { n }]);
      }
    });

    test("what was missed at one is recovered at the other", async (t) => {
      const channel = fresh("kept");
      const client = await connect(t, wire, one, { user: "ann" });
      const subscription = await subscribe(client, channel);
      await two.api("publish", { channel, data: { n: 1 } });
      assert.deepEqual(await nextValue(wire, subscription), { n: 1 });
      const { offset, epoch } = await two.api("history", { channel, limit: 0 });
      client.disconnect();
      for (const n of [2, 3]) await two.api("publish", { channel, data: { n } });
      const elsewhere = await connect(t, wire, two, { user: "ann" });
      const recovered = await subscribe(elsewhere, channel, { since: { offset, epoch } });
      assert.deepEqual([await nextValue(wire, recovered), await nextValue(wire, recovered)], [{ n: 2 }, { n: 3 }]);
      const { publications } = await recovered.history({ limit: 10 });
      assert.deepEqual(publications.map(({ data }) => wire.fromPayload(data).n), [1, 2, 3]);
    });

    test("who is there, who comes and who goes is known to both", async (t) => {
      const channel = fresh("seen");
      const ann = await connect(t, wire, one, { user: "ann" });
      const seen = await subscribe(ann, channel);
      assert.equal((await seen.events.next("join")).info.user, "ann");
      const bob = await connect(t, wire, two, { user: "bob" });
      await subscribe(bob, channel);
      assert.equal((await seen.events.next("join")).info.client, bob.id);
      assert.deepEqual(Object.keys((await seen.presence()).clients).sort(), [ann.id, bob.id].sort());
      assert.deepEqual(await two.api("presence_stats", { channel }), { num_clients: 2, num_users: 2 });
      bob.disconnect();
      assert.equal((await seen.events.next("leave")).info.client, bob.id);
      assert.deepEqual(await one.api("presence_stats", { channel }), { num_clients: 1, num_users: 1 });
    });

    test("commands at one reach connections of the other", async (t) => {
      await acquainted(one, two);
      const channel = fresh("open");
      const user = crypto.randomUUID();
      const client = await connect(t, wire, two, { user });
      await one.api("subscribe", { user, channel });
      assert.equal((await client.events.next("subscribed")).channel, channel);
      await one.api("publish", { channel, data: { n: 1 } });
      assert.deepEqual(wire.fromPayload((await client.events.next("publication")).data), { n: 1 });
      await one.api("unsubscribe", { user, channel });
      assert.equal((await client.events.next("unsubscribed")).channel, channel);
      await one.api("disconnect", { user });
      assert.equal((await client.events.next("disconnected")).code, 3503);
    });
  });

  overEveryHttpTransport((wire) => {
    test("older tokens for a channel end their subscriptions at both, and newer ones are fetched", async (t) => {
      const [user, channel] = [crypto.randomUUID(), fresh("closed")];
      const issued = (server, sub, iat, of = channel) => server.token({ sub, channel: of, iat });
      const other = fresh("closed");
      const subscribed = [];
      for (const server of [one, two]) {
        const client = await connect(t, wire, server, { user });
        const getToken = async () => issued(server, user, 200);
        const hers = await subscribe(client, channel, { token: issued(server, user, 100), getToken });
        const elsewhere = await subscribe(client, other, { token: issued(server, user, 100, other) });
        const stranger = await connect(t, wire, server, { user: `not ${user}` });
        const his = await subscribe(stranger, channel, { token: issued(server, `not ${user}`, 100) });
        subscribed.push({ hers, others: [elsewhere, his] });
      }
      await one.api("invalidate_user_tokens", { user, channel, issued_before: 150 });
      for (const { hers } of subscribed) {
        const { code, reason } = await hers.events.next("subscribing", ({ code }) => code !== 0);
        assert.deepEqual({ code, reason }, { code: 2502, reason: "state invalidated" });
        await hers.events.next("subscribed");
      }
      for (const name of [channel, other]) await two.api("publish", { channel: name, data: { n: 1 } });
      for (const { hers, others } of subscribed) {
        for (const subscription of [hers, ...others]) {
          assert.deepEqual(await nextValue(wire, subscription), { n: 1 });
        }
        for (const { events } of others) {
          assert.equal(events.all.filter(({ name }) => name === "subscribed").length, 1, "they were left alone");
        }
      }
    });

    test("what a client sends may come to either server", async (t) => {
      await acquainted(one, two);
      const channel = fresh("open");
      // The stream is with one, what is sent goes to two.
      const client = newClient(t, wire, { http: one.http, token: one.token }, { emulationEndpoint: `${two.http}/emulation`, token: one.token({ sub: "ann" }) });
      client.connect();
      await client.events.next("connected");
      const subscription = await subscribe(client, channel);
      await client.publish(channel, wire.toPayload({ n: 1 }));
      assert.deepEqual(await nextValue(wire, subscription), { n: 1 });
    });
  });

  test("a Redis that was killed and came back is used again, and nobody misses anything without being told", async (t) => {
    const channel = fresh("kept");
    const client = await connect(t, JSON_WIRE, one, { user: "ann" });
    const subscription = await subscribe(client, channel);
    await two.api("publish", { channel, data: { n: 1 } });
    assert.deepEqual(await nextValue(JSON_WIRE, subscription), { n: 1 });
    await redis.kill();
    await assert.rejects(two.api("publish", { channel, data: { n: "lost" } }), { code: 100 });
    await redis.start();
    // Everything that Redis knew is gone: the subscriber has to learn that it cannot recover.
    const again = await subscription.events.next("subscribed", (context) => context.wasRecovering);
    assert.equal(again.recovered, false);
    await until("publishing to work", PATIENCE, () => two.api("publish", { channel, data: { n: 2 } }).catch(() => null));
    assert.deepEqual(await nextValue(JSON_WIRE, subscription), { n: 2 });
    await acquainted(one, two);
  });
});

describe("two servers with broker and presence in Redis apart from the engine", { skip: missing }, () => {
  const redis = useRedis();
  const part = (address, prefix) => ({ enabled: true, type: "redis", redis: { address: [address], prefix } });
  const [one, two] = useServers(redis, (address) => ({ broker: part(address, "b"), presence_manager: part(address, "p") }));

  test("publications and presence are shared", async (t) => {
    const channel = fresh("seen");
    const ann = await connect(t, JSON_WIRE, one, { user: "ann" });
    const seen = await subscribe(ann, channel);
    await two.api("publish", { channel, data: { n: 1 } });
    assert.deepEqual(await nextValue(JSON_WIRE, seen), { n: 1 });
    assert.deepEqual(await two.api("presence_stats", { channel }), { num_clients: 1, num_users: 1 });
    await acquainted(one, two);
  });
});

describe("a server without its Redis", { skip: missing }, () => {
  test("does not start, and says where it looked", async (t) => {
    const server = new Server({ engine: { type: "redis", redis: { address: "redis://:secret@127.0.0.1:1" } } });
    t.after(() => server.close());
    assert.equal(await server.refusal(), 1);
    const log = server.log.join("\n");
    assert.match(log, /Redis at 127\.0\.0\.1:1/);
    assert.doesNotMatch(log, /secret/);
  });
});
