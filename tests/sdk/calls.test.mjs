/** Commands that have nothing behind them in a plain server. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { useServer } from "./lib/server.mjs";
import { connect, inEveryEncoding, subscribe } from "./lib/sdk.mjs";
import { openRaw } from "./lib/raw.mjs";

describe("calls", () => {
  const server = useServer({ channel: { namespaces: [{ name: "open", allow_subscribe_for_client: true }] } });

  inEveryEncoding((wire) => {
    test("an RPC that nothing handles gets error 108", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      await assert.rejects(client.rpc("method", wire.toPayload({ n: 1 })), { code: 108, message: "not available" });
      assert.equal(client.state, "connected");
    });

    test("a sent message that nothing handles ends in 3508", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      client.send(wire.toPayload({ n: 1 }));
      assert.deepEqual(await client.events.next("disconnected"), { code: 3508, reason: "not available" });
    });

    test("presence and history that are off get error 108", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, "open:a");
      await assert.rejects(subscription.presence(), { code: 108 });
      await assert.rejects(subscription.presenceStats(), { code: 108 });
      await assert.rejects(subscription.history({ limit: 10 }), { code: 108 });
    });

    test("a ping by the client gets error 108", async (t) => {
      const raw = await openRaw(t, server, wire);
      await raw.connect(server, "42");
      assert.equal((await raw.call({ ping: {} })).error.code, 108);
    });
  });
});
