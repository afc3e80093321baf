/** What servers keep together in Redis or PostgreSQL beside an engine: revocations, limits of users, keyed channels (PRO-31, PRO-34..36, MAPB-02..05). */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { Server } from "./lib/server.mjs";
import { connect, inEveryEncoding, JSON_WIRE, subscribe } from "./lib/sdk.mjs";
import { missing as noPostgres, PASSWORD, usePostgres } from "./lib/postgres.mjs";
import { missing, useRedis, useServersOn } from "./lib/redis.mjs";
import { openRaw } from "./lib/raw.mjs";
import { PATIENCE, Recorder, until } from "./lib/wait.mjs";

const open = { allow_subscribe_for_client: true, allow_publish_for_client: true };
const CHANNEL = { namespaces: [{ name: "open", ...open }] };

/** What a connect with these claims gets: its result, an error, or the code that closes it. */
async function told(t, server, claims) {
  const client = await openRaw(t, server);
  client.send({ id: 1, connect: { token: server.token(claims) } });
  const { name, context } = await client.events.nextOf(["reply", "close"]);
  client.socket.terminate();
  if (name === "close") return context.code;
  return context.error?.code ?? "connected";
}

const comesTo = (t, server, claims, expected) =>
  until(`${JSON.stringify(claims)} to get ${expected}`, PATIENCE, async () => (await told(t, server, claims)) === expected);

/** Runs the tests of revocations that are kept in `use()`. Each server has an engine of its own: of each other they know nothing but what is there. */
const revocations = (name, { skip, use, config, more }) => describe(`revocations in ${name}`, { skip }, () => {
  const place = use();
  const [one, two] = useServersOn(place, (address) => {
    const { kept, ...rest } = config(address);
    return { channel: CHANNEL, user_block: kept, token_revoke: kept, user_tokens_invalidate: kept, ...rest };
  });
  const restart = async (...servers) => {
    await Promise.all(servers.map((server) => server.stop()));
    await Promise.all(servers.map((server) => server.start()));
  };

  test("a user who is blocked at one server is sent away and kept out at the other, and after all have ended", async (t) => {
    const user = crypto.randomUUID();
    const client = await connect(t, JSON_WIRE, two, { user });
    const other = await connect(t, JSON_WIRE, two, { user: "other" });
    await one.api("block_user", { user });
    assert.equal((await client.events.next("disconnected")).code, 3507);
    assert.equal(await told(t, one, { sub: user }), 3507);
    assert.equal(other.state, "connected");
    await restart(one, two);
    // At once: it is known before anybody can connect.
    assert.deepEqual([await told(t, one, { sub: user }), await told(t, two, { sub: user })], [3507, 3507]);
    await two.api("unblock_user", { user });
    assert.equal(await told(t, two, { sub: user }), "connected");
    await comesTo(t, one, { sub: user }, "connected");
  });

  test("a token that is revoked at one server counts as expired at the other, and after all have ended", async (t) => {
    const [jti, sub] = [crypto.randomUUID(), "ann"];
    assert.equal(await told(t, two, { sub, jti }), "connected");
    await one.api("revoke_token", { uid: jti, expire_at: 99_999_999_999 });
    await comesTo(t, two, { sub, jti }, 109);
    await restart(one, two);
    assert.deepEqual([await told(t, one, { sub, jti }), await told(t, two, { sub, jti })], [109, 109]);
    assert.equal(await told(t, two, { sub, jti: crypto.randomUUID() }), "connected");
  });

  test("older tokens of a user count as expired at both servers, and after all have ended", async (t) => {
    const sub = crypto.randomUUID();
    await one.api("invalidate_user_tokens", { user: sub, issued_before: 1_000 });
    await comesTo(t, two, { sub, iat: 999 }, 109);
    await two.api("invalidate_user_tokens", { user: sub, issued_before: 500 });
    await restart(one, two);
    for (const server of [one, two]) {
      assert.equal(await told(t, server, { sub, iat: 999 }), 109, "the later time counts");
      assert.equal(await told(t, server, { sub, iat: 1_000 }), "connected");
    }
  });

  test("older tokens of a user for a channel count as expired at both servers, and after all have ended", async (t) => {
    const sub = crypto.randomUUID();
    const subscribed = async (server, channel, iat) => {
      const client = await openRaw(t, server);
      await client.connect(server, sub);
      const reply = await client.call({ subscribe: { channel, token: server.token({ sub, channel, iat }) } });
      client.socket.terminate();
      return reply.error?.code ?? "subscribed";
    };
    await one.api("invalidate_user_tokens", { user: sub, channel: "open:a", issued_before: 1_000 });
    await until("the other server to know", PATIENCE, async () => (await subscribed(two, "open:a", 999)) === 109);
    await restart(one, two);
    for (const server of [one, two]) {
      assert.equal(await subscribed(server, "open:a", 999), 109);
      assert.deepEqual([await subscribed(server, "open:a", 1_000), await subscribed(server, "open:b", 999)], ["subscribed", "subscribed"]);
      assert.equal(await told(t, server, { sub, iat: 999 }), "connected");
    }
  });

  more?.(place, [one, two], restart);
});

revocations("Redis", {
  skip: missing,
  use: useRedis,
  config: (address) => ({ kept: { storage_type: "redis", redis: { address, client_name: "revocations" } } }),
  more: (redis, [one, two], restart) =>
    test("what is known holds while Redis is away, and a Redis that has lost everything gets it back", async (t) => {
      const [user, later] = [crypto.randomUUID(), crypto.randomUUID()];
      await one.api("block_user", { user });
      await comesTo(t, two, { sub: user }, 3507);
      await redis.kill();
      await assert.rejects(one.api("block_user", { user: later }), { code: 100 });
      assert.deepEqual([await told(t, one, { sub: user }), await told(t, two, { sub: user })], [3507, 3507]);
      assert.equal(await told(t, one, { sub: later }), "connected", "what was not kept does not hold");
      await redis.start();
      await until("Redis to be used again", PATIENCE, () => one.api("block_user", { user: later }).then(() => true, () => false));
      await comesTo(t, two, { sub: later }, 3507);
      const known = async () => redis.cli("ZSCORE", "centrifugo.{user_block}.ends", user) === "inf";
      await until("Redis to know again", PATIENCE, known);
      await restart(one, two);
      for (const sub of [user, later]) assert.deepEqual([await told(t, one, { sub }), await told(t, two, { sub })], [3507, 3507]);
      assert.match(redis.cli("CLIENT", "LIST"), /name=revocations /);
    }),
});

revocations("PostgreSQL", {
  skip: noPostgres,
  use: usePostgres,
  config: (dsn) => ({ kept: { storage_type: "database" }, database: { enabled: true, postgresql: { dsn } } }),
  more: (postgres, [one, two], restart) =>
    test("what is known holds while PostgreSQL is away, and a table that is gone is made again with what was in it", async (t) => {
      const [user, later] = [crypto.randomUUID(), crypto.randomUUID()];
      await one.api("block_user", { user });
      await comesTo(t, two, { sub: user }, 3507);
      await postgres.kill();
      await assert.rejects(one.api("block_user", { user: later }), { code: 100 });
      assert.deepEqual([await told(t, one, { sub: user }), await told(t, two, { sub: user })], [3507, 3507]);
      assert.equal(await told(t, one, { sub: later }), "connected", "what was not kept does not hold");
      await postgres.start();
      // At once: nobody has to notice first.
      await one.api("block_user", { user: later, expire_at: 99_999_999_999 });
      await comesTo(t, two, { sub: later }, 3507);
      postgres.sql("DROP TABLE tourbillon_revocations");
      const known = async () => postgres.sql("SELECT count(*) FROM tourbillon_revocations WHERE kind = 'user_block'") === "2";
      await until("PostgreSQL to know again", PATIENCE, known);
      await restart(one, two);
      for (const sub of [user, later]) assert.deepEqual([await told(t, one, { sub }), await told(t, two, { sub })], [3507, 3507]);
      for (const { log } of [one, two]) assert.ok(!log.some((line) => line.includes(PASSWORD)), "a password is not told");
    }),
});

describe("limits of users in Redis", { skip: missing }, () => {
  const redis = useRedis();
  const limit = (rate) => ({ enabled: true, buckets: [{ interval: "1h", rate }] });
  const [one, two] = useServersOn(redis, (address) => ({
    channel: CHANNEL,
    client: { rate_limit: { redis_user_command: { enabled: true, redis: { address }, publish: limit(4), connect: limit(20) } } },
  }));

  test("commands of a user at both servers take from the same bucket", async (t) => {
    const user = crypto.randomUUID();
    const [here, there] = [await connect(t, JSON_WIRE, one, { user }), await connect(t, JSON_WIRE, two, { user })];
    for (const client of [here, there, here, there]) await client.publish("open:a", {});
    for (const client of [here, there, here]) await assert.rejects(client.publish("open:a", {}), { code: 111, temporary: true });
    // Everything else goes on, and so does everybody else.
    await subscribe(here, "open:a");
    const other = await connect(t, JSON_WIRE, two, { user: crypto.randomUUID() });
    await other.publish("open:a", {});
  });

  test("connects of a user at both servers take from the same bucket", async (t) => {
    const sub = crypto.randomUUID();
    const ends = [];
    for (let n = 0; n < 22; n += 1) ends.push(await told(t, n % 2 ? one : two, { sub }));
    assert.deepEqual(ends, [...Array(20).fill("connected"), 111, 111]);
  });

  test("while Redis is away everything passes, and the log says so", async (t) => {
    const user = crypto.randomUUID();
    const client = await connect(t, JSON_WIRE, one, { user });
    for (let n = 0; n < 4; n += 1) await client.publish("open:a", {});
    await assert.rejects(client.publish("open:a", {}), { code: 111 });
    await redis.kill();
    const began = performance.now();
    for (let n = 0; n < 20; n += 1) await client.publish("open:a", {});
    assert.ok(performance.now() - began < 5_000, "commands do not wait for what is away");
    assert.equal(await told(t, two, { sub: user }), "connected");
    const said = (text) => () => one.log.some((line) => line.includes(text));
    await until("the log to say it", PATIENCE, said("cannot be asked, and lets everything pass"));
    await until("the log to say how much", PATIENCE, said("commands were let pass without being limited"));
    await redis.start();
    await until("limits to hold again", PATIENCE, () => client.publish("open:a", {}).then(() => false, ({ code }) => code === 111));
  });
});

const MAP_EVENTS = ["subscribing", "subscribed", "unsubscribed", "error", "sync", "update"];

async function follow(client, channel) {
  const subscription = client.newMapSubscription(channel);
  subscription.events = Recorder.of(subscription, ...MAP_EVENTS);
  subscription.keys = new Set();
  subscription.on("sync", ({ entries }) => (subscription.keys = new Set(entries.map(({ key }) => key))));
  subscription.on("update", ({ key, removed }) => (removed ? subscription.keys.delete(key) : subscription.keys.add(key)));
  subscription.subscribe();
  await subscription.events.next("subscribed");
  return subscription;
}

describe("keyed channels in Redis", { skip: missing }, () => {
  const redis = useRedis();
  const map = (name, rules) => ({ name, ...open, subscription_type: "map", map: { mode: "recoverable", key_ttl: "60s", allow_publish_for_client: true, ...rules } });
  const [one, two] = useServersOn(redis, (address) => ({
    engine: { type: "redis", redis: { address } },
    map_broker: { type: "redis", redis: { address, prefix: "maps", cleanup_interval: "100ms" } },
    channel: { namespaces: [map("board"), map("brief", { key_ttl: "1s" }), map("persistent", { mode: "persistent", key_ttl: "0s" })] },
  }));
  let last = 0;
  const fresh = (namespace) => `${namespace}:${(last += 1)}`;
  const keys = (subscription) => [...subscription.keys].sort();
  const expectKeys = (subscription, expected) =>
    until(`the keys ${expected}`, PATIENCE, () => keys(subscription).join() === expected.join()).catch(() => assert.deepEqual(keys(subscription), expected));

  inEveryEncoding((wire) => {
    test("what is set at one server is known at the other, as state and as changes", async (t) => {
      const channel = fresh("board");
      await one.api("map_publish", { channel, key: "before", data: 1 });
      const [ann, bob] = [await connect(t, wire, one, { user: "ann" }), await connect(t, wire, two, { user: "bob" })];
      const [hers, his] = [await follow(ann, channel), await follow(bob, channel)];
      await expectKeys(his, ["before"]);
      await hers.publish("mine", wire.toPayload({ by: "ann" }));
      assert.equal((await his.events.next("update")).info.user, "ann");
      await two.api("map_remove", { channel, key: "before" });
      for (const subscription of [hers, his]) await expectKeys(subscription, ["mine"]);
      // A key that is expected to be new is not set again by the other server.
      const twice = await two.api("map_publish", { channel, key: "mine", data: 2, key_mode: "if_new" });
      assert.equal(twice.suppressed, true);
    });

    test("who was away catches up at the other server", async (t) => {
      const channel = fresh("board");
      const client = await connect(t, wire, one, { user: "ann" });
      const watching = await connect(t, wire, two, { user: "bob" });
      const his = await follow(watching, channel);
      const hers = await follow(client, channel);
      await two.api("map_publish", { channel, key: "a", data: 1 });
      await expectKeys(hers, ["a"]);
      client.disconnect();
      await one.api("map_publish", { channel, key: "b", data: 1 });
      client.connect();
      const context = await hers.events.next("subscribed");
      assert.equal(context.recovered, true);
      for (const subscription of [hers, his]) await expectKeys(subscription, ["a", "b"]);
    });
  });

  test("a key whose time is over is told as removed at both servers", async (t) => {
    const channel = fresh("brief");
    const [ann, bob] = [await connect(t, JSON_WIRE, one, { user: "ann" }), await connect(t, JSON_WIRE, two, { user: "bob" })];
    const [hers, his] = [await follow(ann, channel), await follow(bob, channel)];
    await one.api("map_publish", { channel, key: "a", data: 1 });
    for (const subscription of [hers, his]) {
      assert.equal((await subscription.events.next("update", ({ removed }) => removed)).key, "a");
    }
  });

  test("keys are kept when all servers have ended", async (t) => {
    const channel = fresh("persistent");
    await one.api("map_publish", { channel, key: "a", data: 1 });
    await Promise.all([one.stop(), two.stop()]);
    await Promise.all([one.start(), two.start()]);
    const client = await connect(t, JSON_WIRE, two, { user: "ann" });
    await expectKeys(await follow(client, channel), ["a"]);
    assert.equal(redis.cli("EXISTS", `maps:state:${channel}`), "1");
  });

  test("a Redis that was killed and came back is used again", async (t) => {
    const channel = fresh("board");
    const client = await connect(t, JSON_WIRE, one, { user: "ann" });
    const subscription = await follow(client, channel);
    await two.api("map_publish", { channel, key: "a", data: 1 });
    await expectKeys(subscription, ["a"]);
    await redis.kill();
    await assert.rejects(two.api("map_publish", { channel, key: "lost", data: 1 }), { code: 100 });
    await redis.start();
    await until("publishing to work", PATIENCE, () => two.api("map_publish", { channel, key: "b", data: 1 }).then(() => true, () => false));
    // Everything that Redis knew is gone.
    await expectKeys(subscription, ["b"]);
  });
});

describe("a server without its Redis", { skip: missing }, () => {
  const address = "redis://:secret@127.0.0.1:1";
  const kept = { storage_type: "redis", redis: { address } };
  for (const [option, config] of [
    ["user_block.redis", { user_block: kept }],
    ["token_revoke.redis", { token_revoke: kept }],
    ["user_tokens_invalidate.redis", { user_tokens_invalidate: kept }],
    ["client.rate_limit.redis_user_command.redis", { client: { rate_limit: { redis_user_command: { enabled: true, redis: { address } } } } }],
    ["map_broker.redis", { map_broker: { type: "redis", redis: { address } } }],
  ]) {
    test(`does not start for ${option}, and says where it looked`, async (t) => {
      const server = new Server(config);
      t.after(() => server.close());
      assert.equal(await server.refusal(), 1);
      const log = server.log.join("\n");
      assert.ok(log.includes(`${option}: Redis at 127.0.0.1:1`), log);
      assert.doesNotMatch(log, /secret/);
    });
  }
});

describe("a server without its PostgreSQL", () => {
  test("does not start, and says where it looked", async (t) => {
    const dsn = "postgresql://app:secret@127.0.0.1:1/app";
    const server = new Server({ user_block: { storage_type: "database" }, database: { enabled: true, postgresql: { dsn } } });
    t.after(() => server.close());
    assert.equal(await server.refusal(), 1);
    const log = server.log.join("\n");
    assert.ok(log.includes("database.postgresql: PostgreSQL at 127.0.0.1:1: error connecting to server: Connection refused"), log);
    assert.doesNotMatch(log, /secret/);
  });
});
