/** Keyed channels as the SDK keeps them: state, changes, coming back, deltas, filters and who is there (MAP, SUBT-02..04, OPT-25). */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { useServer } from "./lib/server.mjs";
import { PATIENCE, Recorder, until } from "./lib/wait.mjs";
import { connect, inEveryEncoding, JSON_WIRE } from "./lib/sdk.mjs";
import { openRaw } from "./lib/raw.mjs";

const open = { allow_subscribe_for_client: true };
const recoverable = { mode: "recoverable", key_ttl: "60s" };
const small = { default_page_size: 4, min_page_size: 1, max_page_size: 1000 };
const writable = { allow_publish_for_client: true, allow_remove_for_client: true };
const map = (name, more, rules) => ({ name, ...open, subscription_type: "map", ...more, map: { ...recoverable, ...small, ...rules } });
const CONFIG = {
  channel: {
    namespaces: [
      map("board", {}, writable),
      map("short", {}, { ...writable, stream_size: 5, live_transition_max_publication_limit: 3 }),
      map("ephemeral", {}, { ...writable, mode: "ephemeral" }),
      map("persistent", {}, { ...writable, mode: "persistent", key_ttl: "0s" }),
      map("delta", { allowed_delta_types: ["fossil"], delta_publish: true }, writable),
      map("filtered", { allow_tags_filter: true }, writable),
      map("mine", {}, { ...writable, client_key: "client_id", remove_client_on_unsubscribe: true }),
      map("brief", {}, { key_ttl: "1s" }),
      map("reading", {}, {}),
      { name: "room", ...open, map_clients_presence_channel_prefix: "clients:", map_users_presence_channel_prefix: "users:" },
      { name: "clients", ...open, subscription_type: "map_clients", map: recoverable },
      { name: "users", ...open, subscription_type: "map_users", map: recoverable },
      { name: "stream", ...open },
    ],
  },
};

let last = 0;
/** A channel that no other test has. */
const fresh = (namespace) => `${namespace}:${(last += 1)}`;

const MAP_EVENTS = ["subscribing", "subscribed", "unsubscribed", "error", "sync", "update"];

/** A keyed subscription whose values are kept as an application would: `subscription.values`. */
async function keep(wire, subscription) {
  subscription.events = Recorder.of(subscription, ...MAP_EVENTS);
  subscription.values = new Map();
  const value = ({ data }) => (data === undefined || data === null || data.length === 0 ? null : wire.fromPayload(data));
  subscription.on("sync", ({ entries }) => {
    subscription.values = new Map(entries.map((entry) => [entry.key, value(entry)]));
  });
  subscription.on("update", (update) => {
    if (update.removed) subscription.values.delete(update.key);
    else subscription.values.set(update.key, value(update));
  });
  subscription.subscribe();
  await subscription.events.next("subscribed");
  return subscription;
}

const sorted = (values) => Object.fromEntries([...values].sort(([a], [b]) => (a < b ? -1 : 1)));

/** Waits until a subscription has what the server has. */
async function expectSame(server, subscription) {
  const { entries } = await server.api("map_read_state", { channel: subscription.channel, limit: -1 });
  const expected = sorted(entries.map(({ key, data }) => [key, data ?? null]));
  const same = () => JSON.stringify(sorted(subscription.values)) === JSON.stringify(expected);
  await until("the values of the server", PATIENCE, same).catch((error) => {
    assert.deepEqual(sorted(subscription.values), expected, error.message);
  });
}

const set = (server, channel, key, data, more = {}) => server.api("map_publish", { channel, key, data, ...more });

/** Much the same in all of them. */
const document = (n) => ({ n, text: `<p>ünd "so" weiter\n数量 🚀 & such, number ${n % 7}</p>`, list: ["a", n, { b: null }] });

/** Disconnects, and waits until the server has seen it. */
async function goAway(server, client, channel, others = 0) {
  client.disconnect();
  const isGone = async () => ((await server.api("channels", { pattern: channel })).channels[channel]?.num_clients ?? 0) === others;
  await until("the client to be gone", PATIENCE, isGone);
}

describe("keyed channels", () => {
  const server = useServer(CONFIG);

  inEveryEncoding((wire) => {
    for (const namespace of ["board", "ephemeral", "persistent"]) {
      test(`${namespace}: a state of many pages is loaded while it changes, followed, and taken up again`, async (t) => {
        const channel = fresh(namespace);
        const commands = Array.from({ length: 50 }, (_, n) => ({ map_publish: { channel, key: `k${n}`, data: document(n) } }));
        await server.api("batch", { commands });
        const client = await connect(t, wire, server, { user: "ann" });
        const changing = (async () => {
          for (let n = 0; n < 30; n += 1) {
            await set(server, channel, `k${n * 3}`, document(n));
            await server.api("map_remove", { channel, key: `k${n * 2}` });
          }
        })();
        const subscription = await keep(wire, client.newMapSubscription(channel, { pageSize: 4 }));
        await changing;
        await expectSame(server, subscription);
        await goAway(server, client, channel);
        await set(server, channel, "later", { later: true });
        await server.api("map_remove", { channel, key: "k0" });
        client.connect();
        const context = await subscription.events.next("subscribed");
        assert.equal(context.recovered, namespace !== "ephemeral");
        await expectSame(server, subscription);
        await set(server, channel, "latest", 1);
        await expectSame(server, subscription);
      });
    }

    test("who was away for too long loads the state again", async (t) => {
      const channel = fresh("short");
      const client = await connect(t, wire, server, { user: "ann" });
      const subscription = await keep(wire, client.newMapSubscription(channel));
      await set(server, channel, "a", 1);
      await expectSame(server, subscription);
      await goAway(server, client, channel);
      for (let n = 0; n < 10; n += 1) await set(server, channel, `k${n}`, n);
      client.connect();
      await subscription.events.next("subscribed");
      await expectSame(server, subscription);
    });

    test("clients set keys and remove them, if they may", async (t) => {
      const channel = fresh("board");
      const [one, other] = [await connect(t, wire, server, { user: "ann" }), await connect(t, wire, server, { user: "ann" })];
      const writing = await keep(wire, one.newMapSubscription(channel));
      const reading = await keep(wire, other.newMapSubscription(channel));
      await writing.publish("a", wire.toPayload({ by: "ann" }));
      const update = await reading.events.next("update");
      assert.equal(update.key, "a");
      assert.deepEqual([update.info.user, update.info.client], ["ann", one.id]);
      await expectSame(server, reading);
      await writing.remove("a");
      assert.equal((await reading.events.next("update")).removed, true);
      await expectSame(server, reading);
      const forbidden = await keep(wire, one.newMapSubscription(fresh("reading")));
      await assert.rejects(forbidden.publish("a", wire.toPayload(1)), { code: 103 });
      await assert.rejects(forbidden.remove("a"), { code: 103 });
    });

    test("a filter hides keys, their changes and their removals", async (t) => {
      const channel = fresh("filtered");
      const tagged = (key, team, data) => set(server, channel, key, data, { tags: { team } });
      await tagged("a", "red", 1);
      await tagged("b", "blue", 1);
      const client = await connect(t, wire, server, { user: "ann" });
      const tagsFilter = { key: "team", cmp: "eq", val: "red" };
      const subscription = await keep(wire, client.newMapSubscription(channel, { tagsFilter }));
      assert.deepEqual(sorted(subscription.values), { a: 1 });
      await tagged("b", "blue", 2);
      await server.api("map_remove", { channel, key: "b" });
      await tagged("c", "red", 2);
      await server.api("map_remove", { channel, key: "a" });
      await until("the removal", PATIENCE, () => !subscription.values.has("a"));
      assert.deepEqual(sorted(subscription.values), { c: 2 });
      assert.equal(subscription.events.count("update"), 2);
    });

    test("a key of a client's own is its id, and ends with its subscription", async (t) => {
      const channel = fresh("mine");
      const [one, other] = [await connect(t, wire, server, { user: "ann" }), await connect(t, wire, server, { user: "ann" })];
      const mine = await keep(wire, one.newMapSubscription(channel));
      const watching = await keep(wire, other.newMapSubscription(channel));
      await mine.publish("", wire.toPayload({ x: 1 }));
      await until("the key", PATIENCE, () => watching.values.has(one.id));
      one.disconnect();
      await until("its end", PATIENCE, () => !watching.values.has(one.id));
    });

    test("a key that ends by itself is told as removed", async (t) => {
      const channel = fresh("brief");
      const client = await connect(t, wire, server, { user: "ann" });
      const subscription = await keep(wire, client.newMapSubscription(channel));
      await set(server, channel, "a", 1);
      const updates = [await subscription.events.next("update"), await subscription.events.next("update")];
      assert.deepEqual(updates.map(({ key, removed }) => [key, removed === true]), [["a", false], ["a", true]]);
    });

    test("values come as differences from the one before of their key", async (t) => {
      const channel = fresh("delta");
      await set(server, channel, "a", document(1));
      const client = await connect(t, wire, server, { user: "ann" });
      const subscription = await keep(wire, client.newMapSubscription(channel, { delta: "fossil" }));
      for (let n = 2; n < 6; n += 1) {
        await set(server, channel, "a", document(n));
        await set(server, channel, "b", document(n));
      }
      await expectSame(server, subscription);
      assert.equal(subscription.deltaStats().numDeltaPayloads, 7, "the first of b is whole");
      await server.api("map_remove", { channel, key: "b" });
      await set(server, channel, "b", document(7));
      await expectSame(server, subscription);
      assert.equal(subscription.deltaStats().numDeltaPayloads, 7, "after a removal it is whole again");
      await goAway(server, client, channel);
      for (let n = 8; n < 10; n += 1) {
        await set(server, channel, "a", document(n));
        await set(server, channel, "b", document(n));
      }
      client.connect();
      await subscription.events.next("subscribed");
      await expectSame(server, subscription);
      await set(server, channel, "a", document(11));
      await expectSame(server, subscription);
    });

    test("who is in a room shows in the channels of its clients and of its users", async (t) => {
      const room = fresh("room");
      const watcher = await connect(t, wire, server, { user: "watcher" });
      const clients = await keep(wire, watcher.newMapClientsSubscription(`clients:${room}`));
      const users = await keep(wire, watcher.newMapUsersSubscription(`users:${room}`));
      assert.equal(clients.values.size + users.values.size, 0);
      const ann = await connect(t, wire, server, { user: "ann" });
      const subscription = ann.newSubscription(room);
      subscription.events = Recorder.of(subscription, "subscribed", "unsubscribed");
      subscription.subscribe();
      await subscription.events.next("subscribed");
      const update = await clients.events.next("update");
      assert.deepEqual([update.key, update.info.user, update.info.client], [ann.id, "ann", ann.id]);
      await until("the user", PATIENCE, () => users.values.has("ann"));
      ann.disconnect();
      await until("the client to be gone", PATIENCE, () => clients.values.size === 0);
      assert.deepEqual([...users.values.keys()], ["ann"], "a user's key ends by itself only");
    });
  });

  test("on the wire: pages, their sizes and the way to live", async (t) => {
    const channel = fresh("board");
    for (let n = 0; n < 5; n += 1) await set(server, channel, `k${n}`, n);
    const client = await openRaw(t, server);
    await client.call({ connect: { token: server.token({ sub: "ann" }) } });
    const page = (more) => client.call({ subscribe: { channel, type: 1, phase: 2, ...more } });
    const first = (await page({ limit: 2 })).subscribe;
    assert.deepEqual([first.type, first.phase, first.offset, first.state.length], [1, 2, 5, 2]);
    assert.equal((await page({})).error.code, 105);
    await set(server, channel, "k4", "later");
    const rest = { cursor: first.cursor, offset: first.offset, epoch: first.epoch, limit: 10 };
    const live = (await page(rest)).subscribe;
    assert.deepEqual(live.state.map(({ key }) => key), ["k2", "k3"]);
    assert.deepEqual(live.publications.map(({ key, data, offset }) => [key, data, offset]), [["k4", "later", 6]]);
    const { phase, type, recoverable: recovers, positioned, expires, ttl, data } = live;
    assert.deepEqual([phase, type, recovers, positioned, expires, ttl, data], [undefined, 1, true, undefined, undefined, undefined, undefined]);
    assert.equal((await page({ cursor: "k1", epoch: first.epoch, offset: 5 })).error.code, 105);
  });

  test("on the wire: a channel is of one kind", async (t) => {
    const client = await openRaw(t, server);
    await client.call({ connect: { token: server.token({ sub: "ann" }) } });
    const asked = async (channel, type) => (await client.call({ subscribe: { channel, type, phase: type ? 2 : 0 } })).error?.code;
    assert.equal(await asked("stream:1", 1), 103);
    assert.equal(await asked("board:1", 2), 103);
    assert.equal(await asked("clients:1", 1), 103);
    assert.equal(await asked("board:1", 0), 103);
    assert.equal(await asked("board:1", 4), 108);
  });

  test("a state that is cleared is loaded again", async (t) => {
    const channel = fresh("board");
    const client = await connect(t, JSON_WIRE, server, { user: "ann" });
    const subscription = await keep(JSON_WIRE, client.newMapSubscription(channel));
    await set(server, channel, "a", 1);
    await expectSame(server, subscription);
    await server.api("map_clear", { channel });
    await subscription.events.next("subscribed");
    await set(server, channel, "b", 1);
    await expectSame(server, subscription);
    assert.deepEqual(sorted(subscription.values), { b: 1 });
  });
});
