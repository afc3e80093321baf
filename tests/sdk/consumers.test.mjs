/** Consumers: what an application writes into an outbox reaches subscribers (CONS-01 to CONS-10). */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { Server, startServer } from "./lib/server.mjs";
import { missing, usePostgres } from "./lib/postgres.mjs";
import { JSON_WIRE, connect, nextValue, subscribe } from "./lib/sdk.mjs";
import { PATIENCE, until } from "./lib/wait.mjs";

const NEWS = { name: "news", allow_subscribe_for_client: true, history_size: 100, history_ttl: "60s" };

/** What a metric of the consumer is. */
async function metric(server, name) {
  const text = await (await fetch(`${server.http}/metrics`)).text();
  const line = text.split("\n").find((line) => line.startsWith(`centrifugo_consumers_${name}{consumer_name="orders"}`));
  return Number(line?.split(" ").at(-1));
}

describe("an outbox in PostgreSQL", { skip: missing }, () => {
  const postgres = usePostgres();
  const config = (more = {}) => ({
    channel: { namespaces: [NEWS] },
    prometheus: { enabled: true },
    consumers: [
      {
        name: "orders",
        enabled: true,
        type: "postgresql",
        postgresql: { dsn: postgres.address, outbox_table_name: "outbox", partition_poll_interval: "50ms", num_partitions: 2, ...more },
      },
    ],
  });
  const rows = () => Number(postgres.sql("SELECT count(*) FROM outbox"));
  const makeTable = () =>
    postgres.sql(`DROP TABLE IF EXISTS outbox; CREATE TABLE outbox
      (id BIGSERIAL PRIMARY KEY, method TEXT NOT NULL, payload JSONB NOT NULL, partition INTEGER NOT NULL DEFAULT 0)`);
  const insert = (method, payload, partition = 0) =>
    postgres.sql(`INSERT INTO outbox (method, payload, partition) VALUES ('${method}', '${JSON.stringify(payload)}', ${partition})`);

  test("a row reaches subscribers, and a server that starts again goes on where it was", async (t) => {
    makeTable();
    const server = await startServer(t, config());
    const client = await connect(t, JSON_WIRE, server, { user: "ann" });
    const subscription = await subscribe(client, "news:today");
    for (let n = 0; n < 10; n += 1) insert("publish", { channel: "news:today", data: { n } });
    for (let n = 0; n < 10; n += 1) assert.deepEqual(await nextValue(JSON_WIRE, subscription), { n });
    insert("broadcast", { channels: ["news:today", "news:other"], data: "all" }, 1);
    assert.equal(await nextValue(JSON_WIRE, subscription), "all");
    await until("the rows to be deleted", PATIENCE, () => rows() === 0);
    assert.equal(await server.stop(), 0);
    for (let n = 10; n < 13; n += 1) insert("publish", { channel: "news:today", data: { n } });
    await server.start();
    await until("the rows to be deleted", PATIENCE, () => rows() === 0);
    const { publications } = await server.api("history", { channel: "news:today", limit: 100 });
    assert.deepEqual(publications.map(({ data }) => data.n), [10, 11, 12], "those that waited, once each");
    const resumed = await subscribe(await connect(t, JSON_WIRE, server, { user: "ann" }), "news:today");
    insert("publish", { channel: "news:today", data: { n: 13 } });
    assert.deepEqual(await nextValue(JSON_WIRE, resumed), { n: 13 });
    await until("the rows to be deleted", PATIENCE, () => rows() === 0);
  });

  test("a user is subscribed and sent away by rows", async (t) => {
    makeTable();
    const server = await startServer(t, config());
    const client = await connect(t, JSON_WIRE, server, { user: "bob" });
    insert("subscribe", { user: "bob", channel: "news:gift" });
    assert.equal((await client.events.next("subscribed")).channel, "news:gift");
    insert("disconnect", { user: "bob" });
    assert.equal((await client.events.next("disconnected")).code, 3503);
  });

  test("a poisoned row is skipped, counted and told of", async (t) => {
    makeTable();
    const server = await startServer(t, config());
    const client = await connect(t, JSON_WIRE, server, { user: "ann" });
    const subscription = await subscribe(client, "news:today");
    assert.equal(await metric(server, "messages_processed_total"), 0);
    insert("publish", { channel: ["secret-of-a-row"] });
    insert("launch", {});
    insert("publish", { channel: "nowhere:today", data: 1 });
    insert("publish", { channel: "news:today", data: "after" });
    assert.equal(await nextValue(JSON_WIRE, subscription), "after");
    await until("all to be counted", PATIENCE, async () => (await metric(server, "messages_processed_total")) === 4);
    assert.equal(await metric(server, "messages_skipped_total"), 3);
    assert.equal(await metric(server, "errors_total"), 0);
    assert.equal(rows(), 0);
    const told = server.log.filter((line) => line.includes("a consumed message is skipped"));
    assert.equal(told.length, 3, told.join("\n"));
    assert.ok(!server.log.some((line) => line.includes("secret-of-a-row")));
  });

  test("a database that goes away and comes back is told of, and loses nothing", async (t) => {
    makeTable();
    const server = await startServer(t, config());
    const client = await connect(t, JSON_WIRE, server, { user: "ann" });
    const subscription = await subscribe(client, "news:today");
    const health = async () => (await fetch(`${server.http}/health/ready`)).json();
    await until("it to be ready", PATIENCE, async () => (await health()).status === "ready");
    await postgres.kill();
    await until("health to tell", PATIENCE, async () => (await health()).failing_consumers?.includes("orders"));
    assert.equal((await health()).status, "ready", "clients are as well here as elsewhere");
    assert.ok((await metric(server, "sources_failing")) > 0);
    await postgres.start();
    insert("publish", { channel: "news:today", data: "back" });
    assert.equal(await nextValue(JSON_WIRE, subscription), "back");
    await until("health to be well", PATIENCE, async () => (await health()).failing_consumers === undefined);
    assert.ok((await metric(server, "errors_total")) > 0);
  });

  test("a server does not start where its outbox is not there", async (t) => {
    const server = new Server(config({ outbox_table_name: "nowhere" }));
    t.after(() => server.close().catch(() => {}));
    assert.notEqual(await server.refusal(), 0);
    assert.match(server.logTail(), /the consumer "orders": PostgreSQL: relation "nowhere" does not exist/);
  });
});
