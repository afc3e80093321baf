/** Limits of a node that a client runs into. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { startServer } from "./lib/server.mjs";
import { connect, JSON_WIRE, newClient, subscribe } from "./lib/sdk.mjs";
import { openRaw } from "./lib/raw.mjs";
import { BareSocket } from "./lib/socket.mjs";
import { PATIENCE, until } from "./lib/wait.mjs";

const OPEN = { channel: { namespaces: [{ name: "open", allow_subscribe_for_client: true, allow_publish_for_client: true }] } };

describe("limits", () => {
  test("one connection of a user too many is refused with 3504, and others are not affected", async (t) => {
    const server = await startServer(t, { client: { user_connection_limit: 2 } });
    const first = await connect(t, JSON_WIRE, server, { user: "ada" });
    const second = await connect(t, JSON_WIRE, server, { user: "ada" });
    const third = newClient(t, JSON_WIRE, server, { token: server.token({ sub: "ada" }) });
    third.connect();
    assert.deepEqual(await third.events.next("disconnected"), { code: 3504, reason: "connection limit" });
    await connect(t, JSON_WIRE, server, { user: "eve" });
    assert.deepEqual([first.state, second.state], ["connected", "connected"]);
    // A place that was given up can be taken.
    first.disconnect();
    const fourth = newClient(t, JSON_WIRE, server, { token: server.token({ sub: "ada" }) });
    await until("a place to be free", PATIENCE, async () => {
      fourth.connect();
      return (await fourth.events.nextOf(["connected", "disconnected"])).name === "connected";
    });
  });

  test("one connection of a node too many is refused with 503", async (t) => {
    const server = await startServer(t, { client: { connection_limit: 2 } });
    const first = await openRaw(t, server);
    await first.connect(server, "ada");
    await (await openRaw(t, server)).connect(server, "eve");
    await assert.rejects(openRaw(t, server), { status: 503 });
    first.socket.close();
    await until("a place to be free", PATIENCE, () => openRaw(t, server).catch(() => null));
  });

  test("a client that takes nothing for longer than the write timeout is cut off", async (t) => {
    // The queue would hold everything: only the time counts.
    const server = await startServer(t, { ...OPEN, client: { queue_max_size: 1_000_000_000 }, websocket: { write_timeout: "500ms" } });
    const fast = await connect(t, JSON_WIRE, server, { user: "fast" });
    const subscription = await subscribe(fast, "open:a");
    const stuck = await BareSocket.open(t, server);
    stuck.text(JSON.stringify({ id: 1, connect: { token: server.token({ sub: "stuck" }) } }));
    await stuck.replies();
    stuck.text(JSON.stringify({ id: 2, subscribe: { channel: "open:a" } }));
    await stuck.replies();
    stuck.tcp.pause();
    const payload = "x".repeat(32_000);
    let published = 0;
    const gone = until("the stuck client to be gone", 2 * PATIENCE, async () =>
      (await server.api("channels")).channels["open:a"].num_clients === 1);
    let over = false;
    gone.then(() => (over = true), () => (over = true));
    while (!over && published < 1_000) {
      await server.api("publish", { channel: "open:a", data: payload });
      published += 1;
    }
    await gone;
    for (let n = 0; n < published; n += 1) await subscription.events.next("publication");
    assert.equal(fast.events.count("connected"), 1);
  });

  test("the time of the server is told on demand", async (t) => {
    const server = await startServer(t, { client: { connect_include_server_time: true } });
    const { time } = await (await openRaw(t, server)).connect(server, "42");
    assert.ok(Math.abs(time - Date.now()) < 60_000, `time ${time}`);
  });
});
