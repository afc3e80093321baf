/** What an application backend does to connections through the server API. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { useServer } from "./lib/server.mjs";
import { connect, inEveryEncoding, nextValue, subscribe } from "./lib/sdk.mjs";
import { openRaw } from "./lib/raw.mjs";
import { secondsFromNow } from "./lib/token.mjs";

describe("control", () => {
  const server = useServer({
    client: { expired_close_delay: "1s" },
    channel: { namespaces: [{ name: "open", allow_subscribe_for_client: true }, { name: "closed" }] },
  });

  inEveryEncoding((wire) => {
    /** No two tests share a user, so that none reaches the connections of another. */
    const someone = () => `user-${crypto.randomUUID()}`;

    test("unsubscribe takes a client's subscription away with code 2000", async (t) => {
      const user = someone();
      const client = await connect(t, wire, server, { user });
      const [taken, kept] = [await subscribe(client, "open:taken"), await subscribe(client, "open:kept")];
      await server.api("unsubscribe", { user, channel: "open:taken" });
      const context = await taken.events.next("unsubscribed");
      assert.equal(context.code, 2000);
      assert.equal(context.reason, "server unsubscribe");
      await server.api("publish", { channel: "open:taken", data: "missed" });
      await server.api("publish", { channel: "open:kept", data: "seen" });
      assert.equal(await nextValue(wire, kept), "seen");
      assert.equal(taken.events.count("publication"), 0);
    });

    test("subscribe gives a channel that the client could not take, and unsubscribe takes it back", async (t) => {
      const user = someone();
      const client = await connect(t, wire, server, { user });
      await server.api("subscribe", { user, channel: "closed:gift", data: { hello: 1 } });
      const context = await client.events.next("subscribed");
      assert.equal(context.channel, "closed:gift");
      assert.deepEqual(wire.fromPayload(context.data), { hello: 1 });
      await server.api("publish", { channel: "closed:gift", data: { n: 1 } });
      const publication = await client.events.next("publication");
      assert.equal(publication.channel, "closed:gift");
      assert.deepEqual(wire.fromPayload(publication.data), { n: 1 });
      await server.api("unsubscribe", { user, channel: "closed:gift" });
      assert.equal((await client.events.next("unsubscribed")).channel, "closed:gift");
    });

    test("subscribe refuses a namespace that does not exist", async () => {
      await assert.rejects(server.api("subscribe", { user: someone(), channel: "nowhere:a" }), { code: 102 });
    });

    test("disconnect throws out for good with code 3503", async (t) => {
      const user = someone();
      const client = await connect(t, wire, server, { user });
      await server.api("disconnect", { user });
      assert.deepEqual(await client.events.next("disconnected"), { code: 3503, reason: "force disconnect" });
    });

    test("disconnect with a code below 4500 lets the client come back", async (t) => {
      const user = someone();
      const client = await connect(t, wire, server, { user });
      const subscription = await subscribe(client, "open:back");
      await server.api("disconnect", { user, disconnect: { code: 4100, reason: "come again" } });
      assert.deepEqual(await client.events.next("connecting", ({ code }) => code !== 0), { code: 4100, reason: "come again" });
      await client.events.next("connected");
      await subscription.events.next("subscribed");
    });

    test("disconnect with a code from 4500 on is for good", async (t) => {
      const user = someone();
      const client = await connect(t, wire, server, { user });
      await server.api("disconnect", { user, disconnect: { code: 4500, reason: "gone, Größe 🛰️" } });
      assert.deepEqual(await client.events.next("disconnected"), { code: 4500, reason: "gone, Größe 🛰️" });
    });

    test("disconnect can name one connection of a user, or spare some", async (t) => {
      const user = someone();
      const clients = [];
      for (let n = 0; n < 3; n += 1) clients.push(await connect(t, wire, server, { user }));
      await server.api("disconnect", { user, client: clients[0].id });
      assert.equal((await clients[0].events.next("disconnected")).code, 3503);
      await server.api("disconnect", { user, whitelist: [clients[1].id] });
      assert.equal((await clients[2].events.next("disconnected")).code, 3503);
      await subscribe(clients[1], "open:spared");
    });

    test("disconnect of one user leaves the others", async (t) => {
      const [gone, stays] = [await connect(t, wire, server, { user: someone() }), someone()];
      const other = await connect(t, wire, server, { user: stays });
      await server.api("disconnect", { user: "" });
      await server.api("disconnect", { user: `${stays}x` });
      await subscribe(other, "open:a");
      assert.equal(gone.state, "connected");
    });

    test("refresh that says expired closes with 3005, and the client comes back", async (t) => {
      const user = someone();
      const client = await connect(t, wire, server, { user });
      await server.api("refresh", { user, expired: true });
      assert.deepEqual(await client.events.next("connecting", ({ code }) => code !== 0), { code: 3005, reason: "connection expired" });
      await client.events.next("connected");
    });

    test("refresh to a later time is pushed to the client", async (t) => {
      const user = someone();
      const raw = await openRaw(t, server, wire);
      await raw.connect(server, user);
      await server.api("refresh", { user, expire_at: secondsFromNow(600) });
      const { refresh } = await raw.push();
      assert.equal(refresh.expires, true);
      assert.ok(refresh.ttl > 590 && refresh.ttl <= 600, `ttl ${refresh.ttl}`);
    });

    test("refresh to a time in the past closes with 3005", async (t) => {
      const user = someone();
      const raw = await openRaw(t, server, wire);
      await raw.connect(server, user);
      await server.api("refresh", { user, expire_at: secondsFromNow(-10) });
      assert.equal((await raw.closed()).code, 3005);
    });

    test("an unsubscribe push also goes to connections that are not subscribed", async (t) => {
      const user = someone();
      const raw = await openRaw(t, server, wire);
      await raw.connect(server, user);
      await server.api("unsubscribe", { user, channel: "open:never" });
      const { channel, unsubscribe } = await raw.push();
      assert.equal(channel, "open:never");
      assert.equal(unsubscribe.code, 2000);
    });
  });
});
