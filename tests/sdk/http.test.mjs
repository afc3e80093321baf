/** The SDK where there is no WebSocket: over HTTP streaming and over server-sent events, with the emulation endpoint. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { useServer } from "./lib/server.mjs";
import { beginSubscription, connect, newClient, nextValue, overEveryHttpTransport, subscribe } from "./lib/sdk.mjs";
import { until, PATIENCE } from "./lib/wait.mjs";

const HTTP = {
  http_stream: { enabled: true },
  sse: { enabled: true },
  uni_http_stream: { enabled: true },
  uni_sse: { enabled: true },
  channel: { namespaces: [{ name: "open", allow_subscribe_for_client: true, allow_publish_for_client: true }] },
};
const EACH = 100;
const PINGS = 3;

describe("connections over plain HTTP", () => {
  const server = useServer(HTTP);

  overEveryHttpTransport((wire) => {
    test("publications of the API and of clients arrive, complete and in one order", async (t) => {
      const channel = `open:${crypto.randomUUID()}`;
      const [one, two] = await Promise.all(["1", "2"].map((user) => connect(t, wire, server, { user })));
      const subscriptions = await Promise.all([one, two].map((client) => subscribe(client, channel)));
      const byApi = async () => {
        for (let n = 0; n < EACH; n += 1) await server.api("publish", { channel, data: { by: "api", n } });
      };
      const byClient = async () => {
        for (let n = 0; n < EACH; n += 1) await one.publish(channel, wire.toPayload({ by: "client", n }));
      };
      await Promise.all([byApi(), byClient()]);
      const seen = await Promise.all(subscriptions.map(async (subscription) => {
        const values = [];
        while (values.length < 2 * EACH) values.push(await nextValue(wire, subscription));
        return values;
      }));
      for (const by of ["api", "client"]) {
        const order = seen[0].filter((value) => value.by === by).map(({ n }) => n);
        assert.deepEqual(order, Array.from({ length: EACH }, (_, n) => n), `publications of the ${by}`);
      }
      assert.deepEqual(seen[1], seen[0], "subscribers disagree about the order");
    });

    test("commands are answered, refused ones with their errors", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      await assert.rejects(client.rpc("nothing", wire.toPayload({})), (error) => error.code === 108 || error.code === 104);
      await assert.rejects(client.publish("nowhere:a", wire.toPayload({})), { code: 102 });
      const refused = beginSubscription(client, "nowhere:a");
      const { code } = await refused.events.next("unsubscribed");
      assert.equal(code, 102);
      assert.equal(client.events.count("disconnected"), 0);
    });

    test("a frame as large as a request may be arrives, and so does its publication", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, "open:large");
      const value = { text: "é\n\"\\".repeat(5_000) };
      await client.publish("open:large", wire.toPayload(value));
      assert.deepEqual(await nextValue(wire, subscription), value);
    });

    test("after an unsubscribe nothing comes any more", async (t) => {
      const [client, other] = await Promise.all(["1", "2"].map((user) => connect(t, wire, server, { user })));
      const channel = `open:${crypto.randomUUID()}`;
      const [left, stays] = [await subscribe(client, channel), await subscribe(client, `${channel}-2`)];
      left.unsubscribe();
      await left.events.next("unsubscribed");
      // Its command is on its way in a request of its own, and a later request may overtake it: the server tells when it is done.
      await until("the server to have unsubscribed it", PATIENCE, async () => !(channel in (await server.api("channels")).channels));
      await server.api("publish", { channel, data: { lost: true } });
      await server.api("publish", { channel: `${channel}-2`, data: { last: true } });
      assert.deepEqual(await nextValue(wire, stays), { last: true });
      assert.equal(left.events.count("publication"), 0);
      assert.equal(other.events.count("disconnected"), 0);
    });

    test("a server-side unsubscribe is told", async (t) => {
      const client = await connect(t, wire, server, { user: "gone" });
      const subscription = await subscribe(client, "open:kick");
      await server.api("unsubscribe", { user: "gone", channel: "open:kick" });
      assert.equal((await subscription.events.next("unsubscribed")).code, 2000);
    });

    test("a token that is none is told by 3500", async (t) => {
      const client = newClient(t, wire, server, { token: "a.b.c" });
      client.connect();
      assert.equal((await client.events.next("disconnected")).code, 3500);
    });

    test("the server knows when a client is gone", async (t) => {
      const before = (await server.api("info")).nodes[0].num_clients;
      const client = await connect(t, wire, server, { user: "leaves" });
      client.disconnect();
      await until("the connection to end", PATIENCE, async () => (await server.api("info")).nodes[0].num_clients <= before);
    });
  });
});

describe("pings over plain HTTP", () => {
  const server = useServer({ ...HTTP, client: { ping_interval: "1s", pong_timeout: "700ms" } });

  overEveryHttpTransport((wire) => {
    test("a connection whose pongs come by requests of their own lives", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, "open:a");
      await new Promise((resolve) => setTimeout(resolve, PINGS * 1_000));
      await client.publish("open:a", wire.toPayload({ alive: true }));
      assert.deepEqual(await nextValue(wire, subscription), { alive: true });
      assert.equal(client.events.count("connected"), 1);
    });
  });
});
