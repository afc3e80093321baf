/** History, and what clients get that were away: REC-01..05, REC-11, CMD-10, API-20, API-28, API-29. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { startServer, useServer } from "./lib/server.mjs";
import { PATIENCE, until } from "./lib/wait.mjs";
import { connect, inEveryEncoding, JSON_WIRE, newClient, subscribe } from "./lib/sdk.mjs";

const history = { allow_subscribe_for_client: true, history_size: 1000, history_ttl: "300s" };
const CONFIG = {
  // Above the history's size, so that it is the history that decides what can be recovered.
  client: { recovery_max_publication_limit: 2000, history_max_publication_limit: 4 },
  channel: {
    namespaces: [
      { name: "stream", ...history, force_recovery: true, allow_history_for_client: true },
      { name: "cache", ...history, force_recovery: true, force_recovery_mode: "cache", auto_cache_recover: true },
      { name: "asked", ...history, allow_recovery: true, allow_positioning: true },
      { name: "closed", ...history },
      { name: "short", ...history, history_size: 5, force_recovery: true },
    ],
  },
};

let last = 0;
/** A channel that no other test has. */
const fresh = (namespace) => `${namespace}:${(last += 1)}`;

async function publishMany(server, channel, from, to) {
  const all = [];
  for (let n = from; n <= to; n += 1) all.push({ publish: { channel, data: { n } } });
  const { replies } = await server.api("batch", { commands: all });
  assert.ok(replies.every((reply) => reply.publish), JSON.stringify(replies));
}

/** The numbers in the next so many publications. */
async function numbers(wire, subscription, count) {
  const found = [];
  for (let n = 0; n < count; n += 1) {
    found.push(wire.fromPayload((await subscription.events.next("publication")).data).n);
  }
  return found;
}

/** Disconnects, and waits until the server has seen it: what is published from then on is missed. */
async function goAway(server, client, channel) {
  client.disconnect();
  const isGone = async () => !((await server.api("channels", { pattern: channel })).channels[channel]);
  await until("the client to be gone", PATIENCE, isGone);
}

/** Protobuf gives offsets as objects of 64 bits. */
const number = (offset) => Number(String(offset));

const range = (from, to) => Array.from({ length: to - from + 1 }, (_, at) => from + at);

describe("history and recovery", () => {
  const server = useServer(CONFIG);

  inEveryEncoding((wire) => {
    test("history is read in pages, forwards and backwards", async (t) => {
      const channel = fresh("stream");
      await publishMany(server, channel, 1, 7);
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, channel);
      const read = async (options) => {
        const page = await subscription.history(options);
        return { ...page, numbers: page.publications.map(({ data }) => wire.fromPayload(data).n) };
      };
      const top = await read({});
      assert.deepEqual([top.numbers, number(top.offset)], [[], 7]);
      const first = await read({ limit: 3 });
      assert.deepEqual(first.numbers, [1, 2, 3]);
      const since = { offset: first.publications.at(-1).offset, epoch: first.epoch };
      assert.deepEqual((await read({ limit: 3, since })).numbers, [4, 5, 6]);
      assert.deepEqual((await read({ limit: 2, reverse: true })).numbers, [7, 6]);
      assert.deepEqual((await read({ limit: -1 })).numbers, [1, 2, 3, 4], "no more than clients may");
      await assert.rejects(read({ limit: 1, since: { offset: 1, epoch: "other" } }), { code: 112 });
      await assert.rejects(read({ limit: 1, reverse: true, since: { offset: 0, epoch: "" } }), { code: 107 });
    });

    test("history is for those who may read it", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, fresh("closed"));
      await assert.rejects(subscription.history({ limit: 1 }), { code: 103 });
    });

    test("the API tells what clients publish and forgets it when told so", async (t) => {
      const channel = fresh("stream");
      const { offset, epoch } = await server.api("publish", { channel, data: { n: 1 } });
      assert.equal(offset, 1);
      const page = await server.api("history", { channel, limit: -1 });
      assert.deepEqual(page, { publications: [{ data: { n: 1 }, offset: 1 }], epoch, offset: 1 });
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, channel);
      await server.api("history_remove", { channel });
      assert.deepEqual(await server.api("history", { channel, limit: -1 }), { publications: [], epoch, offset: 1 });
      await server.api("publish", { channel, data: { n: 2 } });
      assert.equal(number((await subscription.events.next("publication")).offset), 2);
    });

    test("a client that was away gets the hundred publications it missed, in order", async (t) => {
      const channel = fresh("stream");
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, channel);
      await publishMany(server, channel, 1, 2);
      assert.deepEqual(await numbers(wire, subscription, 2), [1, 2]);
      await goAway(server, client, channel);
      await publishMany(server, channel, 3, 102);
      client.connect();
      const subscribed = await subscription.events.next("subscribed");
      assert.deepEqual([subscribed.wasRecovering, subscribed.recovered, subscribed.recoverable, subscribed.positioned], [true, true, true, true]);
      assert.deepEqual(await numbers(wire, subscription, 100), range(3, 102));
      await publishMany(server, channel, 103, 103);
      assert.deepEqual(await numbers(wire, subscription, 1), [103]);
    });

    test("a client whose connection is cut recovers by itself", async (t) => {
      const channel = fresh("stream");
      const user = `cut-${channel}-${wire.encoding}`;
      const client = await connect(t, wire, server, { user, minReconnectDelay: 300 });
      const subscription = await subscribe(client, channel);
      for (let round = 0; round < 3; round += 1) {
        await server.api("disconnect", { user, disconnect: { code: 4000, reason: "come back" } });
        await publishMany(server, channel, 10 * round + 1, 10 * round + 10);
        assert.deepEqual(await numbers(wire, subscription, 10), range(10 * round + 1, 10 * round + 10));
      }
      assert.equal(subscription.events.count("publication"), 30);
    });

    test("a client that missed more than is kept is told so", async (t) => {
      const channel = fresh("stream");
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, channel);
      await goAway(server, client, channel);
      await publishMany(server, channel, 1, 1200);
      client.connect();
      const subscribed = await subscription.events.next("subscribed");
      assert.deepEqual([subscribed.wasRecovering, subscribed.recovered], [true, false]);
      assert.equal(number(subscribed.streamPosition.offset), 1200);
      await publishMany(server, channel, 1201, 1201);
      assert.deepEqual(await numbers(wire, subscription, 1), [1201]);
    });

    test("a cache gives the latest, when it is subscribed and after an absence", async (t) => {
      const channel = fresh("cache");
      await publishMany(server, channel, 1, 3);
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, channel);
      assert.deepEqual(await numbers(wire, subscription, 1), [3]);
      await goAway(server, client, channel);
      await publishMany(server, channel, 4, 9);
      client.connect();
      assert.equal((await subscription.events.next("subscribed")).recovered, true);
      assert.deepEqual(await numbers(wire, subscription, 1), [9]);
    });

    test("an application keeps the state, and what changes after it was read follows", async (t) => {
      const channel = fresh("short");
      await publishMany(server, channel, 1, 3);
      let asked = 0;
      const getState = async () => {
        asked += 1;
        const { offset, epoch } = await server.api("history", { channel, limit: 0 });
        // Meanwhile.
        if (asked === 1) await publishMany(server, channel, 4, 5);
        return { offset, epoch };
      };
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, channel, { getState });
      assert.deepEqual(await numbers(wire, subscription, 2), [4, 5]);
      await goAway(server, client, channel);
      await publishMany(server, channel, 6, 7);
      client.connect();
      assert.deepEqual(await numbers(wire, subscription, 2), [6, 7]);
      assert.equal(asked, 1, "what it missed is there still");
      await goAway(server, client, channel);
      await publishMany(server, channel, 8, 20);
      client.connect();
      await until("the state to be read again", PATIENCE, () => asked === 2 && subscription.state === "subscribed");
      await publishMany(server, channel, 21, 21);
      assert.deepEqual(await numbers(wire, subscription, 1), [21]);
    });

    test("a state that is older than what is there has no effect", async (t) => {
      const channel = fresh("cache");
      const publish = (n, version, version_epoch) => server.api("publish", { channel, data: { n }, version, version_epoch });
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, channel);
      for (const [n, version, epoch] of [[1, 10, "a"], [2, 9, "a"], [3, 10, "a"], [4, 11, "a"], [5, 1, "b"]]) await publish(n, version, epoch);
      assert.deepEqual(await numbers(wire, subscription, 3), [1, 4, 5]);
      const later = await subscribe(await connect(t, wire, server, { user: "43" }), channel);
      assert.deepEqual(await numbers(wire, later, 1), [5]);
    });

    test("positions and recovery are for those who ask, where the channel leaves it to them", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      const shapes = [];
      for (const options of [{}, { positioned: true }, { recoverable: true }]) {
        const subscription = await subscribe(client, fresh("asked"), options);
        const { context } = subscription.events.all.find(({ name }) => name === "subscribed");
        shapes.push([context.positioned, context.recoverable]);
      }
      assert.deepEqual(shapes, [[false, false], [true, false], [true, true]]);
      const refused = await subscribe(client, fresh("closed"), { recoverable: true, positioned: true });
      const { context } = refused.events.all.find(({ name }) => name === "subscribed");
      assert.deepEqual([context.positioned, context.recoverable], [false, false]);
    });

    test("a subscription of the server's recovers as the client connects again", async (t) => {
      const channel = fresh("stream");
      const token = server.token({ sub: "42", subs: { [channel]: {} } });
      const client = newClient(t, wire, server, { token });
      client.connect();
      const first = await client.events.next("subscribed");
      assert.deepEqual([first.channel, first.recoverable, first.positioned], [channel, true, true]);
      await goAway(server, client, channel);
      await publishMany(server, channel, 1, 5);
      client.connect();
      const again = await client.events.next("subscribed");
      assert.deepEqual([again.wasRecovering, again.recovered], [true, true]);
      const found = [];
      for (let n = 0; n < 5; n += 1) found.push(wire.fromPayload((await client.events.next("publication")).data).n);
      assert.deepEqual(found, range(1, 5));
    });
  });

  test("a stream of another run of the server is another stream", async (t) => {
    const wire = JSON_WIRE;
    const own = await startServer(t, CONFIG);
    const channel = fresh("stream");
    const client = await connect(t, wire, own, { user: "42" });
    const subscription = await subscribe(client, channel);
    await publishMany(own, channel, 1, 1);
    assert.deepEqual(await numbers(wire, subscription, 1), [1]);
    await own.stop();
    await own.start();
    const subscribed = await subscription.events.next("subscribed");
    assert.deepEqual([subscribed.wasRecovering, subscribed.recovered], [true, false]);
  });
});
