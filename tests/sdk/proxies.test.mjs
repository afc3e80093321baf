/** Proxies: a backend of the application's decides, over HTTP and over GRPC. */
import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { Server, startServer } from "./lib/server.mjs";
import { Backend } from "./lib/backend.mjs";
import { makeCertificate } from "./lib/certificate.mjs";
import { JSON_WIRE, beginSubscription, connect, inEveryEncoding, newClient, subscribe } from "./lib/sdk.mjs";
import { openRaw } from "./lib/raw.mjs";
import { secondsFromNow } from "./lib/token.mjs";
import { PATIENCE, Recorder, until } from "./lib/wait.mjs";

/** Answers of a backend that lets people in by a header or by what they say. */
const answers = {
  connect({ data, name }, headers) {
    const [user, detail] = `${headers.authorization ?? headers["x-user"] ?? data?.user ?? ""}`.split("/");
    if (user === "nobody") return {};
    if (user === "refused") return { error: { code: 4242, message: "not you" } };
    if (user === "out") return { disconnect: { code: 4500, reason: "out" } };
    if (user === "broken") return { status: 500 };
    const result = { user, data: { welcome: name }, info: { nick: user }, meta: { from: "backend" } };
    if (detail === "channel") result.channels = ["server:side"];
    if (detail === "subs") result.subs = { "server:side": { data: { d: 1 }, info: { i: 1 } } };
    if (detail === "unknown") result.channels = ["nowhere:x"];
    if (detail === "caps") Object.assign(result, { caps: [{ channels: ["closed:*"], match: "wildcard", allow: ["sub"] }], labels: { tier: "gold" } });
    if (detail === "expires") result.expire_at = secondsFromNow(2);
    return { result };
  },
  refresh({ user }) {
    if (user === "gone") return { result: { expired: true } };
    if (user === "failing") return { status: 500 };
    return { result: { expire_at: secondsFromNow(3600), info: { nick: "renewed" }, meta: { from: "refresh" } } };
  },
  subscribe({ channel, data }) {
    if (channel.endsWith("refused")) return { error: { code: 4103, message: "no" } };
    if (channel.endsWith("broken")) return { status: 503 };
    if (channel.endsWith("plain")) return {};
    const result = { info: { here: true }, data: { echo: data ?? null } };
    if (channel.endsWith("allowed")) result.allow = ["pub"];
    if (channel.endsWith("filtered")) result.server_tags_filter = { key: "k", cmp: "eq", val: "yes" };
    if (channel.includes("expires")) result.expire_at = secondsFromNow(2);
    return { result };
  },
  publish({ data }) {
    if (data.word === "bad") return { error: { code: 4107, message: "mind your words" } };
    return { result: { data: { ...data, checked: true }, tags: { k: "yes" }, skip_history: data.word === "secret" } };
  },
  sub_refresh({ channel }) {
    return channel.endsWith("gone") ? { result: { expired: true } } : { result: { expire_at: secondsFromNow(3600) } };
  },
  map_publish({ key, data }) {
    if (data.word === "bad") return { error: { code: 4108, message: "mind your keys" } };
    if (data.word === "mine") return {};
    return { result: { key: key ? `${key}-checked` : "named", data: { ...data, checked: true }, tags: { k: "yes" }, key_mode: data.mode ?? "" } };
  },
  map_remove({ key }) {
    if (key === "kept") return { error: { code: 4109, message: "it stays" } };
    if (key === "out") return { disconnect: { code: 4502, reason: "out" } };
    return { result: { key: `${key}-checked` } };
  },
  rpc({ method, data, meta, labels }) {
    if (method === "fail") return { error: { code: 4400, message: "failed" } };
    return { result: { data: { method, data: data ?? null, meta: meta ?? null, labels: labels ?? null } } };
  },
  cache_empty: () => ({ result: { populated: false } }),
};

/** A server whose every question goes to the backend. */
function asking(backend) {
  const headers = { http_headers: ["X-User"], emulated_headers: ["Authorization"] };
  return {
    prometheus: { enabled: true, client_labels: ["tier", "region"] },
    client: {
      expired_sub_close_delay: "1s",
      proxy: {
        connect: { enabled: true, ...backend.proxy("connect", headers) },
        refresh: { enabled: true, ...backend.proxy("refresh") },
      },
    },
    channel: {
      proxy: { subscribe: backend.proxy("subscribe"), publish: backend.proxy("publish"), sub_refresh: backend.proxy("sub_refresh"), map_publish: backend.proxy("map_publish", headers) },
      namespaces: [
        { name: "asked", subscribe_proxy_enabled: true, publish_proxy_enabled: true, sub_refresh_proxy_enabled: true, allow_user_limited_channels: true, history_size: 10, history_ttl: "60s" },
        { name: "subscribed", subscribe_proxy_enabled: true },
        { name: "keyed", subscription_type: "map", allow_subscribe_for_client: true, allow_tags_filter: true, map: { mode: "recoverable", key_ttl: "60s", publish_proxy_enabled: true, remove_proxy_enabled: true, remove_proxy_name: "remover" } },
        { name: "board", subscription_type: "map", subscribe_proxy_enabled: true, map: { mode: "recoverable", key_ttl: "60s" } },
        { name: "server" },
        { name: "closed" },
        { name: "cache", allow_subscribe_for_client: true, history_size: 1, history_ttl: "60s", force_recovery: true, force_recovery_mode: "cache", cache_empty_proxy_enabled: true, cache_empty_proxy_name: "named", auto_cache_recover: true },
      ],
    },
    rpc: {
      proxy: backend.proxy("rpc", { include_connection_meta: true, ...headers }),
      without_namespace: { proxy_enabled: true },
      namespaces: [{ name: "off" }],
      ping: { enabled: true },
    },
    proxies: [{ name: "named", ...backend.proxy("cache_empty") }, { name: "remover", ...backend.proxy("map_remove") }],
  };
}

/** A server and its backend from `before` to `after`. */
function useBackend(protocol, options) {
  const used = { backend: new Backend(protocol, answers, options) };
  before(async () => {
    await used.backend.start();
    used.server = await new Server(asking(used.backend)).start();
  });
  after(async () => {
    await used.server?.close();
    used.backend.close();
  });
  return used;
}

/** A client that says who it is in its data. */
async function enter(t, wire, server, user) {
  return connect(t, wire, server, { data: wire.toPayload({ user }) });
}

for (const protocol of ["http", "grpc"]) {
  describe(`over ${protocol}`, () => {
    const used = useBackend(protocol);

    inEveryEncoding((wire) => {
      test("the backend says who connects, and what they get", async (t) => {
        const { server, backend } = used;
        const client = newClient(t, wire, server, { data: wire.toPayload({ user: "ann/subs" }), name: "js" });
        client.connect();
        const connected = await client.events.next("connected");
        assert.deepEqual(wire.fromPayload(connected.data), { welcome: "js" });
        const subscribed = await client.events.next("subscribed");
        assert.deepEqual([subscribed.channel, wire.fromPayload(subscribed.data)], ["server:side", { d: 1 }]);
        const asked = await backend.asked.next("connect", ({ client: id }) => id === connected.client);
        assert.deepEqual([asked.transport, asked.protocol, asked.encoding, asked.data], ["websocket", wire.encoding, "json", { user: "ann/subs" }]);
        await server.api("publish", { channel: "server:side", data: { n: 1 } });
        assert.deepEqual(wire.fromPayload((await client.events.next("publication")).data), { n: 1 });
      });

      test("headers that the client writes itself are passed on, and those of its request", async (t) => {
        const client = await connect(t, wire, used.server, { headers: { Authorization: "emulated", "X-User": "not this" } });
        const { result } = await client.rpc("who", wire.toPayload({})).then(({ data }) => ({ result: wire.fromPayload(data) }));
        assert.deepEqual([result.method, result.meta], ["who", { from: "backend" }]);
        const asked = await used.backend.asked.next("rpc", ({ method }) => method === "who");
        assert.deepEqual([asked.user, asked.headers.authorization, asked.headers["x-user"]], ["emulated", "emulated", undefined]);
      });

      test("a client is refused by an error, a disconnect, or for want of an answer", async (t) => {
        for (const [user, code] of [["refused", 4242], ["broken", 100], ["ann/unknown", 102]]) {
          const raw = await openRaw(t, used.server, wire);
          const { error } = await raw.call({ connect: { data: wire.toPayload({ user }) } });
          assert.equal(error.code, code, user);
        }
        for (const [user, code] of [["out", 4500], ["nobody", 3501]]) {
          const raw = await openRaw(t, used.server, wire);
          raw.send({ id: 1, connect: { data: wire.toPayload({ user }) } });
          assert.equal((await raw.events.next("close")).code, code, user);
        }
      });

      test("a token is taken without asking the backend", async (t) => {
        const client = await connect(t, wire, used.server, { user: "of a token", data: wire.toPayload({ user: "out" }) });
        assert.ok(!used.backend.asked.all.some(({ name, context }) => name === "connect" && context.client === client.id));
      });

      test("the backend lets clients subscribe, and says how", async (t) => {
        const client = await enter(t, wire, used.server, "ann");
        const subscription = await subscribe(client, "asked:x", { data: wire.toPayload({ mine: 1 }) });
        const { context } = subscription.events.all.find(({ name }) => name === "subscribed");
        assert.deepEqual(wire.fromPayload(context.data), { echo: { mine: 1 } });
        const asked = await used.backend.asked.next("subscribe", ({ client: id }) => id === client.id);
        assert.deepEqual([asked.user, asked.channel, asked.data], ["ann", "asked:x", { mine: 1 }]);
        await subscribe(client, "asked:plain");
        for (const [channel, code] of [["asked:refused", 4103], ["asked:broken", 100]]) {
          const refused = beginSubscription(client, channel);
          const event = await refused.events.nextOf(["unsubscribed", "error"]);
          assert.equal(event.context.code ?? event.context.error?.code, event.name === "error" ? 100 : code);
          refused.unsubscribe();
        }
        await subscribe(client, "asked:#ann");
        assert.ok(!used.backend.asked.all.some(({ context }) => context.channel === "asked:#ann"), "HID-84");
      });

      test("what a subscription is allowed and may see the backend says", async (t) => {
        const client = await enter(t, wire, used.server, "ann");
        const channel = `subscribed:${crypto.randomUUID()}-allowed`;
        await subscribe(client, channel);
        await client.publish(channel, wire.toPayload({ allowed: true }));
        const filtered = `subscribed:${crypto.randomUUID()}-filtered`;
        const subscription = await subscribe(client, filtered);
        await used.server.api("publish", { channel: filtered, data: 1, tags: { k: "no" } });
        await used.server.api("publish", { channel: filtered, data: 2, tags: { k: "yes" } });
        assert.equal(wire.fromPayload((await subscription.events.next("publication")).data), 2);
      });

      test("the backend changes what is published, or refuses it", async (t) => {
        const client = await enter(t, wire, used.server, "ann");
        const channel = `asked:${crypto.randomUUID()}`;
        const subscription = await subscribe(client, channel);
        await subscription.publish(wire.toPayload({ word: "good" }));
        const { data, tags, info } = await subscription.events.next("publication");
        assert.deepEqual(wire.fromPayload(data), { word: "good", checked: true });
        assert.deepEqual([{ ...tags }, info.user], [{ k: "yes" }, "ann"]);
        await assert.rejects(subscription.publish(wire.toPayload({ word: "bad" })), { code: 4107 });
        await subscription.publish(wire.toPayload({ word: "secret" }));
        const { publications } = await used.server.api("history", { channel, limit: 10 });
        assert.deepEqual(publications.map(({ data: { word } }) => word), ["good"]);
      });

      test("the backend decides about keys that clients set and remove, and changes them", async (t) => {
        const client = await enter(t, wire, used.server, "ann");
        const channel = `keyed:${crypto.randomUUID()}`;
        const values = new Map();
        const subscription = client.newMapSubscription(channel);
        subscription.events = Recorder.of(subscription, "subscribed", "update");
        subscription.on("update", ({ key, removed, data }) => (removed ? values.delete(key) : values.set(key, wire.fromPayload(data))));
        subscription.subscribe();
        await subscription.events.next("subscribed");
        await subscription.publish("a", wire.toPayload({ word: "good" }));
        const asked = await used.backend.asked.next("map_publish", ({ client: id }) => id === client.id);
        assert.deepEqual([asked.user, asked.channel, asked.key, asked.data, asked.transport], ["ann", channel, "a", { word: "good" }, "websocket"]);
        const { key, data, tags, info } = await subscription.events.next("update");
        assert.deepEqual([key, wire.fromPayload(data), { ...tags }, info.user], ["a-checked", { word: "good", checked: true }, { k: "yes" }, "ann"]);
        await subscription.publish("", wire.toPayload({ word: "unnamed" }));
        assert.equal((await subscription.events.next("update")).key, "named");
        await subscription.publish("b", wire.toPayload({ word: "mine" }));
        assert.deepEqual(wire.fromPayload((await subscription.events.next("update")).data), { word: "mine" });
        await subscription.publish("a", wire.toPayload({ word: "too late", mode: "if_new" }));
        await assert.rejects(subscription.publish("a", wire.toPayload({ word: "bad" })), { code: 4108 });
        await assert.rejects(subscription.publish("a", wire.toPayload({ word: "x", mode: "nonsense" })), { code: 100 });
        await assert.rejects(subscription.remove("kept"), { code: 4109 });
        await subscription.remove("a");
        const removal = await used.backend.asked.next("map_remove", ({ key: asked }) => asked === "a");
        assert.deepEqual([removal.user, removal.channel], ["ann", channel]);
        const removed = await subscription.events.next("update");
        assert.deepEqual([removed.key, removed.removed], ["a-checked", true]);
        assert.deepEqual(Object.fromEntries(values), { named: { word: "unnamed", checked: true }, b: { word: "mine" } });
        const { entries } = await used.server.api("map_read_state", { channel, limit: -1 });
        assert.deepEqual(entries.map(({ key: kept }) => kept).sort(), ["b", "named"]);
        await assert.rejects(subscription.remove("out"));
        assert.equal((await client.events.next("disconnected")).code, 4502);
      });

      test("a subscribe proxy decides about keyed channels too (HID-39)", async (t) => {
        const client = await enter(t, wire, used.server, "ann");
        const channel = `board:${crypto.randomUUID()}`;
        await used.server.api("map_publish", { channel, key: "a", data: { n: 1 } });
        const keyed = (name) => {
          const subscription = client.newMapSubscription(name);
          subscription.events = Recorder.of(subscription, "subscribed", "unsubscribed", "sync", "update");
          subscription.subscribe();
          return subscription;
        };
        const subscription = keyed(channel);
        const { entries } = await subscription.events.next("sync");
        assert.deepEqual(entries.map(({ key, data }) => [key, wire.fromPayload(data)]), [["a", { n: 1 }]]);
        const asked = await used.backend.asked.next("subscribe", ({ client: id }) => id === client.id);
        assert.deepEqual([asked.user, asked.channel], ["ann", channel]);
        await used.server.api("map_publish", { channel, key: "b", data: 2 });
        assert.equal((await subscription.events.next("update")).key, "b");
        assert.equal((await keyed(`${channel}-refused`).events.next("unsubscribed")).code, 4103);
      });

      test("calls are answered by the backend, by ping, or not", async (t) => {
        const client = await enter(t, wire, used.server, "ann");
        const answer = await client.rpc("add", wire.toPayload([1, 2]));
        assert.deepEqual(wire.fromPayload(answer.data).data, [1, 2]);
        await assert.rejects(client.rpc("fail", wire.toPayload({})), { code: 4400 });
        await assert.rejects(client.rpc("off:x", wire.toPayload({})), { code: 108 });
        await assert.rejects(client.rpc("unknown:x", wire.toPayload({})), { code: 104 });
        await client.rpc("ping", wire.toPayload({}));
        assert.ok(!used.backend.asked.all.some(({ context }) => context.method === "ping"));
      });

      test("capabilities and labels come from the backend", async (t) => {
        const client = await enter(t, wire, used.server, "ann/caps");
        await subscribe(client, "closed:x");
        const answer = await client.rpc("labels", wire.toPayload({}));
        assert.deepEqual(wire.fromPayload(answer.data).labels, { tier: "gold" });
        const golden = async () => {
          const metrics = await (await fetch(`${used.server.http}/metrics`)).text();
          const lines = metrics.split("\n").filter((line) => line.startsWith('centrifugo_client_connections_inflight{app_region="",app_tier="gold",'));
          assert.match(metrics, /centrifugo_client_connections_inflight\{app_region="",app_tier="",client_name="/);
          return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
        };
        const before = await golden();
        assert.ok(before >= 1, `${before}`);
        client.disconnect();
        await until("the connection to be gone", PATIENCE, async () => (await golden()) === before - 1);
      });
    });

    test("the server refreshes a connection by the backend: it goes on, or ends", async (t) => {
      const goes = await enter(t, JSON_WIRE, used.server, "goes/expires");
      const ends = await enter(t, JSON_WIRE, used.server, "gone/expires");
      await ends.events.next("connecting", ({ code }) => code === 3005);
      ends.disconnect();
      await used.backend.asked.next("refresh", ({ client }) => client === goes.id);
      const answer = await goes.rpc("after", {});
      assert.deepEqual(answer.data.meta, { from: "refresh" }, "the meta object is the new one");
    });

    test("a backend that fails to refresh ends nothing", async (t) => {
      const client = await enter(t, JSON_WIRE, used.server, "failing/expires");
      await used.backend.asked.next("refresh", ({ client: id }) => id === client.id);
      await client.rpc("still here", {});
    });

    test("the server refreshes a subscription by the backend: it goes on, or ends", async (t) => {
      const client = await enter(t, JSON_WIRE, used.server, "ann");
      const goes = await subscribe(client, "asked:expires");
      assert.equal(goes.events.all.find(({ name }) => name === "subscribed").context.ttl, undefined);
      const ends = await subscribe(client, "asked:expires-gone");
      // 2501 makes the SDK subscribe again.
      assert.equal((await ends.events.next("subscribing", ({ code }) => code !== 0)).code, 2501);
      await used.backend.asked.next("sub_refresh", ({ channel, client: id }) => channel === "asked:expires" && id === client.id);
      await goes.publish({ word: "still here" });
    });

    test("metrics say how often the backend was asked, and for how long", async (t) => {
      const client = await enter(t, JSON_WIRE, used.server, "ann");
      await client.rpc("measured", {});
      const metrics = await (await fetch(`${used.server.http}/metrics`)).text();
      const value = (metric) => Number(metrics.match(new RegExp(`^centrifugo_proxy_${metric.replace(/[{}]/g, "\\$&")} (.*)$`, "m"))?.[1]);
      const labels = `{name="default",protocol="${protocol}",type="rpc"}`;
      const [calls, sum] = [value(`duration_seconds_count${labels}`), value(`duration_seconds_sum${labels}`)];
      assert.ok(calls > 0 && sum > 0, metrics);
      assert.equal(value(`duration_seconds_histogram_count${labels}`), calls);
      assert.equal(value(`inflight_requests${labels}`), 0);
      assert.equal(value(`errors${labels}`), 0);
    });

    test("the backend learns that a cache is empty", async (t) => {
      const client = await enter(t, JSON_WIRE, used.server, "ann");
      const channel = `cache:${crypto.randomUUID()}`;
      await subscribe(client, channel);
      await used.backend.asked.next("cache_empty", (asked) => asked.channel === channel);
    });
  });

  test(`${protocol}: with TLS, where the backend proves who it is`, async (t) => {
    const backend = await new Backend(protocol, answers, { certificate: makeCertificate() }).start();
    t.after(() => backend.close());
    const config = asking(backend);
    // The same backend, of which nobody knows that it is it.
    config.rpc.proxy[protocol].tls.server_ca_pem = makeCertificate().cert;
    const server = await startServer(t, config);
    const client = await enter(t, JSON_WIRE, server, "ann");
    await subscribe(client, "asked:plain");
    await assert.rejects(client.rpc("add", {}), { code: 100 });
  });
}

test("statuses become what the options say", async (t) => {
  const backend = await new Backend("http", { connect: () => ({ status: 401 }) }).start();
  t.after(() => backend.close());
  const http = { status_to_code_transforms: [{ status_code: 401, to_disconnect: { code: 4501, reason: "who are you" } }] };
  const server = await startServer(t, { client: { proxy: { connect: { enabled: true, ...backend.proxy("connect", { http }) } } } });
  const client = newClient(t, JSON_WIRE, server);
  client.connect();
  const event = await client.events.nextOf(["disconnected"], ({ code }) => code === 4501);
  assert.equal(event.context.reason, "who are you");
});

test("a backend that is not there: anonymous clients stay out, tokens get in", async (t) => {
  const server = await startServer(t, { client: { proxy: { connect: { enabled: true, endpoint: "http://127.0.0.1:1/" } } } });
  const raw = await openRaw(t, server);
  assert.equal((await raw.call({ connect: {} })).error.code, 100);
  await connect(t, JSON_WIRE, server, { user: "42" });
});

describe("streams", () => {
  /** What has become of streams, by the name of their channel. */
  const seen = new Recorder();
  const open = (call, request, write) => {
    const { channel } = request;
    call.on("cancelled", () => seen.push("cancelled", channel));
    if (channel.endsWith("refused")) return write({ subscribe_response: { error: { code: 4103, message: "no" } } });
    if (channel.endsWith("silent")) return undefined;
    write({ subscribe_response: { result: { data: { from: "stream" }, info: { here: true } } } });
    for (const n of [1, 2, 3]) write({ publication: { data: { n }, tags: { n: `${n}` } } });
    if (channel.endsWith("ends")) call.end();
    if (channel.endsWith("breaks")) call.emit("error", { code: 13, details: "broken" });
    return undefined;
  };
  const streaming = {
    unidirectional: (call, write) => open(call, call.request, write),
    bidirectional(call, write) {
      call.on("data", ({ subscribe_request: request, publication }) => {
        if (request) return open(call, request, write);
        return write({ publication: { data: { echo: JSON.parse(publication.data.toString()) } } });
      });
    },
  };
  const used = { backend: new Backend("grpc", streaming) };
  before(async () => {
    await used.backend.start();
    const rules = { subscribe_stream_proxy_enabled: true, presence: true, allow_presence_for_subscriber: true, allow_subscribe_for_client: true, history_size: 10, history_ttl: "60s", force_recovery: true };
    used.server = await new Server({
      channel: {
        proxy: { subscribe_stream: used.backend.proxy("subscribe_stream", { timeout: "1s" }) },
        namespaces: [{ name: "uni", ...rules }, { name: "bi", ...rules, subscribe_stream_proxy_bidirectional: true }],
      },
    }).start();
  });
  after(async () => {
    await used.server?.close();
    used.backend.close();
  });

  inEveryEncoding((wire) => {
    test("a stream's publications reach its subscriber alone, after the reply and in order", async (t) => {
      const channel = `uni:${crypto.randomUUID()}`;
      const [one, other] = [await connect(t, wire, used.server, { user: "one" }), await connect(t, wire, used.server, { user: "other" })];
      const first = await subscribe(one, channel);
      const { context } = first.events.all.find(({ name }) => name === "subscribed");
      assert.deepEqual([wire.fromPayload(context.data), context.recoverable, context.positioned], [{ from: "stream" }, false, false]);
      for (const n of [1, 2, 3]) {
        const { data, tags } = await first.events.next("publication");
        assert.deepEqual([wire.fromPayload(data), { ...tags }], [{ n }, { n: `${n}` }]);
      }
      const second = await subscribe(other, channel);
      for (const n of [1, 2, 3]) assert.equal((await second.events.next("publication")) && n, n);
      // What the server publishes reaches both, behind what their streams had.
      await used.server.api("publish", { channel, data: "to all" });
      for (const subscription of [first, second]) assert.equal(wire.fromPayload((await subscription.events.next("publication")).data), "to all");
      const { clients } = await first.presence();
      assert.deepEqual(Object.values(clients).map(({ user }) => user).sort(), ["one", "other"]);
    });

    test("what a client publishes goes to a stream of both directions, and nowhere otherwise", async (t) => {
      const client = await connect(t, wire, used.server, { user: "42" });
      const channel = `bi:${crypto.randomUUID()}`;
      const subscription = await subscribe(client, channel);
      for (const _ of [1, 2, 3]) await subscription.events.next("publication");
      await subscription.publish(wire.toPayload({ mine: 1 }));
      assert.deepEqual(wire.fromPayload((await subscription.events.next("publication")).data), { echo: { mine: 1 } });
      await assert.rejects(client.publish(`bi:${crypto.randomUUID()}`, wire.toPayload(1)), { code: 108 });
      const uni = await subscribe(client, `uni:${crypto.randomUUID()}`);
      await assert.rejects(uni.publish(wire.toPayload(1)), { code: 108 });
    });
  });

  test("a stream that ends unsubscribes, one that breaks has the client come again", async (t) => {
    const client = await connect(t, JSON_WIRE, used.server, { user: "42" });
    const ends = await subscribe(client, "uni:ends");
    assert.equal((await ends.events.next("unsubscribed")).code, 2000);
    const breaks = await subscribe(client, "uni:breaks");
    assert.equal((await breaks.events.next("subscribing", ({ code }) => code !== 0)).code, 2500);
    breaks.unsubscribe();
  });

  test("a stream is cancelled when its client unsubscribes, or goes", async (t) => {
    const client = await connect(t, JSON_WIRE, used.server, { user: "42" });
    for (const kind of ["uni", "bi"]) {
      const channel = `${kind}:${crypto.randomUUID()}`;
      const subscription = await subscribe(client, channel);
      subscription.unsubscribe();
      await seen.next("cancelled", (cancelled) => cancelled === channel);
    }
    const channel = `uni:${crypto.randomUUID()}`;
    await subscribe(client, channel);
    client.disconnect();
    await seen.next("cancelled", (cancelled) => cancelled === channel);
  });

  test("a stream may refuse, and must answer in time", async (t) => {
    const raw = await openRaw(t, used.server);
    await raw.call({ connect: { token: used.server.token({ sub: "42" }) } });
    assert.equal((await raw.call({ subscribe: { channel: "uni:refused" } })).error.code, 4103);
    assert.equal((await raw.call({ subscribe: { channel: "uni:silent" } })).error.code, 100);
    await seen.next("cancelled", (channel) => channel === "uni:silent");
  });
});
