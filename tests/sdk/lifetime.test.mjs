/** Pings, pongs, and what happens to clients when the server stops and comes back. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { startServer, useServer } from "./lib/server.mjs";
import { connect, inEveryEncoding, nextValue, subscribe } from "./lib/sdk.mjs";
import { openRaw } from "./lib/raw.mjs";
import { BareSocket, OPCODE } from "./lib/socket.mjs";
import { PATIENCE, until } from "./lib/wait.mjs";

const OPEN = { channel: { namespaces: [{ name: "open", allow_subscribe_for_client: true, allow_publish_for_client: true }] } };
const PINGS = 4;

describe("ping and pong", () => {
  const server = useServer({ ...OPEN, client: { ping_interval: "1s", pong_timeout: "600ms" } });
  const isPing = (reply) => !reply.id && !reply.push;

  inEveryEncoding((wire) => {
    test("a connection that answers lives past several pings", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, "open:a");
      const raw = await openRaw(t, server, wire);
      const { ping, pong } = await raw.connect(server, "42");
      assert.deepEqual({ ping, pong }, { ping: 1, pong: true });
      for (let n = 0; n < PINGS; n += 1) {
        await raw.events.next("reply", isPing);
        raw.send({});
      }
      // The SDK's connection got as many in the meantime.
      await client.publish("open:a", wire.toPayload({ alive: true }));
      assert.deepEqual(await nextValue(wire, subscription), { alive: true });
      assert.equal(client.events.count("connected"), 1);
      assert.ok((await raw.call({ subscribe: { channel: "open:a" } })).subscribe);
    });

    test("a ping is the smallest frame of its encoding", async (t) => {
      const raw = await openRaw(t, server, wire);
      await raw.connect(server, "42");
      await raw.events.next("reply", isPing);
      const { data, isBinary } = raw.events.all.filter(({ name }) => name === "frame").at(-1).context;
      assert.deepEqual({ data, isBinary }, wire.encoding === "json" ? { data: Buffer.from("{}"), isBinary: false } : { data: Buffer.from([0]), isBinary: true });
    });

    test("a client that does not answer is closed with 3012", async (t) => {
      const raw = await openRaw(t, server, wire);
      await raw.connect(server, "42");
      assert.deepEqual(await raw.closed(), { code: 3012, reason: "no pong" });
      assert.equal(raw.events.all.filter(({ name, context }) => name === "reply" && isPing(context)).length, 1);
    });

    test("a pong without a ping ends in 3501", async (t) => {
      const raw = await openRaw(t, server, wire);
      await raw.connect(server, "42");
      await raw.events.next("reply", isPing);
      raw.send({});
      raw.send({});
      assert.equal((await raw.closed()).code, 3501);
    });

    test("pings of WebSocket itself take their place on demand", async (t) => {
      const query = "?cf_ws_frame_ping_pong=true";
      const [answers, silent] = [await openRaw(t, server, { ...wire, query }), await openRaw(t, server, { ...wire, query, autoPong: false })];
      const result = await answers.connect(server, "42");
      assert.ok(!result.ping && !result.pong, JSON.stringify(result));
      await silent.connect(server, "42");
      for (let n = 0; n < PINGS; n += 1) await answers.events.next("ping");
      assert.equal(answers.events.all.filter(({ name, context }) => name === "reply" && isPing(context)).length, 0);
      await silent.closed();
      assert.ok((await answers.call({ subscribe: { channel: "open:a" } })).subscribe);
    });
  });
});

describe("a server that stops", () => {
  inEveryEncoding((wire) => {
    test("closes with 3001, and the SDK finds its successor and resubscribes", async (t) => {
      const server = await startServer(t, OPEN);
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, "open:a");
      await server.api("publish", { channel: "open:a", data: "before" });
      assert.equal(await nextValue(wire, subscription), "before");

      assert.equal(await server.stop("SIGTERM"), 0);
      assert.deepEqual(await client.events.next("connecting", ({ code }) => code !== 0), { code: 3001, reason: "shutdown" });

      await server.start();
      await client.events.next("connected");
      await subscription.events.next("subscribed");
      await server.api("publish", { channel: "open:a", data: "after" });
      assert.equal(await nextValue(wire, subscription), "after");
    });
  });

  test("stops on SIGINT too, and tells a hundred connections", async (t) => {
    const server = await startServer(t, OPEN);
    const clients = await Promise.all(Array.from({ length: 100 }, () => openRaw(t, server)));
    await Promise.all(clients.map((client) => client.connect(server, "42")));
    const code = server.stop("SIGINT");
    const closes = await Promise.all(clients.map((client) => client.closed()));
    assert.deepEqual(new Set(closes.map((close) => close.code)), new Set([3001]));
    assert.equal(await code, 0);
  });

  test("does not wait long for a client that never answers its close frame", async (t) => {
    const server = await startServer(t, OPEN);
    const bare = await BareSocket.open(t, server);
    bare.text(JSON.stringify({ id: 1, connect: { token: server.token({ sub: "42" }) } }));
    await bare.replies();
    const began = performance.now();
    assert.equal(await server.stop("SIGTERM"), 0);
    const took = performance.now() - began;
    assert.ok(took < 10_000, `took ${Math.round(took)} ms`);
    const { payload } = await bare.events.next("frame", ({ opcode }) => opcode === OPCODE.close);
    assert.equal(payload.readUInt16BE(0), 3001);
  });

  test("a client that was killed is forgotten", async (t) => {
    const server = await startServer(t, OPEN);
    const raw = await openRaw(t, server);
    await raw.connect(server, "42");
    await raw.call({ subscribe: { channel: "open:a" } });
    assert.deepEqual((await server.api("channels")).channels, { "open:a": { num_clients: 1 } });
    raw.socket.terminate();
    await until("the channel to be gone", PATIENCE, async () => Object.keys((await server.api("channels")).channels).length === 0);
  });
});
