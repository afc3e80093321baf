/** Subscriptions that clients ask for: granted, denied, limited and ended. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { useServer } from "./lib/server.mjs";
import { beginSubscription, connect, inEveryEncoding, nextValue, subscribe } from "./lib/sdk.mjs";
import { openRaw } from "./lib/raw.mjs";

const CHANNEL_LIMIT = 4;

describe("subscribe", () => {
  const server = useServer({
    client: { channel_limit: CHANNEL_LIMIT },
    channel: { namespaces: [{ name: "open", allow_subscribe_for_client: true }, { name: "closed" }] },
  });

  inEveryEncoding((wire) => {
    test("an allowed channel is subscribed and delivers", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, "open:a");
      assert.equal(subscription.state, "subscribed");
      await server.api("publish", { channel: "open:a", data: { n: 1 } });
      assert.deepEqual(await nextValue(wire, subscription), { n: 1 });
    });

    test("the reply of a plain subscription is an empty result", async (t) => {
      const raw = await openRaw(t, server, wire);
      await raw.connect(server, "42");
      raw.send({ id: 2, subscribe: { channel: "open:a" } });
      assert.deepEqual(await raw.events.next("frame"), raw.frameOf({ id: 2, subscribe: {} }));
    });

    for (const [name, channel, code] of [
      ["a channel that its namespace closes", "closed:a", 103],
      ["a channel outside of namespaces, closed by default", "a", 103],
      ["a channel with the private prefix, without a token", "$open:a", 103],
      ["a namespace that does not exist", "nowhere:a", 102],
      ["a name that is too long", `open:${"a".repeat(251)}`, 107],
      ["a name that is not ASCII", "open:ä", 107],
    ]) {
      test(`${name} gets error ${code}`, async (t) => {
        const client = await connect(t, wire, server, { user: "42" });
        const subscription = beginSubscription(client, channel);
        assert.equal((await subscription.events.next("unsubscribed")).code, code);
        assert.equal(client.state, "connected");
      });
    }

    test("the longest allowed name is accepted", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      await subscribe(client, `open:${"a".repeat(250)}`);
    });

    test("a channel subscribed twice gets error 105", async (t) => {
      const raw = await openRaw(t, server, wire);
      await raw.connect(server, "42");
      assert.ok((await raw.call({ subscribe: { channel: "open:a" } })).subscribe);
      assert.equal((await raw.call({ subscribe: { channel: "open:a" } })).error.code, 105);
    });

    test("one channel too many gets error 106, and room is made by leaving one", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      const subscriptions = [];
      for (let n = 0; n < CHANNEL_LIMIT; n += 1) subscriptions.push(await subscribe(client, `open:${n}`));
      const surplus = beginSubscription(client, "open:surplus");
      assert.equal((await surplus.events.next("unsubscribed")).code, 106);
      subscriptions[0].unsubscribe();
      surplus.subscribe();
      await surplus.events.next("subscribed");
    });

    test("leaving ends delivery, and coming back starts it again", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, "open:left");
      const control = await subscribe(client, "open:control");
      subscription.unsubscribe();
      assert.equal((await subscription.events.next("unsubscribed")).code, 0);
      // A reply to anything later proves that the unsubscribe was carried out.
      await assert.rejects(client.rpc("nothing", wire.toPayload({})));
      await server.api("publish", { channel: "open:left", data: "missed" });
      await server.api("publish", { channel: "open:control", data: "seen" });
      assert.equal(await nextValue(wire, control), "seen");
      assert.equal(subscription.events.count("publication"), 0);
      subscription.subscribe();
      await subscription.events.next("subscribed");
      await server.api("publish", { channel: "open:left", data: "back" });
      assert.equal(await nextValue(wire, subscription), "back");
    });

    test("unsubscribing from what is not subscribed is no error", async (t) => {
      const raw = await openRaw(t, server, wire);
      await raw.connect(server, "42");
      assert.ok((await raw.call({ unsubscribe: { channel: "open:never" } })).unsubscribe);
    });

    for (const command of ["subscribe", "unsubscribe"]) {
      test(`${command} without a channel ends in 3501`, async (t) => {
        const raw = await openRaw(t, server, wire);
        await raw.connect(server, "42");
        raw.send({ id: 2, [command]: {} });
        assert.deepEqual(await raw.closed(), { code: 3501, reason: "bad request" });
      });
    }

    test("an unknown kind of delta ends in 3501", async (t) => {
      const raw = await openRaw(t, server, wire);
      await raw.connect(server, "42");
      raw.send({ id: 2, subscribe: { channel: "open:a", delta: "unheard-of" } });
      assert.equal((await raw.closed()).code, 3501);
    });

    test("commands of one frame are answered in their order, and ids may repeat", async (t) => {
      const raw = await openRaw(t, server, wire);
      await raw.connect(server, "42");
      raw.send(
        { id: 7, subscribe: { channel: "open:a" } },
        { id: 7, unsubscribe: { channel: "open:a" } },
        { id: 7, subscribe: { channel: "closed:a" } },
        { id: 8, subscribe: { channel: "open:a" } },
      );
      const replies = [];
      while (replies.length < 4) replies.push(await raw.events.next("reply", (reply) => reply.id >= 7));
      assert.deepEqual(replies.map(({ id }) => id), [7, 7, 7, 8]);
      assert.ok(replies[0].subscribe && replies[1].unsubscribe && replies[3].subscribe);
      assert.equal(replies[2].error.code, 103);
    });
  });
});
