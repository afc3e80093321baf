/** Deltas, filters on tags and numbers for channels, as the SDK takes them: DELTA-01..07, TF-01..04, COMP-01, DEB-01. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { useServer } from "./lib/server.mjs";
import { PATIENCE, until } from "./lib/wait.mjs";
import { connect, inEveryEncoding, JSON_WIRE, newClient, nextValue, subscribe } from "./lib/sdk.mjs";
import { openRaw } from "./lib/raw.mjs";
import { secondsFromNow } from "./lib/token.mjs";

const open = { allow_subscribe_for_client: true };
const history = { ...open, history_size: 1000, history_ttl: "300s", force_recovery: true };
const deltas = { allowed_delta_types: ["fossil"], delta_publish: true };
const CONFIG = {
  channel: {
    namespaces: [
      { name: "stream", ...history, ...deltas },
      { name: "asked", ...history, allowed_delta_types: ["fossil"] },
      { name: "cache", ...history, ...deltas, force_recovery_mode: "cache", auto_cache_recover: true },
      { name: "keeping", ...open, ...deltas, keep_latest_publication: true },
      { name: "forgetting", ...open, ...deltas },
      { name: "plain", ...history },
      { name: "filtered", ...history, allow_tags_filter: true, allow_history_for_subscriber: true },
      { name: "compact", ...history, ...deltas, allow_channel_compaction: true, client_publish_debounce_interval: "50ms", allow_publish_for_client: true },
    ],
  },
};

let last = 0;
/** A channel that no other test has. */
const fresh = (namespace) => `${namespace}:${(last += 1)}`;

/** Much the same in all of them, with characters of every length in UTF-8 and some that are escaped in JSON. */
const document = (n) => ({ n, text: `<p>ünd "so" weiter\n数量 🚀 & such, number ${n % 7}</p>`, list: ["a", n, { b: null }] });

async function publishMany(server, channel, from, to, more = () => ({})) {
  const commands = [];
  for (let n = from; n <= to; n += 1) commands.push({ publish: { channel, data: document(n), ...more(n) } });
  const { replies } = await server.api("batch", { commands });
  assert.ok(replies.every((reply) => reply.publish), JSON.stringify(replies));
}

/** Checks that the next publications are these. */
async function expectDocuments(wire, subscription, numbers) {
  for (const n of numbers) assert.deepEqual(await nextValue(wire, subscription), document(n));
}

/** Disconnects, and waits until the server has seen it: what is published from then on is missed. `others` stay. */
async function goAway(server, client, channel, others = 0) {
  client.disconnect();
  const isGone = async () => ((await server.api("channels", { pattern: channel })).channels[channel]?.num_clients ?? 0) === others;
  await until("the client to be gone", PATIENCE, isGone);
}

const range = (from, to) => Array.from({ length: to - from + 1 }, (_, at) => from + at);

const counts = ({ numFullPayloads, numDeltaPayloads }) => [numFullPayloads, numDeltaPayloads];

describe("deltas and filters", () => {
  const server = useServer(CONFIG);

  inEveryEncoding((wire) => {
    test("live publications come as deltas after the first", async (t) => {
      const channel = fresh("stream");
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, channel, { delta: "fossil" });
      const plain = await subscribe(await connect(t, wire, server, { user: "43" }), channel);
      await publishMany(server, channel, 1, 20);
      await expectDocuments(wire, subscription, range(1, 20));
      await expectDocuments(wire, plain, range(1, 20));
      const stats = subscription.deltaStats();
      assert.deepEqual(counts(stats), [1, 19]);
      assert.ok(stats.bytesReceived * 2 < stats.bytesDecoded, JSON.stringify(stats));
    });

    test("100 publications missed while away are all recovered in order", async (t) => {
      const channel = fresh("stream");
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, channel, { delta: "fossil" });
      await publishMany(server, channel, 1, 3);
      await expectDocuments(wire, subscription, range(1, 3));
      await goAway(server, client, channel);
      await publishMany(server, channel, 4, 103);
      client.connect();
      const { recovered, wasRecovering } = await subscription.events.next("subscribed");
      assert.deepEqual([recovered, wasRecovering], [true, true]);
      await expectDocuments(wire, subscription, range(4, 103));
      await publishMany(server, channel, 104, 106);
      await expectDocuments(wire, subscription, range(104, 106));
      assert.deepEqual(counts(subscription.deltaStats()), [2, 104], "whole: the first of all, and the first recovered");
    });

    test("on the wire, what was missed is a whole publication and then deltas", async (t) => {
      const channel = fresh("stream");
      await publishMany(server, channel, 1, 5);
      const raw = await openRaw(t, server, { encoding: wire.encoding });
      await raw.call({ connect: { token: server.token({ sub: "42" }) } });
      const { subscribe: result } = await raw.call({ subscribe: { channel, recover: true, offset: 0, epoch: "", delta: "fossil" } });
      assert.equal(result.recovered, true);
      assert.deepEqual(result.publications.map(({ delta }) => Boolean(delta)), [false, true, true, true, true]);
      const size = ({ data }) => Buffer.byteLength(data);
      const [whole, ...patches] = result.publications.map(size);
      assert.equal(whole, Buffer.byteLength(JSON.stringify(document(1))));
      assert.ok(patches.every((length) => length * 2 < whole), `${whole}, then ${patches}`);
      let before = null;
      const documents = result.publications.map((publication) => {
        const { newData, newPrevValue } = raw.codec.applyDeltaIfNeeded(publication, before);
        before = newPrevValue;
        return wire.fromPayload(newData);
      });
      assert.deepEqual(documents, range(1, 5).map(document));
      // The chain goes on with what is published now.
      await publishMany(server, channel, 6, 6);
      const { push } = await raw.events.next("reply", (reply) => reply.push);
      assert.equal(push.pub.delta, true);
      assert.deepEqual(wire.fromPayload(raw.codec.applyDeltaIfNeeded(push.pub, before).newData), document(6));
    });

    test("whoever missed nothing goes on after it comes back", async (t) => {
      const channel = fresh("stream");
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, channel, { delta: "fossil" });
      await publishMany(server, channel, 1, 2);
      await expectDocuments(wire, subscription, [1, 2]);
      await goAway(server, client, channel);
      client.connect();
      assert.equal((await subscription.events.next("subscribed")).recovered, true);
      await publishMany(server, channel, 3, 5);
      await expectDocuments(wire, subscription, [3, 4, 5]);
      assert.deepEqual(counts(subscription.deltaStats()), [2, 3]);
    });

    test("a channel's latest publication begins a chain", async (t) => {
      const channel = fresh("cache");
      await publishMany(server, channel, 1, 3);
      const subscription = await subscribe(await connect(t, wire, server, { user: "42" }), channel, { delta: "fossil" });
      await publishMany(server, channel, 4, 5);
      await expectDocuments(wire, subscription, [3, 4, 5]);
      assert.deepEqual(counts(subscription.deltaStats()), [1, 2]);
    });

    test("publications may ask to be sent as deltas one by one", async (t) => {
      const channel = fresh("asked");
      const subscription = await subscribe(await connect(t, wire, server, { user: "42" }), channel, { delta: "fossil" });
      await publishMany(server, channel, 1, 6, (n) => ({ delta: n % 2 === 0 }));
      await expectDocuments(wire, subscription, range(1, 6));
      assert.deepEqual(counts(subscription.deltaStats()), [3, 3]);
    });

    test("without history there are deltas where the latest publication is kept", async (t) => {
      for (const [namespace, expected] of [["keeping", [1, 4]], ["forgetting", [5, 0]]]) {
        const channel = fresh(namespace);
        const client = await connect(t, wire, server, { user: "42" });
        const subscription = await subscribe(client, channel, { delta: "fossil" });
        await publishMany(server, channel, 1, 5);
        await expectDocuments(wire, subscription, range(1, 5));
        assert.deepEqual(counts(subscription.deltaStats()), expected, namespace);
      }
    });

    test("a channel without deltas is subscribed to all the same", async (t) => {
      const channel = fresh("plain");
      const subscription = await subscribe(await connect(t, wire, server, { user: "42" }), channel, { delta: "fossil" });
      await publishMany(server, channel, 1, 3, () => ({ delta: true }));
      await expectDocuments(wire, subscription, [1, 2, 3]);
      assert.deepEqual(counts(subscription.deltaStats()), [0, 0]);
    });

    test("the reply of a subscribe tells all that a subscription of a stream has", async (t) => {
      const channel = fresh("compact");
      await publishMany(server, channel, 1, 3);
      const raw = await openRaw(t, server, { encoding: wire.encoding });
      await raw.call({ connect: { token: server.token({ sub: "42" }) } });
      const token = server.token({ sub: "42", channel, exp: secondsFromNow(60), data: { hello: 1 } });
      const asked = { channel, token, recover: true, offset: 1, epoch: "", delta: "fossil", flag: 1 };
      const { subscribe: result } = await raw.call({ subscribe: asked });
      assert.deepEqual([result.expires, result.ttl > 50 && result.ttl <= 60], [true, true]);
      assert.deepEqual(wire.fromPayload(result.data), { hello: 1 });
      assert.deepEqual([result.positioned, result.recoverable, result.recovered, result.was_recovering], [true, true, true, true]);
      assert.deepEqual([Number(result.offset), result.epoch.length], [1, 8], "the offset that was asked about");
      assert.deepEqual(result.publications.map(({ offset }) => Number(offset)), [2, 3]);
      assert.equal(result.delta, true);
      assert.ok(Number(result.id) > 0);
      assert.equal(result.publish_debounce, 50);
    });

    test("a filter shows what matches, live and recovered", async (t) => {
      const channel = fresh("filtered");
      const tagged = (n) => ({ tags: { third: String(n % 3 === 0), n: String(n) } });
      const tagsFilter = { op: "and", nodes: [{ key: "third", cmp: "eq", val: "true" }, { key: "n", cmp: "gt", val: "3" }] };
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, channel, { tagsFilter });
      await publishMany(server, channel, 1, 13, tagged);
      await expectDocuments(wire, subscription, [6, 9, 12]);
      await goAway(server, client, channel);
      await publishMany(server, channel, 14, 22, tagged);
      client.connect();
      assert.equal((await subscription.events.next("subscribed")).recovered, true);
      await expectDocuments(wire, subscription, [15, 18, 21]);
      await publishMany(server, channel, 23, 24, tagged);
      await expectDocuments(wire, subscription, [24]);
    });

    test("what a token lets a subscriber have, no filter of its own makes more", async (t) => {
      const channel = fresh("filtered");
      const tagged = (n) => ({ tags: { third: String(n % 3 === 0), n: String(n) } });
      const server_tags_filter = { key: "n", cmp: "gt", val: "3" };
      const token = server.token({ sub: "42", channel, server_tags_filter });
      const client = await connect(t, wire, server, { user: "42" });
      const both = await subscribe(client, channel, { token, tagsFilter: { key: "third", cmp: "eq", val: "true" } });
      const own = await subscribe(await connect(t, wire, server, { user: "42" }), channel, { token });
      const given = newClient(t, wire, server, { token: server.token({ sub: "43", subs: { [channel]: { server_tags_filter } } }) });
      given.connect();
      await given.events.next("subscribed");
      await publishMany(server, channel, 1, 7, tagged);
      await expectDocuments(wire, both, [6]);
      await expectDocuments(wire, own, [4, 5, 6, 7]);
      for (const n of range(4, 7)) assert.deepEqual(wire.fromPayload((await given.events.next("publication")).data), document(n));
      await assert.rejects(own.history({ limit: 10 }), { code: 103 });
      const free = await subscribe(await connect(t, wire, server, { user: "44" }), channel);
      assert.equal((await free.history({ limit: 10 })).publications.length, 7);
      await goAway(server, client, channel, 3);
      await publishMany(server, channel, 2, 3, tagged);
      await publishMany(server, channel, 9, 10, tagged);
      client.connect();
      assert.equal((await both.events.next("subscribed")).recovered, true);
      await expectDocuments(wire, both, [9]);
      await expectDocuments(wire, own, [9, 10]);
    });

    test("a refreshed token changes what it lets the subscriber have", async (t) => {
      const channel = fresh("filtered");
      const tagged = (n) => ({ tags: { n: String(n) } });
      const above = (val) => server.token({ sub: "42", channel, exp: secondsFromNow(60), server_tags_filter: { key: "n", cmp: "gt", val } });
      const raw = await openRaw(t, server, { encoding: wire.encoding });
      await raw.call({ connect: { token: server.token({ sub: "42" }) } });
      assert.ok(!(await raw.call({ subscribe: { channel, token: above("2") } })).error);
      const expectNumbers = async (numbers) => {
        for (const n of numbers) {
          const { push } = await raw.events.next("reply", (reply) => reply.push);
          assert.equal(wire.fromPayload(push.pub.data).n, n);
        }
      };
      await publishMany(server, channel, 1, 4, tagged);
      await expectNumbers([3, 4]);
      assert.ok(!(await raw.call({ sub_refresh: { channel, token: above("1") } })).error);
      await publishMany(server, channel, 1, 2, tagged);
      await expectNumbers([2]);
    });

    test("subscribe of the server API can bring a filter", async (t) => {
      const channel = fresh("filtered");
      const user = crypto.randomUUID();
      const client = await connect(t, wire, server, { user });
      await server.api("subscribe", { user, channel, server_tags_filter: { key: "n", cmp: "in", vals: ["2", "4"] } });
      await client.events.next("subscribed");
      await publishMany(server, channel, 1, 4, (n) => ({ tags: { n: String(n) } }));
      for (const n of [2, 4]) assert.deepEqual(wire.fromPayload((await client.events.next("publication")).data), document(n));
    });

    test("filters that are wrong or not allowed are refused", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      const good = { key: "a", cmp: "eq", val: "1" };
      for (const [namespace, tagsFilter] of [["plain", good], ["filtered", { key: "a", cmp: "like", val: "1" }]]) {
        const subscription = client.newSubscription(fresh(namespace), { tagsFilter });
        const unsubscribed = new Promise((resolve) => subscription.on("unsubscribed", resolve));
        subscription.on("error", () => {});
        subscription.subscribe();
        assert.equal((await unsubscribed).code, 107, namespace);
      }
    });
  });

  // Over Protobuf the SDK reads the number as an object and compares it by identity, so that it finds no subscription.
  test("a number stands for the channel, for as long as the subscription lasts", async (t) => {
    const channel = fresh("compact");
    const client = await connect(t, JSON_WIRE, server, { user: "42" });
    const subscription = await subscribe(client, channel, { delta: "fossil" });
    const other = await subscribe(client, fresh("compact"));
    assert.ok(subscription._id > 0 && other._id > 0 && subscription._id !== other._id);
    assert.equal(subscription._debounceMs, 50, "and the SDK is told how much to debounce");
    await publishMany(server, channel, 1, 3);
    await expectDocuments(JSON_WIRE, subscription, [1, 2, 3]);
    await goAway(server, client, channel);
    await publishMany(server, channel, 4, 6);
    client.connect();
    assert.equal((await subscription.events.next("subscribed")).recovered, true);
    await expectDocuments(JSON_WIRE, subscription, [4, 5, 6]);
    await publishMany(server, channel, 7, 7);
    await expectDocuments(JSON_WIRE, subscription, [7]);
    await server.api("unsubscribe", { user: "42", channel });
    assert.equal((await subscription.events.next("unsubscribed")).code, 2000);
    assert.equal(other.events.count("publication"), 0);
  });
});
