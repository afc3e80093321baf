/** Polled channels: the SDK tracks keys that a backend signed, and the server asks the backend for them all. */
import { createHash, createHmac } from "node:crypto";
import { test } from "node:test";
import assert from "node:assert/strict";
import { startServer } from "./lib/server.mjs";
import { Backend } from "./lib/backend.mjs";
import { connect, inEveryEncoding, JSON_WIRE } from "./lib/sdk.mjs";
import { openRaw } from "./lib/raw.mjs";
import { Recorder, until } from "./lib/wait.mjs";
import { secondsFromNow } from "./lib/token.mjs";

const SECRET = "a secret for keys";
const CHANNEL = "prices:eu";

/** What an application signs so that a user may track keys. */
function sign(user, keys, { issued = secondsFromNow(0), expires = 0 } = {}) {
  const digest = createHash("sha256").update(keys.join("\0")).digest("hex");
  const mac = createHmac("sha256", SECRET).update([issued, expires, user, CHANNEL, digest].join("\0")).digest("hex");
  return `${issued}:${expires}:${mac}`;
}

/** A server that polls `values` of a backend five times a second. */
async function polling(t, values, rules = {}, client = {}) {
  const backend = await new Backend("http", {
    shared_poll_refresh: ({ items }) => ({ result: { items: items.filter(({ key }) => values[key]).map(({ key }) => ({ key, ...values[key] })) } }),
  }).start();
  t.after(() => backend.close());
  const shared_poll = { refresh_interval: "200ms", ...rules };
  const server = await startServer(t, {
    client: { allow_anonymous_connect_without_token: true, ...client },
    prometheus: { enabled: true },
    shared_poll: { hmac_secret_key: SECRET },
    channel: {
      proxy: { shared_poll_refresh: backend.proxy("shared_poll_refresh") },
      namespaces: [{ name: "prices", subscription_type: "shared_poll", allow_subscribe_for_client: true, allow_subscribe_for_anonymous: true, allowed_delta_types: ["fossil"], shared_poll }],
    },
  });
  return { backend, server };
}

/** The value of a metric. */
async function metric(server, name) {
  const metrics = await (await fetch(`${server.http}/metrics`)).text();
  const line = metrics.split("\n").find((one) => one.startsWith(`centrifugo_${name} `));
  return line && Number(line.split(" ").at(-1));
}

/** Subscribes to the channel and records what comes of its keys. */
async function follow(client, options = {}) {
  const subscription = client.newSharedPollSubscription(CHANNEL, options);
  const events = new Recorder();
  subscription.on("update", (update) => events.push("update", update));
  subscription.on("error", (error) => events.push("error", error));
  subscription.subscribe();
  await subscription.ready(5000);
  return { subscription, events };
}

inEveryEncoding((wire) => {
  const held = wire.fromPayload;

  test(`the SDK is sent what keys hold and what changes of it`, async (t) => {
    const values = { gold: { data: { price: 1 } }, lead: { data: { price: 2 } } };
    const { backend, server } = await polling(t, values);
    const client = await connect(t, wire, server);
    const { subscription, events } = await follow(client, { getSignature: async ({ keys }) => ({ keys, signature: sign("", keys) }) });
    subscription.track(["gold", "lead"]);
    const first = [await events.next("update"), await events.next("update")];
    assert.deepEqual(Object.fromEntries(first.map(({ key, data }) => [key, held(data)])), { gold: { price: 1 }, lead: { price: 2 } });
    values.gold = { data: { price: 3 } };
    const changed = await events.next("update");
    assert.deepEqual([changed.key, held(changed.data)], ["gold", { price: 3 }]);
    values.lead = { removed: true };
    const removed = await events.next("update");
    assert.deepEqual([removed.key, removed.removed], ["lead", true]);
    await until("lead is not asked about any more", 5000, async () => (await backend.asked.next("shared_poll_refresh")).items.length === 1);
  });

  test(`the SDK applies deltas of keys and takes the end of one`, async (t) => {
    const long = (price) => ({ text: "always the same ".repeat(20), price });
    const values = { gold: { data: long(1), version: 1 } };
    const { server } = await polling(t, values, { mode: "versioned", keep_latest_data: true });
    const client = await connect(t, wire, server);
    const { subscription, events } = await follow(client, { delta: "fossil" });
    subscription.track([{ key: "gold", version: 0 }], sign("", ["gold"]));
    assert.deepEqual(held((await events.next("update")).data), long(1));
    values.gold = { data: long(2), version: 2 };
    assert.deepEqual(held((await events.next("update")).data), long(2));
    assert.equal(subscription.deltaStats?.().numDelta ?? 1, 1);
    values.gold = { removed: true };
    assert.equal((await events.next("update")).removed, true);
  });

  test(`a value that is published comes at once, unless it is old`, async (t) => {
    const { server } = await polling(t, {}, { mode: "versioned", publish_enabled: true, refresh_interval: "60s" });
    const client = await connect(t, wire, server);
    const { subscription, events } = await follow(client);
    subscription.track([{ key: "gold", version: 3 }], sign("", ["gold"]));
    const publish = (version, price) => server.api("shared_poll_publish", { channel: CHANNEL, key: "gold", version, data: { price } });
    // Nobody tracks the key before that was answered, and what is old is not sent.
    await until("the key to be tracked", 5000, async () => (await metric(server, "shared_poll_num_keys")) === 1);
    for (const [version, price] of [[4, 40], [2, 20], [5, 50]]) assert.deepEqual(await publish(version, price), {});
    const updates = [await events.next("update"), await events.next("update")];
    assert.deepEqual(updates.map(({ data }) => held(data)), [{ price: 40 }, { price: 50 }]);
    assert.deepEqual([await metric(server, 'shared_poll_publish_count{result="applied"}'), await metric(server, 'shared_poll_publish_count{result="skipped"}')], [2, 1]);
    await assert.rejects(publish(0, 1), { code: 107 });
  });

  test(`keys that nobody signed for the user are refused`, async (t) => {
    const { server } = await polling(t, {});
    const client = await connect(t, wire, server);
    const { subscription, events } = await follow(client);
    subscription.track([{ key: "gold", version: 0 }], sign("somebody", ["gold"]));
    assert.equal((await events.next("error")).error.code, 103);
    subscription.track([{ key: "lead", version: 0 }], sign("", ["lead"], { expires: secondsFromNow(-60) }));
    assert.equal((await events.next("error")).error.code, 109);
  });
});

test("tracking and untracking have rates of their own (PRO-30)", async (t) => {
  const rate = (most) => ({ enabled: true, buckets: [{ interval: "1h", rate: most }] });
  const client_command = { enabled: true, track: rate(2), untrack: rate(1) };
  const { server } = await polling(t, { gold: { data: 1 } }, {}, { rate_limit: { client_command } });
  const client = await openRaw(t, server);
  await client.call({ connect: {} });
  await client.call({ subscribe: { channel: CHANNEL, type: 4 } });
  const track = { channel: CHANNEL, type: 1, track: [{ signature: sign("", ["gold"]), items: [{ key: "gold", version: 0 }] }] };
  const untrack = { channel: CHANNEL, type: 2, untrack: ["gold"] };
  const code = async (sub_refresh) => (await client.call({ sub_refresh })).error?.code;
  assert.deepEqual([await code(track), await code(track), await code(track)], [undefined, undefined, 111]);
  assert.deepEqual([await code(untrack), await code(untrack)], [undefined, 111]);
});

test("metrics tell how polling goes (MET-57)", async (t) => {
  const values = { gold: { data: 1 }, lead: { data: 2 } };
  const { server } = await polling(t, values);
  const client = await connect(t, JSON_WIRE, server);
  const { subscription, events } = await follow(client);
  subscription.track([{ key: "gold", version: 0 }, { key: "lead", version: 0 }], sign("", ["gold", "lead"]));
  await events.next("update");
  values.gold = { data: 3 };
  await events.next("update", ({ data }) => data === 3);
  const asked = await metric(server, 'shared_poll_proxy_request_items_sum{name="default"}');
  const told = await metric(server, 'shared_poll_proxy_response_items_count{name="default"}');
  assert.ok(asked >= 4 && told >= 2, `${asked} ${told}`);
  assert.ok((await metric(server, 'shared_poll_items_count{result="changed",trigger="timer"}')) >= 1);
  assert.ok((await metric(server, "shared_poll_cycle_duration_seconds_count")) >= 1);
});
