/** A page that only listens, and comes back by itself: what its EventSource does without a line of code for it. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { useServer } from "./server.mjs";
import { Recorder, until, PATIENCE } from "./wait.mjs";

const CONFIG = {
  client: { allowed_origins: ["http://127.0.0.1:*"] },
  uni_sse: { enabled: true },
  channel: { namespaces: [{ name: "stream", history_size: 100, history_ttl: "300s", force_recovery: true }] },
};

/** What stands between the page and the server, and cuts all connections. Who comes then waits until it is let in. */
async function startCutter(t, server) {
  const sockets = new Set();
  const [waiting, cutter] = [[], { isOpen: true }];
  const pass = (socket) => {
    const beyond = connect(server.port, "127.0.0.1");
    for (const [one, other] of [[socket, beyond], [beyond, socket]]) {
      sockets.add(one);
      one.pipe(other);
      one.on("error", () => other.destroy()).on("close", () => (sockets.delete(one), other.destroy()));
    }
  };
  const listener = createServer((socket) => (cutter.isOpen ? pass(socket) : waiting.push(socket)));
  await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
  cutter.cut = () => {
    cutter.isOpen = false;
    for (const socket of sockets) socket.destroy();
  };
  cutter.open = () => {
    cutter.isOpen = true;
    waiting.splice(0).forEach(pass);
  };
  t.after(() => {
    for (const socket of [...sockets, ...waiting]) socket.destroy();
    listener.close();
  });
  cutter.origin = `http://127.0.0.1:${listener.address().port}`;
  return cutter;
}

const range = (from, to) => Array.from({ length: to - from + 1 }, (_, at) => from + at);

/** Declares the scenarios. `start` begins an EventSource with this address where the side runs it; it tells the recorder of each `push`. */
export function declareResume(start) {
  const server = useServer(CONFIG);

  describe("uni_sse", () => {
    async function begin(t, channels) {
      const cutter = await startCutter(t, server);
      const user = crypto.randomUUID();
      const token = server.token({ sub: user, subs: Object.fromEntries(channels.map((channel) => [channel, {}])) });
      const events = new Recorder();
      await start(t, `${cutter.origin}/connection/uni_sse?cf_connect=${encodeURIComponent(JSON.stringify({ token }))}`, events);
      const { connect } = await events.next("push");
      assert.deepEqual(Object.keys(connect.subs).sort(), [...channels].sort());
      return { cutter, user, events };
    }
    const publish = async (channel, from, to) => {
      for (const n of range(from, to)) await server.api("publish", { channel, data: { n } });
    };
    const numbers = async (events, count) => {
      const found = [];
      while (found.length < count) found.push((await events.next("push", ({ pub }) => pub)).pub.data.n);
      return found;
    };
    const recovered = ({ connect }, channel) => {
      const { was_recovering, recovered, publications = [] } = connect.subs[channel];
      return { was_recovering, recovered, numbers: publications.map(({ data }) => data.n) };
    };

    test("a page that is cut off comes back to what it missed, and to nothing twice", async (t) => {
      const [one, two] = ["a", "ü, b;"].map((name) => `stream:${name}-${crypto.randomUUID()}`);
      const { cutter, user, events } = await begin(t, [one, two]);
      await publish(one, 1, 3);
      assert.deepEqual(await numbers(events, 3), [1, 2, 3]);
      cutter.cut();
      await publish(one, 4, 8);
      cutter.open();
      const again = await events.next("push");
      assert.deepEqual(recovered(again, one), { was_recovering: true, recovered: true, numbers: range(4, 8) });
      assert.deepEqual(recovered(again, two), { was_recovering: true, recovered: true, numbers: [] });
      await publish(two, 1, 2);
      assert.deepEqual(await numbers(events, 2), [1, 2]);
      // The server ends the stream, and the page comes back all the same.
      await server.api("disconnect", { user, disconnect: { code: 4000, reason: "come back" } });
      assert.equal((await events.next("push")).disconnect.code, 4000);
      await publish(one, 9, 9);
      const third = await events.next("push");
      assert.deepEqual([recovered(third, one).numbers, recovered(third, two).numbers], [[9], []]);
    });

    test("a page that stands nowhere any more does not say where it stood", async (t) => {
      const channel = `stream:${crypto.randomUUID()}`;
      const { cutter, user, events } = await begin(t, [channel]);
      await publish(channel, 1, 1);
      assert.deepEqual(await numbers(events, 1), [1]);
      await server.api("unsubscribe", { user, channel });
      await events.next("push", ({ unsubscribe }) => unsubscribe);
      cutter.cut();
      await publish(channel, 2, 3);
      cutter.open();
      assert.deepEqual(recovered(await events.next("push"), channel), { was_recovering: undefined, recovered: undefined, numbers: [] });
      await publish(channel, 4, 4);
      assert.deepEqual(await numbers(events, 1), [4]);
    });

    test("a page without channels that recover is served as ever", async (t) => {
      const channel = `plain-${crypto.randomUUID()}`;
      const { cutter, events } = await begin(t, [channel]);
      await publish(channel, 1, 1);
      assert.deepEqual(await numbers(events, 1), [1]);
      cutter.cut();
      const isGone = async () => !(await server.api("channels", { pattern: channel })).channels[channel];
      await until("the connection to be gone", PATIENCE, isGone);
      await publish(channel, 2, 2);
      cutter.open();
      assert.deepEqual((await events.next("push")).connect.subs, { [channel]: {} });
      await publish(channel, 3, 3);
      assert.deepEqual(await numbers(events, 1), [3]);
    });
  });
}
