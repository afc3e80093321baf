/** What has to work whatever carries the connection: the scenarios of the matrix, each declared once for every cell. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { startServer, useServer } from "./server.mjs";
import { Recorder } from "./wait.mjs";

const EACH = 50;

const open = {
  allow_subscribe_for_client: true,
  allow_publish_for_client: true,
  presence: true,
  allow_presence_for_subscriber: true,
  join_leave: true,
  force_push_join_leave: true,
};

/** A server with all that the matrix wants of it. */
export const MATRIX_SERVER = {
  client: { allowed_origins: ["http://127.0.0.1:*"] },
  http_stream: { enabled: true },
  sse: { enabled: true },
  channel: {
    namespaces: [
      { name: "open", ...open },
      { name: "stream", ...open, history_size: 100, history_ttl: "300s", force_recovery: true },
      { name: "delta", ...open, history_size: 100, history_ttl: "300s", force_recovery: true, allowed_delta_types: ["fossil"], delta_publish: true },
    ],
  },
};

/** Each transport with the encodings that the SDK has for it. */
export const CELLS = [
  { transport: "websocket", encoding: "json" },
  { transport: "websocket", encoding: "protobuf" },
  { transport: "http_stream", encoding: "json" },
  { transport: "http_stream", encoding: "protobuf" },
  { transport: "sse", encoding: "json" },
];

/** The same for WebTransport, which is to be had in a browser only. */
export const WEBTRANSPORT_CELLS = [
  { transport: "webtransport", encoding: "json" },
  { transport: "webtransport", encoding: "protobuf" },
];

function endpoint(transport, server) {
  if (transport === "websocket") return server.ws;
  if (transport === "webtransport") return server.webtransport;
  return `${server.http}/connection/${transport}`;
}

/** What an agent is started with, but for what only its side knows. */
export function agentSettings({ transport, encoding }, server, user) {
  return {
    encoding,
    endpoints: [{ transport, endpoint: endpoint(transport, server) }],
    options: {
      token: server.token({ sub: user }),
      emulationEndpoint: `${server.http}/emulation`,
      minReconnectDelay: 300,
      maxReconnectDelay: 1_000,
      timeout: 15_000,
    },
  };
}

const range = (from, to) => Array.from({ length: to - from + 1 }, (_, at) => from + at);
const fresh = (namespace) => `${namespace}:${crypto.randomUUID()}`;

/**
 * Declares the scenarios for all cells. `start` starts an agent where the side runs it: it takes the test, the settings
 * and the recorder for its events, and resolves to a function that calls the agent.
 */
export function declareMatrix(start, { cells = CELLS, config = MATRIX_SERVER, http3 = false } = {}) {
  const server = useServer(config, { http3 });

  for (const cell of cells) {
    describe(`${cell.transport}, ${cell.encoding}`, () => {
      /** A connected client. */
      async function connect(t, at, user) {
        const events = new Recorder();
        const call = await start(t, agentSettings(cell, at, user), events, at);
        await call("connect");
        const { id, transport } = await events.next("connected");
        assert.equal(transport, cell.transport);
        return { id, user, events, call };
      }

      async function subscribe(client, channel, options) {
        await client.call("subscribe", channel, options);
        return client.events.next("subscribed");
      }

      async function values(client, count) {
        const found = [];
        while (found.length < count) found.push(await client.events.next("publication"));
        return found;
      }

      async function publishMany(channel, from, to) {
        for (const n of range(from, to)) await server.api("publish", { channel, data: { n } });
      }

      test("publications of the API and of clients arrive, complete and in one order", async (t) => {
        const channel = fresh("open");
        const clients = await Promise.all(["1", "2"].map((user) => connect(t, server, user)));
        for (const client of clients) await subscribe(client, channel);
        const byApi = async () => {
          for (const n of range(1, EACH)) await server.api("publish", { channel, data: { by: "api", n } });
        };
        const byClient = async () => {
          for (const n of range(1, EACH)) await clients[0].call("publish", channel, { by: "client", n, text: "Größe 🛰️\n" });
        };
        await Promise.all([byApi(), byClient()]);
        const [one, two] = await Promise.all(clients.map((client) => values(client, 2 * EACH)));
        for (const by of ["api", "client"]) {
          const numbers = (client) => client.filter((value) => value.by === by).map(({ n }) => n);
          for (const all of [numbers(one), numbers(two)]) {
            assert.deepEqual(all, range(1, EACH), `publications of the ${by}`);
          }
        }
        assert.ok(one.every(({ by, text }) => by === "api" || text === "Größe 🛰️\n"));
        assert.deepEqual(two, one, "subscribers disagree about the order");
      });

      test("a client that was cut off gets what it missed, once and in order", async (t) => {
        const channel = fresh("stream");
        const client = await connect(t, server, `cut-${channel}`);
        await subscribe(client, channel);
        await publishMany(channel, 1, 3);
        await server.api("disconnect", { user: client.user, disconnect: { code: 4000, reason: "come back" } });
        await publishMany(channel, 4, 20);
        assert.deepEqual(await client.events.next("subscribed"), { wasRecovering: true, recovered: true });
        await publishMany(channel, 21, 23);
        const last = ({ n }) => n === 23;
        await client.events.next("publication", last);
        const seen = client.events.all.filter(({ name }) => name === "publication");
        assert.deepEqual(seen.map(({ context }) => context.n), range(1, 23));
      });

      test("presence, joins and leaves tell who is there", async (t) => {
        const channel = fresh("open");
        const [ann, bob] = [await connect(t, server, "ann"), await connect(t, server, "bob")];
        await subscribe(ann, channel);
        await subscribe(bob, channel);
        const [isAnn, isBob] = [ann, bob].map(({ id, user }) => ({ client: id, user }));
        assert.deepEqual(await ann.events.next("join", ({ user }) => user === "bob"), isBob);
        const there = await bob.call("presence", channel);
        assert.deepEqual(there.sort((one, other) => one.user.localeCompare(other.user)), [isAnn, isBob]);
        await bob.call("disconnect");
        assert.deepEqual(await ann.events.next("leave"), isBob);
        assert.deepEqual(await ann.call("presence", channel), [isAnn]);
      });

      test("a disconnect of the server's is told, and is final where its code says so", async (t) => {
        const client = await connect(t, server, `told-${crypto.randomUUID()}`);
        const disconnect = (code, reason) => server.api("disconnect", { user: client.user, disconnect: { code, reason } });
        await disconnect(4001, "come again");
        assert.deepEqual(await client.events.next("connecting", ({ code }) => code !== 0), { code: 4001, reason: "come again" });
        const { id } = await client.events.next("connected");
        assert.notEqual(id, client.id);
        await disconnect(4501, "enough, Größe 🛰️");
        assert.deepEqual(await client.events.next("disconnected"), { code: 4501, reason: "enough, Größe 🛰️" });
      });

      test("a client comes back to a server that was restarted", async (t) => {
        const own = await startServer(t, config, { http3 });
        const channel = fresh("open");
        const client = await connect(t, own, "42");
        await subscribe(client, channel);
        assert.equal(await own.stop(), 0);
        assert.equal((await client.events.next("connecting", ({ code }) => code !== 0)).code, 3001);
        await own.start();
        await client.events.next("connected");
        await client.events.next("subscribed");
        await own.api("publish", { channel, data: { again: true } });
        assert.deepEqual(await values(client, 1), [{ again: true }]);
        await client.call("publish", channel, { mine: true });
        assert.deepEqual(await values(client, 1), [{ mine: true }]);
      });

      test("publications come as what is different from those before", async (t) => {
        const channel = fresh("delta");
        const client = await connect(t, server, `delta-${channel}`);
        await subscribe(client, channel, { delta: "fossil" });
        const text = "so much of it stays the same. ".repeat(20);
        const publish = async (from, to) => {
          for (const n of range(from, to)) await server.api("publish", { channel, data: { text, n } });
        };
        await publish(1, 10);
        assert.deepEqual(await values(client, 10), range(1, 10).map((n) => ({ text, n })));
        assert.deepEqual(await client.call("arrived", channel), { whole: 1, deltas: 9 });
        await server.api("disconnect", { user: client.user, disconnect: { code: 4000, reason: "come back" } });
        await publish(11, 15);
        assert.deepEqual(await values(client, 5), range(11, 15).map((n) => ({ text, n })));
        await publish(16, 20);
        assert.deepEqual(await values(client, 5), range(16, 20).map((n) => ({ text, n })));
        assert.ok((await client.call("arrived", channel)).deltas >= 14);
      });
    });
  }
}
