/** Two servers on one PostgreSQL (ENG-02, ENG-05, PGS-01 to PGS-10, CTL-01). */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { Server } from "./lib/server.mjs";
import { missing, PASSWORD, usePostgres } from "./lib/postgres.mjs";
import { useServersOn } from "./lib/redis.mjs";
import { JSON_WIRE, connect, inEveryEncoding, nextValue, subscribe } from "./lib/sdk.mjs";
import { PATIENCE, until } from "./lib/wait.mjs";

const OPEN = { allow_subscribe_for_client: true, allow_publish_for_client: true };
const KEPT = { history_size: 10, history_ttl: "60s", force_recovery: true, allow_history_for_subscriber: true };

const config = (dsn, options = {}) => ({
  broker: { enabled: true, type: "postgres", postgres: { dsn, use_notify: true, ...options } },
  controller: { enabled: true, type: "postgres", postgres: { dsn } },
  channel: { namespaces: [{ name: "open", ...OPEN }, { name: "kept", ...OPEN, ...KEPT }, { name: "joins", ...OPEN, join_leave: true, force_push_join_leave: true }] },
});

describe("two servers on one PostgreSQL", { skip: missing }, () => {
  const postgres = usePostgres();
  const servers = useServersOn(postgres, config);
  const [one, other] = servers;
  const someone = () => `user-${crypto.randomUUID()}`;
  /** Somebody at each server, subscribed. */
  const both = async (t, wire, channel) => Promise.all(servers.map(async (server) => subscribe(await connect(t, wire, server, { user: someone() }), channel)));

  inEveryEncoding((wire) => {
    test("what a transaction publishes arrives at both when it commits, and never if it is undone", async (t) => {
      const channel = `kept:${crypto.randomUUID()}`;
      const subscriptions = await both(t, wire, channel);
      const call = (n) => `SELECT cf_stream_publish('${channel}', '{"n": ${n}}', p_history_size => 10, p_history_ttl => '1 minute')`;
      postgres.sql("CREATE TABLE IF NOT EXISTS orders (n integer)");
      postgres.sql(`BEGIN; INSERT INTO orders VALUES (1); ${call(1)}; ROLLBACK`);
      postgres.sql(`BEGIN; INSERT INTO orders VALUES (2); ${call(2)}; ${call(3)}; COMMIT`);
      for (const subscription of subscriptions) {
        for (const n of [2, 3]) {
          const { data, offset } = await subscription.events.next("publication");
          assert.deepEqual([wire.fromPayload(data), Number(offset)], [{ n }, n - 1]);
        }
      }
      const { publications, offset } = await other.api("history", { channel, limit: 10 });
      assert.deepEqual([publications.map(({ data }) => data.n), offset], [[2, 3], 2]);
    });

    test("what is published on one, by whomever, is heard on the other in one order, and kept", async (t) => {
      const channel = `kept:${crypto.randomUUID()}`;
      const subscriptions = await both(t, wire, channel);
      for (let n = 1; n <= 10; n += 1) {
        if (n % 2) await subscriptions[0].publish(wire.toPayload({ n }));
        else await other.api("publish", { channel, data: { n }, tags: { n: String(n) } });
      }
      for (const subscription of subscriptions) {
        for (let n = 1; n <= 10; n += 1) {
          const { data, offset } = await subscription.events.next("publication");
          assert.deepEqual([wire.fromPayload(data), Number(offset)], [{ n }, n]);
        }
      }
      // Positions are the same everywhere: a subscriber goes on at the other server where it was.
      const { offset, epoch } = await one.api("history", { channel });
      await one.api("publish", { channel, data: { n: 11 } });
      const late = await connect(t, wire, other, { user: someone() });
      const subscription = await subscribe(late, channel, { since: { offset, epoch } });
      assert.deepEqual(await nextValue(wire, subscription), { n: 11 });
    });

    test("what is not kept has no place", async (t) => {
      const channel = `open:${crypto.randomUUID()}`;
      const subscriptions = await both(t, wire, channel);
      await one.api("publish", { channel, data: "past" });
      for (const subscription of subscriptions) {
        const { data, offset } = await subscription.events.next("publication");
        assert.deepEqual([wire.fromPayload(data), Number(offset ?? 0)], ["past", 0]);
      }
    });

    test("who comes and goes on one is told on the other", async (t) => {
      const channel = `joins:${crypto.randomUUID()}`;
      const subscription = await subscribe(await connect(t, wire, one, { user: someone() }), channel);
      const user = someone();
      const comes = await connect(t, wire, other, { user });
      await subscribe(comes, channel);
      const { info } = await subscription.events.next("join", (context) => context.info.user === user);
      assert.equal(info.client, comes.id);
      comes.disconnect();
      assert.equal((await subscription.events.next("leave", (context) => context.info.user === user)).info.client, comes.id);
    });
  });

  test("they know each other, and the API of one reaches connections of the other", async (t) => {
    await until("the nodes to know each other", PATIENCE, async () => {
      const infos = await Promise.all(servers.map((server) => server.api("info")));
      return infos.every(({ nodes }) => nodes.length === 2);
    });
    const user = someone();
    const client = await connect(t, JSON_WIRE, other, { user });
    await one.api("subscribe", { user, channel: "open:gift" });
    assert.equal((await client.events.next("subscribed")).channel, "open:gift");
    await one.api("publish", { channel: "open:gift", data: { n: 1 } });
    assert.deepEqual((await client.events.next("publication")).data, { n: 1 });
    await one.api("disconnect", { user });
    assert.deepEqual(await client.events.next("disconnected"), { code: 3503, reason: "force disconnect" });
  });

  test("keys and versions are the same at both", async () => {
    const channel = `kept:${crypto.randomUUID()}`;
    const first = await one.api("publish", { channel, data: 1, idempotency_key: "k", version: 5 });
    assert.deepEqual(await other.api("publish", { channel, data: 2, idempotency_key: "k" }), first);
    await other.api("publish", { channel, data: 3, version: 4 });
    assert.deepEqual((await other.api("history", { channel, limit: 10 })).publications.map(({ data }) => data), [1]);
    await other.api("history_remove", { channel });
    const { publications, offset } = await one.api("history", { channel, limit: 10 });
    assert.deepEqual([publications, offset], [[], 1]);
  });

  test("without PostgreSQL publishing fails, and with it again subscribers have missed nothing", async (t) => {
    const channel = `kept:${crypto.randomUUID()}`;
    const subscriptions = await both(t, JSON_WIRE, channel);
    await one.api("publish", { channel, data: "before" });
    await postgres.kill();
    await assert.rejects(one.api("publish", { channel, data: "lost" }), { code: 100 });
    await postgres.start();
    postgres.sql(`SELECT cf_stream_publish('${channel}', '"meanwhile"')`);
    await until("publishing to work", PATIENCE, () => one.api("publish", { channel, data: "after" }).then(() => true, () => false));
    for (const subscription of subscriptions) {
      for (const value of ["before", "meanwhile", "after"]) assert.equal(await nextValue(JSON_WIRE, subscription), value);
      assert.equal(subscription.state, "subscribed");
    }
  });

  test("a server that disagrees about the tables does not start", async (t) => {
    for (const [options, told] of [
      [{ num_shards: 3 }, /broker\.postgres: PostgreSQL at 127\.0\.0\.1:\d+: cf_stream_shard_lock has 8 shards/],
      [{ skip_schema_init: true, table_prefix: "nothing" }, /the tables nothing_stream_\* are missing/],
      [{ dsn: "postgresql://postgres:secret@127.0.0.1:1/postgres" }, /PostgreSQL at 127\.0\.0\.1:1/],
    ]) {
      const server = new Server(config(postgres.address, options));
      t.after(() => server.close());
      assert.equal(await server.refusal(), 1);
      const log = server.log.join("\n");
      assert.match(log, told);
      assert.ok(!log.includes(PASSWORD) && !log.includes("secret"));
    }
  });
});
