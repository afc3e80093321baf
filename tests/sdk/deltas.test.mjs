/** Deltas, filters on tags and numbers for channels, as the SDK takes them: DELTA-01..07, TF-01..03, COMP-01, DEB-01. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { useServer } from "./lib/server.mjs";
import { PATIENCE, until } from "./lib/wait.mjs";
import { connect, inEveryEncoding, JSON_WIRE, nextValue, subscribe } from "./lib/sdk.mjs";

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
      { name: "filtered", ...history, allow_tags_filter: true },
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

/** Disconnects, and waits until the server has seen it: what is published from then on is missed. */
async function goAway(server, client, channel) {
  client.disconnect();
  const isGone = async () => !((await server.api("channels", { pattern: channel })).channels[channel]);
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
