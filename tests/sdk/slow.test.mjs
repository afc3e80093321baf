/** One client that does not read must not cost the others anything. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { useServer } from "./lib/server.mjs";
import { connect, inEveryEncoding, subscribe } from "./lib/sdk.mjs";
import { BareSocket, OPCODE } from "./lib/socket.mjs";
import { PATIENCE, until } from "./lib/wait.mjs";

const CHANNEL = "open:flood";
const PAYLOAD = "x".repeat(32_000);
const CALM = 40;
const MOST = 3_000; // 96 MB, well above what the kernel's socket buffers hold.

describe("slow consumer", () => {
  // The write timeout is out of the way: what ends the slow client is the size of its queue.
  const server = useServer({
    client: { queue_max_size: 1_048_576 },
    websocket: { write_timeout: "60s" },
    channel: { namespaces: [{ name: "open", allow_subscribe_for_client: true }] },
  });

  inEveryEncoding((wire) => {
    test("a client that stops reading is closed with 3008, and the others are not delayed", async (t) => {
      const fast = await connect(t, wire, server, { user: "fast" });
      const subscription = await subscribe(fast, CHANNEL);
      const calm = [];
      for (let n = 0; n < CALM; n += 1) calm.push(await delivery(wire, subscription, n));

      const slow = await BareSocket.open(t, server);
      slow.text(JSON.stringify({ id: 1, connect: { token: server.token({ sub: "slow" }) } }));
      await slow.replies();
      slow.text(JSON.stringify({ id: 2, subscribe: { channel: CHANNEL } }));
      await slow.replies();
      slow.tcp.pause();
      const gone = subscribersLeft(1);

      const flooded = [];
      let over = false;
      gone.then(() => (over = true));
      for (let n = CALM; !over && n < MOST; n += 1) flooded.push(await delivery(wire, subscription, n));
      await gone;

      const [before, during] = [percentile(calm, 0.95), percentile(flooded, 0.95)];
      assert.ok(during <= before * 10 + 250, `95 % of deliveries took up to ${during} ms, before the flood ${before} ms`);
      assert.equal(fast.events.count("connected"), 1, "the client that reads was cut off");

      // What the kernel still holds comes first; the close frame is behind it.
      slow.tcp.resume();
      const { payload } = await slow.events.next("frame", ({ opcode }) => opcode === OPCODE.close);
      assert.equal(payload.readUInt16BE(0), 3008);
      assert.equal(payload.subarray(2).toString(), "slow");
    });
  });

  /** Publishes and waits until the subscriber has it; resolves to the milliseconds from call to arrival. */
  async function delivery(wire, subscription, n) {
    const began = performance.now();
    const [arrival] = await Promise.all([
      subscription.events.next("publication").then((context) => ({ context, at: performance.now() })),
      server.api("publish", { channel: CHANNEL, data: { n, PAYLOAD } }),
    ]);
    assert.equal(wire.fromPayload(arrival.context.data).n, n);
    return arrival.at - began;
  }

  async function subscribersLeft(count) {
    await until("the slow client to be cut off", 4 * PATIENCE, async () => {
      const { channels } = await server.api("channels");
      return channels[CHANNEL]?.num_clients === count;
    });
  }

  function percentile(values, part) {
    return [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) * part)];
  }
});
