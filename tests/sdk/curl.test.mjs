/** The matrix of what goes one way only: HTTP streaming and server-sent events as curl reads them, and WebSockets. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import WebSocket from "ws";
import { applyDelta } from "./lib/fossil.mjs";
import { startServer, useServer } from "./lib/server.mjs";
import { Recorder } from "./lib/wait.mjs";

const CONFIG = {
  uni_http_stream: { enabled: true },
  uni_sse: { enabled: true },
  uni_websocket: { enabled: true },
  channel: {
    namespaces: [
      { name: "stream", history_size: 100, history_ttl: "300s", force_recovery: true, presence: true },
      { name: "delta", history_size: 100, history_ttl: "300s", force_recovery: true, allowed_delta_types: ["fossil"], delta_publish: true },
      { name: "room", history_size: 1, history_ttl: "300s", force_recovery: true, join_leave: true, force_push_join_leave: true },
    ],
  },
};
const EACH = 100;

/** How each begins, as a recorder of `push`, but for pings, and `end`; and what `end` is after a disconnect of this code. */
const WAYS = [
  {
    name: "uni_http_stream",
    open: curl,
    end: () => ({ code: 0, complaint: "" }),
    ask: (url, connect) => ["-X", "POST", "-d", JSON.stringify(connect), `${url}/connection/uni_http_stream`],
    push: (line) => line,
  },
  {
    name: "uni_sse, with the request in the query",
    open: curl,
    end: () => ({ code: 0, complaint: "" }),
    ask: (url, connect) => ["-G", "--data-urlencode", `cf_connect=${JSON.stringify(connect)}`, `${url}/connection/uni_sse`],
    push: event,
  },
  {
    name: "uni_sse, with the request as a body",
    open: curl,
    end: () => ({ code: 0, complaint: "" }),
    ask: (url, connect) => ["-d", JSON.stringify(connect), `${url}/connection/uni_sse`],
    push: event,
  },
  {
    name: "uni_websocket, with the request in the query",
    open: (t, way, server, connect) => websocket(t, server, `?cf_connect=${encodeURIComponent(JSON.stringify(connect))}`),
    end: (code, reason) => ({ code, reason }),
  },
  {
    name: "uni_websocket, with the request as a message",
    open: (t, way, server, connect) => websocket(t, server, "", JSON.stringify(connect)),
    end: (code, reason) => ({ code, reason }),
  },
];

/** A WebSocket that says no more than this. */
function websocket(t, server, query, first = null) {
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}/connection/uni_websocket${query}`);
  t.after(() => socket.terminate());
  const events = new Recorder();
  if (first !== null) socket.on("open", () => socket.send(first));
  socket.on("message", (data) => {
    for (const line of data.toString().split("\n")) if (line !== "{}") events.push("push", JSON.parse(line));
  });
  socket.on("error", (error) => events.push("end", { error: String(error) }));
  socket.on("close", (code, reason) => events.push("end", { code, reason: reason.toString() }));
  return events;
}

/** An event's data; nothing of the empty lines between events, nor of where the client stands. */
function event(line) {
  if (line.trim() === "" || /^id: tb1;/.test(line)) return "";
  assert.match(line, /^data: /);
  return line.slice("data: ".length);
}

/** Runs curl until the stream or the test ends; its end has curl's exit code. */
function curl(t, way, server, connect) {
  const child = spawn("curl", ["-q", "--silent", "--show-error", "--no-buffer", ...way.ask(server.http, connect)], { stdio: ["ignore", "pipe", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  const events = new Recorder();
  let [rest, complaint] = ["", ""];
  child.stderr.setEncoding("utf8").on("data", (text) => (complaint += text));
  child.stdout.setEncoding("utf8").on("data", (text) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop();
    for (const line of lines.map(way.push)) {
      if (line !== "" && line !== "{}") events.push("push", JSON.parse(line));
    }
  });
  child.once("error", (error) => events.push("end", { code: null, complaint: String(error) }));
  child.once("close", (code) => events.push("end", { code, complaint }));
  return events;
}

describe("one way", () => {
  const server = useServer(CONFIG);

  for (const way of WAYS) {
    describe(way.name, () => {
      /** A stream of this user's that the token subscribes to the channel. */
      async function begin(t, user, channel, at = server, subs = undefined) {
        const events = way.open(t, way, at, { token: at.token({ sub: user, subs: { [channel]: {} } }), subs });
        const { connect } = await events.next("push");
        assert.ok(connect.session, "a secret by which it can be meant");
        assert.deepEqual(Object.keys(connect.subs), [channel]);
        return { events, connect, position: connect.subs[channel] };
      }
      const fresh = (namespace = "stream") => `${namespace}:${crypto.randomUUID()}`;
      const publish = async (channel, from, to, at = server) => {
        for (let n = from; n <= to; n += 1) await at.api("publish", { channel, data: { n, text: "Größe 🛰️\n" } });
      };
      const numbers = async ({ events }, count) => {
        const found = [];
        while (found.length < count) found.push((await events.next("push", ({ pub }) => pub)).pub.data.n);
        return found;
      };
      const range = (from, to) => Array.from({ length: to - from + 1 }, (_, at) => from + at);

      test("publications arrive, complete and in order", async (t) => {
        const channel = fresh();
        const streams = [await begin(t, "1", channel), await begin(t, "2", channel)];
        await publish(channel, 1, EACH);
        for (const stream of streams) assert.deepEqual(await numbers(stream, EACH), range(1, EACH));
      });

      test("a stream that begins where another ended has what was missed", async (t) => {
        const channel = fresh();
        const first = await begin(t, "cut", channel);
        await publish(channel, 1, 3);
        assert.deepEqual(await numbers(first, 3), [1, 2, 3]);
        await server.api("disconnect", { user: "cut", session: first.connect.session });
        await first.events.next("end");
        await publish(channel, 4, 20);
        const { epoch } = first.position;
        const second = await begin(t, "cut", channel, server, { [channel]: { recover: true, offset: 3, epoch } });
        assert.deepEqual([second.position.was_recovering, second.position.recovered], [true, true]);
        assert.deepEqual(second.position.publications.map(({ data }) => data.n), range(4, 20));
        await publish(channel, 21, 21);
        assert.deepEqual(await numbers(second, 1), [21]);
      });

      test("publications come as what is different from those before", async (t) => {
        const channel = fresh("delta");
        const text = "so much of it stays the same, Größe 🛰️. ".repeat(10);
        const publishTexts = async (from, to) => {
          for (const n of range(from, to)) await server.api("publish", { channel, data: { text, n } });
        };
        const first = await begin(t, "delta", channel, server, { [channel]: { delta: "fossil" } });
        assert.equal(first.position.delta, true);
        let last = null;
        /** The publication's data, of which the one before may be needed. */
        const whole = ({ data, delta = false }, isFirst) => {
          assert.equal(delta, !isFirst);
          last = delta ? applyDelta(last, data) : data;
          return JSON.parse(last);
        };
        await publishTexts(1, 5);
        for (const n of range(1, 5)) assert.deepEqual(whole((await first.events.next("push", ({ pub }) => pub)).pub, n === 1), { text, n });
        await server.api("disconnect", { user: "delta", session: first.connect.session });
        await first.events.next("end");
        await publishTexts(6, 8);
        const subs = { [channel]: { delta: "fossil", recover: true, offset: 5, epoch: first.position.epoch } };
        const second = await begin(t, "delta", channel, server, subs);
        const missed = second.position.publications.map((publication, at) => whole(publication, at === 0));
        assert.deepEqual(missed, range(6, 8).map((n) => ({ text, n })));
        await publishTexts(9, 9);
        assert.deepEqual(whole((await second.events.next("push", ({ pub }) => pub)).pub, false), { text, n: 9 });
      });

      test("joins and leaves are told", async (t) => {
        const channel = fresh("room");
        const stays = await begin(t, "stays", channel);
        const { connect } = await begin(t, "comes", channel);
        const { join } = await stays.events.next("push", ({ join }) => join?.info.user === "comes");
        assert.equal(join.info.client, connect.client);
        await server.api("disconnect", { user: "comes", session: connect.session });
        const { leave } = await stays.events.next("push", ({ leave }) => leave);
        assert.deepEqual(leave.info, join.info);
      });

      test("who reads is present, and gone when curl is", async (t) => {
        const channel = fresh();
        const { connect } = await begin(t, "reader", channel);
        const { presence } = await server.api("presence", { channel });
        assert.deepEqual(Object.keys(presence), [connect.client]);
        assert.equal(presence[connect.client].user, "reader");
      });

      test("a disconnect is the last push, and the stream ends in order", async (t) => {
        const { events } = await begin(t, "told", fresh());
        await server.api("disconnect", { user: "told", disconnect: { code: 4501, reason: "enough" } });
        assert.deepEqual(await events.next("push"), { disconnect: { code: 4501, reason: "enough" } });
        assert.deepEqual(await events.next("end"), way.end(4501, "enough"));
      });

      test("a server that ends says so, and the next one takes over", async (t) => {
        const own = await startServer(t, CONFIG);
        const channel = fresh();
        const { events, position } = await begin(t, "42", channel, own);
        assert.equal(await own.stop(), 0);
        const { disconnect } = await events.next("push");
        assert.equal(disconnect.code, 3001);
        assert.deepEqual(await events.next("end"), way.end(3001, disconnect.reason));
        await own.start();
        await publish(channel, 1, 1, own);
        // A stream in memory is another one now, and whoever knew the other is told.
        const again = await begin(t, "42", channel, own, { [channel]: { recover: true, offset: 0, epoch: position.epoch } });
        assert.notEqual(again.position.epoch, position.epoch);
        assert.deepEqual([again.position.was_recovering, again.position.recovered, again.position.publications], [true, undefined, undefined]);
        await publish(channel, 2, 2, own);
        assert.deepEqual(await numbers(again, 1), [2]);
      });
    });
  }
});
