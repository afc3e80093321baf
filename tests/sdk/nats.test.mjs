/** Two servers on one NATS (ENG-02, ENG-06, NATS-01 to NATS-05). */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { Server, startServer, useServer } from "./lib/server.mjs";
import { missing, newNats, useNats } from "./lib/nats.mjs";
import { JSON_WIRE, connect, inEveryEncoding, newClient, nextValue, overEveryHttpTransport, subscribe } from "./lib/sdk.mjs";
import { openRaw } from "./lib/raw.mjs";
import { PATIENCE, until } from "./lib/wait.mjs";

const OPEN = { allow_subscribe_for_client: true, allow_publish_for_client: true };
const JOINS = { ...OPEN, join_leave: true, force_push_join_leave: true };

function config(nats, { options = {}, ...more } = {}) {
  return {
    broker: { enabled: true, type: "nats", nats: { url: nats.url, ...options } },
    channel: { namespaces: [{ name: "open", ...OPEN }, { name: "joins", ...JOINS }, { name: "closed" }] },
    http_stream: { enabled: true },
    sse: { enabled: true },
    ...more,
  };
}

/** Both nodes know of each other. */
async function together(servers) {
  await until("the nodes to know each other", PATIENCE, async () => {
    const infos = await Promise.all(servers.map((server) => server.api("info").catch(() => ({ nodes: [] }))));
    return infos.every(({ nodes }) => nodes.length === servers.length);
  });
}

const nats = await useNats();

describe("two servers on one NATS", { skip: missing }, () => {
  const servers = [useServer(config(nats)), useServer(config(nats))];
  const [one, other] = servers;
  const someone = () => `user-${crypto.randomUUID()}`;

  test("they know each other", () => together(servers));

  inEveryEncoding((wire) => {
    test("what is published on one node, by whomever, is heard on the other", async (t) => {
      const channel = `open:${crypto.randomUUID()}`;
      const [near, far] = [await connect(t, wire, one, { user: someone() }), await connect(t, wire, other, { user: someone() })];
      const subscriptions = [await subscribe(near, channel), await subscribe(far, channel)];
      for (let n = 0; n < 20; n += 1) {
        if (n % 2) await near.publish(channel, wire.toPayload({ n }));
        else await one.api("publish", { channel, data: { n }, tags: { n: String(n) } });
      }
      for (const subscription of subscriptions) {
        for (let n = 0; n < 20; n += 1) assert.deepEqual(await nextValue(wire, subscription), { n });
      }
      await other.api("broadcast", { channels: [channel, `open:${crypto.randomUUID()}`], data: "all" });
      for (const subscription of subscriptions) assert.equal(await nextValue(wire, subscription), "all");
    });

    test("who comes and goes on one node is told on the other", async (t) => {
      const channel = `joins:${crypto.randomUUID()}`;
      const stays = await connect(t, wire, one, { user: someone() });
      const subscription = await subscribe(stays, channel);
      const user = someone();
      const comes = await connect(t, wire, other, { user });
      await subscribe(comes, channel);
      const { info } = await subscription.events.next("join", (context) => context.info.user === user);
      assert.equal(info.client, comes.id);
      comes.disconnect();
      assert.equal((await subscription.events.next("leave")).info.client, comes.id);
    });

    test("the API of one node reaches connections of the other", async (t) => {
      await together(servers);
      const user = someone();
      const client = await connect(t, wire, other, { user });
      await one.api("subscribe", { user, channel: "closed:gift", data: { hello: 1 } });
      assert.equal((await client.events.next("subscribed")).channel, "closed:gift");
      await one.api("publish", { channel: "closed:gift", data: { n: 1 } });
      assert.deepEqual(wire.fromPayload((await client.events.next("publication")).data), { n: 1 });
      await one.api("unsubscribe", { user, channel: "closed:gift" });
      assert.equal((await client.events.next("unsubscribed")).channel, "closed:gift");
      await one.api("disconnect", { user });
      assert.deepEqual(await client.events.next("disconnected"), { code: 3503, reason: "force disconnect" });
    });
  });

  overEveryHttpTransport((wire) => {
    test("what a client sends may come to the other node", async (t) => {
      await together(servers);
      // Streams are of one node, requests go to the other.
      const client = await connect(t, wire, one, { user: someone(), emulationEndpoint: `${other.http}/emulation` });
      const channel = `open:${crypto.randomUUID()}`;
      const subscription = await subscribe(client, channel);
      await client.publish(channel, wire.toPayload({ from: "elsewhere" }));
      assert.deepEqual(await nextValue(wire, subscription), { from: "elsewhere" });
    });
  });

  test("history and what needs it are not available", async () => {
    for (const [method, body] of [
      ["history", { channel: "open:a", limit: 1 }],
      ["history_remove", { channel: "open:a" }],
      ["publish", { channel: "open:a", data: 1, idempotency_key: "k" }],
      ["publish", { channel: "open:a", data: 1, version: 7 }],
    ]) {
      await assert.rejects(one.api(method, body), { code: 108 }, method);
    }
  });

  test("channels with wildcards and white space are refused", async (t) => {
    const client = await connect(t, JSON_WIRE, one, { user: someone() });
    for (const channel of ["open:*", "open:a.>", "open:a b", "open:a..b"]) {
      await assert.rejects(one.api("publish", { channel, data: 1 }), { code: 107 }, channel);
      await assert.rejects(client.publish(channel, 1), { code: 107 }, channel);
      const subscription = client.newSubscription(channel);
      const refused = new Promise((resolve) => subscription.once("unsubscribed", resolve));
      subscription.subscribe();
      assert.equal((await refused).code, 107, channel);
    }
  });

  test("without NATS nothing is published, and with it again everything is", async (t) => {
    const channel = `open:${crypto.randomUUID()}`;
    const client = await connect(t, JSON_WIRE, other, { user: someone() });
    const subscription = await subscribe(client, channel);
    await nats.stop();
    await until("publishing to fail", PATIENCE, () => one.api("publish", { channel, data: "lost" }).then(() => false, ({ code }) => code === 100));
    await assert.rejects(one.api("publish", { channel, data: "lost" }), { code: 100 });
    await nats.start();
    await until("publishing to work", PATIENCE, () => one.api("publish", { channel, data: "try" }).then(() => true, () => false));
    // The other node may come back later.
    await until("it to be heard", PATIENCE, async () => {
      await one.api("publish", { channel, data: "found" });
      return subscription.events.count("publication") > 0;
    });
    assert.notEqual(await nextValue(JSON_WIRE, subscription), "lost");
    assert.equal(client.state, "connected");
  });
});

describe("wildcards", { skip: missing }, () => {
  const server = useServer(config(nats, { options: { prefix: "wild", allow_wildcards: true } }));

  inEveryEncoding((wire) => {
    test("a subscription to a pattern gets the channels of it, each with its name", async (t) => {
      // The SDK does not show the name.
      const raw = await openRaw(t, server, { encoding: wire.encoding });
      await raw.connect(server, "1");
      assert.ok((await raw.call({ subscribe: { channel: "open:news.*" } })).subscribe);
      const client = await connect(t, wire, server, { user: "1" });
      const subscription = await subscribe(client, "open:news.*");
      await server.api("publish", { channel: "open:news.sport", data: { n: 1 } });
      await server.api("publish", { channel: "open:other", data: { n: 2 } });
      await server.api("publish", { channel: "open:news.art", data: { n: 3 } });
      for (const [channel, n] of [["open:news.sport", 1], ["open:news.art", 3]]) {
        assert.deepEqual(await nextValue(wire, subscription), { n });
        const push = await raw.push();
        assert.equal(push.channel, "open:news.*");
        assert.deepEqual(wire.fromPayload(push.pub.data), { n });
        assert.equal(push.pub.channel, channel);
      }
      await assert.rejects(server.api("publish", { channel: "open:news.*", data: 1 }), { code: 107 });
    });
  });
});

describe("bare data", { skip: missing }, () => {
  const raw_mode = { enabled: true, prefix: "bare.", channel_replacements: { ":": "." } };
  const server = useServer(config(nats, { options: { raw_mode } }));

  test("programs that know nothing of channels publish to clients", async (t) => {
    const client = await connect(t, JSON_WIRE, server, { user: "1" });
    const subscription = await subscribe(client, "open:a");
    await nats.publish("bare.open.a", '{"from":"outside"}');
    assert.deepEqual(await nextValue(JSON_WIRE, subscription), { from: "outside" });
    await server.api("publish", { channel: "open:a", data: { from: "inside" } });
    assert.deepEqual(await nextValue(JSON_WIRE, subscription), { from: "inside" });
  });

  test("what is not JSON ends connections that speak it", async (t) => {
    const client = await connect(t, JSON_WIRE, server, { user: "2" });
    await subscribe(client, "open:b");
    await nats.publish("bare.open.b", "no JSON");
    assert.equal((await client.events.next("disconnected")).code, 3506);
  });
});

test("a configuration that needs what NATS does not have is refused", { skip: missing }, async (t) => {
  const channel = { namespaces: [{ name: "kept", history_size: 10, history_ttl: "60s" }] };
  const server = new Server(config(nats, { channel }));
  t.after(() => server.close().catch(() => {}));
  assert.notEqual(await server.refusal(), 0);
  assert.match(server.logTail(), /channel\.namespaces\[0\]\.history_size: needs a broker that keeps streams/);
});

test("a server starts without NATS and finds it later", { skip: missing }, async (t) => {
  const late = await newNats();
  const server = await startServer(t, config(late));
  await assert.rejects(server.api("publish", { channel: "open:a", data: 1 }), { code: 100 });
  await late.start();
  t.after(() => late.stop());
  await until("publishing to work", PATIENCE, () => server.api("publish", { channel: "open:a", data: 1 }).then(() => true, () => false));
});
