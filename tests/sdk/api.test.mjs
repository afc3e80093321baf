/** The HTTP API itself: who may call it, how it answers, and what it tells about the server. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { API_KEY, startServer, useServer } from "./lib/server.mjs";
import { apiCall } from "./lib/api.mjs";
import { connect, JSON_WIRE, subscribe } from "./lib/sdk.mjs";
import { PATIENCE, until } from "./lib/wait.mjs";

const OPEN = { channel: { namespaces: [{ name: "open", allow_subscribe_for_client: true }] } };
const PUBLISH = { channel: "open:a", data: 1 };

describe("API access", () => {
  const server = useServer(OPEN);

  test("without a key, or with a wrong one, the answer is 401", async () => {
    assert.equal((await apiCall(server.http, null, "info", {})).status, 401);
    assert.equal((await apiCall(server.http, "wrong", "info", {})).status, 401);
    assert.equal((await apiCall(server.http, "wrong", "info", {}, { Authorization: `apikey ${API_KEY}` })).status, 401);
    assert.equal((await apiCall(server.http, null, "info", {}, { Authorization: `bearer ${API_KEY}` })).status, 401);
  });

  test("the key may come in either header or in the query", async () => {
    assert.equal((await apiCall(server.http, API_KEY, "publish", PUBLISH)).status, 200);
    for (const scheme of ["apikey", "ApiKey"]) {
      assert.equal((await apiCall(server.http, null, "publish", PUBLISH, { Authorization: `${scheme} ${API_KEY}` })).status, 200);
    }
    assert.equal((await apiCall(server.http, null, `publish?api_key=${encodeURIComponent(API_KEY)}`, PUBLISH)).status, 200);
    assert.equal((await apiCall(server.http, "wrong", `publish?api_key=${encodeURIComponent(API_KEY)}`, PUBLISH)).status, 200);
  });

  test("only POST is accepted", async () => {
    const answer = await fetch(`${server.http}/api/info`, { headers: { "X-API-Key": API_KEY } });
    assert.equal(answer.status, 405);
  });

  test("an unknown method is not found", async () => {
    assert.equal((await apiCall(server.http, API_KEY, "unheard-of", {})).status, 404);
  });

  test("a body that cannot be read is a bad request", async () => {
    for (const body of ["", "{", "null garbage", '{"channel":1}', '{"channel":"open:a","data":}', "[]"]) {
      assert.equal((await apiCall(server.http, API_KEY, "publish", body)).status, 400, body);
    }
  });

  test("errors of a method come with status 200", async () => {
    const unknown = await apiCall(server.http, API_KEY, "publish", { channel: "nowhere:a", data: 1 });
    assert.equal(unknown.status, 200);
    assert.equal(unknown.json.error.code, 102);
    const empty = await apiCall(server.http, API_KEY, "publish", { channel: "", data: 1 });
    assert.equal(empty.json.error.code, 107);
    const nobody = await apiCall(server.http, API_KEY, "broadcast", { channels: [], data: 1 });
    assert.equal(nobody.json.error.code, 107);
    const rpc = await apiCall(server.http, API_KEY, "rpc", { method: "unheard-of", params: {} });
    assert.equal(rpc.json.error.code, 104);
  });

  test("errors of a method come with their own status when the caller asks for it", async () => {
    const headers = { "X-Centrifugo-Error-Mode": "transport" };
    const unknown = await apiCall(server.http, API_KEY, "publish", { channel: "nowhere:a", data: 1 }, headers);
    assert.equal(unknown.status, 404);
    assert.equal(unknown.json.code, 102);
    const empty = await apiCall(server.http, API_KEY, "publish", { channel: "", data: 1 }, headers);
    assert.equal(empty.status, 400);
    assert.equal(empty.json.code, 107);
  });

  test("unknown fields are passed over", async () => {
    assert.deepEqual(await server.api("publish", { ...PUBLISH, unheard_of: { of: [1] } }), {});
  });

  test("a result without values is an empty object", async () => {
    const { text } = await apiCall(server.http, API_KEY, "publish", PUBLISH);
    assert.equal(text, '{"result":{}}');
  });
});

describe("API settings", () => {
  test("without a configured key nobody gets in", async (t) => {
    const server = await startServer(t, { http_api: { key: "" } });
    assert.equal((await apiCall(server.http, "", "info", {})).status, 401);
    assert.equal((await apiCall(server.http, null, "info", {})).status, 401);
  });

  test("insecure mode needs no key, transport mode needs no header", async (t) => {
    const server = await startServer(t, { http_api: { insecure: true, error_mode: "transport" } });
    const answer = await apiCall(server.http, null, "publish", { channel: "nowhere:a", data: 1 });
    assert.equal(answer.status, 404);
  });

  test("a disabled API is not found", async (t) => {
    const server = await startServer(t, { http_api: { disabled: true } });
    assert.equal((await apiCall(server.http, API_KEY, "info", {})).status, 404);
  });

  test("options from the environment override the file", async (t) => {
    const server = await startServer(t, {}, { env: { CENTRIFUGO_HTTP_API_KEY: "from the environment" } });
    assert.equal((await apiCall(server.http, API_KEY, "publish", { channel: "a", data: 1 })).status, 401);
    assert.equal((await apiCall(server.http, "from the environment", "publish", { channel: "a", data: 1 })).status, 200);
  });
});

describe("API about the server", () => {
  const server = useServer(OPEN);

  test("channels counts subscribers, and a pattern selects", async (t) => {
    const clients = [];
    for (const user of ["ada", "eve"]) clients.push(await connect(t, JSON_WIRE, server, { user }));
    for (const client of clients) await subscribe(client, "open:both");
    const only = await subscribe(clients[0], "open:only");
    assert.deepEqual((await server.api("channels")).channels, { "open:both": { num_clients: 2 }, "open:only": { num_clients: 1 } });
    assert.deepEqual((await server.api("channels", { pattern: "*:on*" })).channels, { "open:only": { num_clients: 1 } });
    only.unsubscribe();
    await until("the empty channel to be gone", PATIENCE, async () => !("open:only" in (await server.api("channels")).channels));
  });

  test("info counts connections, users, subscriptions and channels", async (t) => {
    for (const [user, channel] of [["ada", "open:1"], ["ada", "open:2"], ["eve", "open:2"]]) {
      await subscribe(await connect(t, JSON_WIRE, server, { user }), channel);
    }
    const expected = { num_clients: 3, num_users: 2, num_subs: 3, num_channels: 2 };
    // The figures may be as old as the last heartbeat of the node.
    const node = await until(`info to show ${JSON.stringify(expected)}`, PATIENCE, async () => {
      const { nodes } = await server.api("info");
      assert.equal(nodes.length, 1);
      return Object.entries(expected).every(([field, value]) => nodes[0][field] === value) && nodes[0];
    });
    assert.match(node.uid, /./);
    assert.match(node.name, /./);
    assert.match(node.version, /^\d+\.\d+\.\d+/);
  });
});

describe("API about what the server counted", () => {
  const server = useServer({ ...OPEN, node: { info_metrics_aggregate_interval: "1s" } });

  test("info tells what was counted in the last interval", async (t) => {
    const client = await connect(t, JSON_WIRE, server, { user: "ada" });
    await subscribe(client, "open:counted");
    const wanted = {
      "centrifugo.node.messages_sent_count.type.publication": 3,
      "centrifugo.node.messages_received_count.type.publication": 3,
      "centrifugo.transport.messages_sent.frame_type.push_publication.transport.websocket": 3,
      "centrifugo.node.num_clients": 1,
      "centrifugo.node.num_subscriptions": 1,
    };
    let metrics;
    const published = async () => {
      metrics = (await server.api("info")).nodes[0].metrics;
      return metrics.items["centrifugo.node.messages_sent_count.type.publication"];
    };
    // The server and the test do not share their seconds: what is published may fall into two intervals.
    await until("an interval to hold all that was published", PATIENCE, async () => {
      await until("an interval without publications", PATIENCE, async () => (await published()) === 0);
      for (let number = 0; number < 3; number += 1) await server.api("publish", { channel: "open:counted", data: number });
      await until("what was published to be told", PATIENCE, async () => (await published()) > 0);
      return Object.entries(wanted).every(([name, value]) => metrics.items[name] === value);
    });
    assert.equal(metrics.interval, 1);
    await until("what was published to be over", PATIENCE, async () => (await published()) === 0);
    assert.equal(metrics.items["centrifugo.node.num_clients"], 1);
    assert.ok(Object.keys(metrics.items).every((name) => name.startsWith("centrifugo.")), JSON.stringify(metrics.items));
  });
});
