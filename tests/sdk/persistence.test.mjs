/** Streams in a file: what is acknowledged survives the process's sudden end, and clients recover. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { startServer } from "./lib/server.mjs";
import { inEveryEncoding, connect, subscribe } from "./lib/sdk.mjs";

const PUBLISHERS = 6;
const CHANNELS = ["stream:a", "stream:b", "stream:c"];

const config = (fsync) => ({
  client: { recovery_max_publication_limit: 10_000 },
  broker: { memory: { persistence: { enabled: true, path: "streams", fsync } } },
  channel: {
    namespaces: [
      { name: "stream", allow_subscribe_for_client: true, history_size: 10_000, history_ttl: "300s", force_recovery: true },
    ],
  },
});

/** Publishes from several tasks until the server is gone. `acknowledged` maps each channel to what it took, by number. */
function publishUntilTheEnd(server, acknowledged, first) {
  let [next, taken, enough] = [first, 0, null];
  const reached = new Promise((resolve) => (enough = resolve));
  const one = async () => {
    for (;;) {
      const n = next++;
      const channel = CHANNELS[n % CHANNELS.length];
      const position = await server.api("publish", { channel, data: { n } }).catch(() => null);
      // What was under way is unknown: it may be there or not.
      if (position === null) return;
      acknowledged.get(channel).set(n, position);
      if ((taken += 1) === 150) enough();
    }
  };
  const ended = Promise.all(Array.from({ length: PUBLISHERS }, one)).then(() => next);
  return { reached, ended };
}

async function historyOf(server, channel) {
  const { publications, epoch, offset } = await server.api("history", { channel, limit: -1 });
  return { epoch, offset, all: publications.map((publication) => [publication.data.n, publication.offset]) };
}

describe("streams in a file", () => {
  inEveryEncoding((wire) => {
    test("with fsync always, what is acknowledged survives kills under load, and clients recover it", async (t) => {
      const server = await startServer(t, config("always"));
      const client = await connect(t, wire, server, { user: "42" });
      const subscriptions = new Map();
      const acknowledged = new Map(CHANNELS.map((channel) => [channel, new Map()]));
      for (const channel of CHANNELS) subscriptions.set(channel, await subscribe(client, channel));
      const epochs = new Map();
      let first = 0;
      for (let round = 0; round < 3; round += 1) {
        const { reached, ended } = publishUntilTheEnd(server, acknowledged, first);
        await reached;
        assert.equal(await server.stop("SIGKILL"), "SIGKILL");
        first = await ended;
        await server.start();
        for (const channel of CHANNELS) {
          const { epoch, all } = await historyOf(server, channel);
          assert.equal(epoch, epochs.get(channel) ?? epoch, "the epoch goes on");
          epochs.set(channel, epoch);
          const there = new Map(all);
          for (const [n, position] of acknowledged.get(channel)) {
            assert.deepEqual([there.get(n), position.epoch], [position.offset, epoch], `${n} in ${channel}`);
          }
          const subscribed = await subscriptions.get(channel).events.next("subscribed");
          assert.deepEqual([subscribed.wasRecovering, subscribed.recovered], [true, true]);
        }
      }
      for (const channel of CHANNELS) {
        await server.api("publish", { channel, data: { n: -1 } });
        const { events } = subscriptions.get(channel);
        await events.next("publication", ({ data }) => wire.fromPayload(data).n === -1);
        const got = events.all.filter(({ name }) => name === "publication");
        const { all } = await historyOf(server, channel);
        assert.deepEqual(got.map(({ context }) => [wire.fromPayload(context.data).n, Number(String(context.offset))]), all);
      }
    });

    test("with fsync never, a kill gives streams new epochs, and clients are told", async (t) => {
      const server = await startServer(t, config("never"));
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, "stream:a");
      const { epoch } = await server.api("publish", { channel: "stream:a", data: { n: 1 } });
      await subscription.events.next("publication");
      await server.stop();
      await server.start();
      const kept = await subscription.events.next("subscribed");
      assert.deepEqual([kept.wasRecovering, kept.recovered], [true, true], "an orderly end keeps everything");
      await server.stop("SIGKILL");
      await server.start();
      const lost = await subscription.events.next("subscribed");
      assert.deepEqual([lost.wasRecovering, lost.recovered], [true, false]);
      assert.notEqual((await historyOf(server, "stream:a")).epoch, epoch);
    });
  });
});
