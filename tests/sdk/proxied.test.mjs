/** Behind a reverse proxy that knows nothing of the protocol (NET-11). */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { useServer } from "./lib/server.mjs";
import { missing, names, useProxy } from "./lib/proxies.mjs";
import { connect, inEveryEncoding, nextValue, overEveryHttpTransport, subscribe } from "./lib/sdk.mjs";
import { until, PATIENCE } from "./lib/wait.mjs";

const CONFIG = {
  http_stream: { enabled: true },
  sse: { enabled: true },
  // So that several pings and their answers pass.
  client: { ping_interval: "1s", pong_timeout: "500ms" },
  channel: { namespaces: [{ name: "open", allow_subscribe_for_client: true, allow_publish_for_client: true }] },
};
const EACH = 50;

for (const name of names) describe(`behind ${name}`, { skip: missing(name) }, () => {
  const server = useServer(CONFIG);
  const proxy = useProxy(name, server);
  const over = (wire) => {
    test("each publication arrives when it is made, whoever makes it", async (t) => {
      const channel = `open:${crypto.randomUUID()}`;
      const [one, two] = await Promise.all(["1", "2"].map((user) => connect(t, wire, proxy, { user })));
      const subscriptions = await Promise.all([one, two].map((client) => subscribe(client, channel)));
      for (let n = 0; n < EACH; n += 1) {
        if (n % 2) await one.publish(channel, wire.toPayload({ n }));
        else await server.api("publish", { channel, data: { n } });
        // Nothing else is on its way that would push it out of a buffer.
        for (const subscription of subscriptions) assert.deepEqual(await nextValue(wire, subscription), { n });
      }
    });

    test("a quiet connection lives, and its end comes with its code", async (t) => {
      const client = await connect(t, wire, proxy, { user: "3" });
      const begun = performance.now();
      await until("some pings to pass", PATIENCE, () => performance.now() - begun > 4_000);
      assert.equal(client.state, "connected");
      assert.equal(client.events.count("connecting"), 1, "it was never away");
      await server.api("disconnect", { user: "3", disconnect: { code: 4501, reason: "enough" } });
      const { code, reason } = await client.events.next("disconnected");
      assert.deepEqual({ code, reason }, { code: 4501, reason: "enough" });
    });
  };

  describe("websocket", () => inEveryEncoding(over));
  overEveryHttpTransport(over);
});
