/** Publications and messages that are collected, and publications that slow clients may miss. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { useServer } from "./lib/server.mjs";
import { connect, inEveryEncoding, subscribe } from "./lib/sdk.mjs";
import { BareSocket } from "./lib/socket.mjs";
import { PATIENCE, until } from "./lib/wait.mjs";

const open = { allow_subscribe_for_client: true };
const kept = { ...open, history_size: 1_000, history_ttl: "300s", force_recovery: true };

/** Publishes the numbers one after the other, without waiting for answers in between. */
async function publish(server, channel, numbers) {
  const commands = numbers.map((n) => ({ publish: { channel, data: { n } } }));
  await server.api("batch", { commands });
}

/** The numbers of so many publications. */
async function numbers(wire, subscription, count) {
  const seen = [];
  while (seen.length < count) seen.push(wire.fromPayload((await subscription.events.next("publication")).data).n);
  return seen;
}

describe("collected publications", () => {
  const server = useServer({
    channel: {
      namespaces: [
        { name: "size", ...open, batch_max_size: 3 },
        { name: "delay", ...open, batch_max_delay: "200ms" },
        { name: "latest", ...kept, batch_max_delay: "200ms", batch_flush_latest: true },
      ],
    },
  });

  inEveryEncoding((wire) => {
    test("a batch comes when it is complete", async (t) => {
      const channel = `size:${crypto.randomUUID()}`;
      const client = await connect(t, wire, server, { user: "reader" });
      const subscription = await subscribe(client, channel);
      await publish(server, channel, [1, 2]);
      await client.ping?.();
      await server.api("info", {});
      assert.equal(subscription.events.count("publication"), 0);
      await publish(server, channel, [3, 4]);
      assert.deepEqual(await numbers(wire, subscription, 3), [1, 2, 3]);
      await publish(server, channel, [5, 6]);
      assert.deepEqual(await numbers(wire, subscription, 3), [4, 5, 6]);
    });

    test("a batch comes when its time is over", async (t) => {
      const channel = `delay:${crypto.randomUUID()}`;
      const subscription = await subscribe(await connect(t, wire, server, { user: "reader" }), channel);
      const began = performance.now();
      await publish(server, channel, [1, 2, 3]);
      assert.deepEqual(await numbers(wire, subscription, 3), [1, 2, 3]);
      assert.ok(performance.now() - began >= 195, "it came before its time");
    });

    test("only the newest of a batch comes, and who comes back recovers all of it", async (t) => {
      const channel = `latest:${crypto.randomUUID()}`;
      const client = await connect(t, wire, server, { user: "reader" });
      const subscription = await subscribe(client, channel);
      await publish(server, channel, [1, 2, 3, 4]);
      const { offset, data } = await subscription.events.next("publication");
      assert.deepEqual([wire.fromPayload(data).n, Number(offset)], [4, 4]);
      await publish(server, channel, [5, 6]);
      assert.deepEqual(await numbers(wire, subscription, 1), [6]);
      // From where it is by its own count, nothing is missing.
      client.disconnect();
      await publish(server, channel, [7, 8]);
      client.connect();
      const { recovered } = await subscription.events.next("subscribed");
      assert.equal(recovered, true);
      assert.deepEqual(await numbers(wire, subscription, 2), [7, 8]);
      assert.equal(subscription.events.count("unsubscribed"), 0);
    });
  });
});

describe("collected messages", () => {
  const server = useServer({
    client: { write_delay: "150ms", reply_without_queue: true, max_messages_in_frame: 16 },
    channel: { namespaces: [{ name: "open", ...open }] },
  });

  inEveryEncoding((wire) => {
    test("publications wait for the end of the delay, replies do not", async (t) => {
      const channel = `open:${crypto.randomUUID()}`;
      const client = await connect(t, wire, server, { user: "reader" });
      const subscription = await subscribe(client, channel);
      const began = performance.now();
      await publish(server, channel, [1, 2, 3, 4]);
      const seen = await numbers(wire, subscription, 4);
      assert.ok(performance.now() - began >= 140, "they came before their time");
      // The SDK over `ws` may see messages of one frame in another order, which is why this is not the default.
      assert.deepEqual(seen.sort(), [1, 2, 3, 4]);
      const asked = performance.now();
      await assert.rejects(client.history(channel, { limit: 1 }), { code: 108 });
      assert.ok(performance.now() - asked < 140, "a reply waited");
    });
  });

  test("one frame carries several messages", async (t) => {
    const socket = await BareSocket.open(t, server);
    socket.text(JSON.stringify({ id: 1, connect: { token: server.token({ sub: "raw" }) } }));
    await socket.replies();
    socket.text(JSON.stringify({ id: 2, subscribe: { channel: "open:frames" } }));
    await socket.replies();
    await publish(server, "open:frames", Array.from({ length: 20 }, (_, n) => n));
    const frames = [await socket.replies(), await socket.replies()];
    assert.deepEqual(frames.map(({ length }) => length), [16, 4]);
    const seen = frames.flat().map(({ push }) => push.pub.data.n);
    assert.deepEqual(seen, Array.from({ length: 20 }, (_, n) => n));
  });
});

describe("slow clients that may miss publications", () => {
  const server = useServer({
    client: { queue_max_size: 1_048_576 },
    websocket: { write_timeout: "60s" },
    channel: {
      namespaces: [
        { name: "oldest", ...open, overflow_policy: "drop_oldest" },
        { name: "latest", ...open, overflow_policy: "keep_latest" },
      ],
    },
  });

  const PAYLOAD = "x".repeat(64_000);
  // 19 MB: above what queue and socket buffers hold.
  const COUNT = 300;

  inEveryEncoding((wire) => {
    for (const namespace of ["oldest", "latest"]) {
      test(`${namespace}: a client that stops reading goes on with the newest, and others get all`, async (t) => {
        const channel = `${namespace}:${crypto.randomUUID()}`;
        const fast = await subscribe(await connect(t, wire, server, { user: "fast" }), channel);
        const slow = await BareSocket.open(t, server);
        slow.text(JSON.stringify({ id: 1, connect: { token: server.token({ sub: "slow" }) } }));
        await slow.replies();
        slow.text(JSON.stringify({ id: 2, subscribe: { channel } }));
        await slow.replies();
        slow.tcp.pause();
        for (let n = 0; n < COUNT; n += 1) {
          const arrival = fast.events.next("publication");
          await server.api("publish", { channel, data: { n, PAYLOAD } });
          assert.equal(wire.fromPayload((await arrival).data).n, n);
        }
        slow.tcp.resume();
        const seen = [];
        await until("the newest publication", 4 * PATIENCE, async () => {
          for (const { push } of await slow.replies()) if (push?.pub) seen.push(push.pub.data.n);
          return seen.at(-1) === COUNT - 1;
        });
        assert.ok(seen.length < COUNT, "nothing was missed: the client was not slow");
        assert.deepEqual(seen, [...seen].sort((a, b) => a - b), "they are in order");
      });
    }
  });
});
