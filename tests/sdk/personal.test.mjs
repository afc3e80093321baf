/** Channels that users get from the server: their own, and those that they ask for as they connect. LIFE-10, LIFE-11, HID-62. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { startServer, useServer } from "./lib/server.mjs";
import { connect, inEveryEncoding, newClient } from "./lib/sdk.mjs";
import { openRaw } from "./lib/raw.mjs";
import { PATIENCE, until } from "./lib/wait.mjs";

const NAMESPACES = [
  { name: "own", presence: true, history_size: 100, history_ttl: "300s", force_recovery: true },
  { name: "open", allow_subscribe_for_client: true, history_size: 100, history_ttl: "300s", force_recovery: true },
  { name: "closed" },
];
const personal = (more) => ({
  client: { subscribe_to_user_personal_channel: { enabled: true, personal_channel_namespace: "own", ...more } },
  channel: { namespaces: NAMESPACES },
});

describe("a channel of one's own", () => {
  const server = useServer(personal({}));
  const someone = () => `user-${crypto.randomUUID()}`;

  inEveryEncoding((wire) => {
    test("is there as a user connects, and what was missed comes as it connects again", async (t) => {
      const user = someone();
      const client = newClient(t, wire, server, { token: server.token({ sub: user }) });
      client.connect();
      const subscribed = await client.events.next("subscribed");
      assert.deepEqual([subscribed.channel, subscribed.recoverable], [`own:#${user}`, true]);
      const values = async (count) => {
        const found = [];
        for (let n = 0; n < count; n += 1) found.push(wire.fromPayload((await client.events.next("publication")).data));
        return found;
      };
      await server.api("publish", { channel: `own:#${user}`, data: 1 });
      assert.deepEqual(await values(1), [1]);
      client.disconnect();
      const isGone = async () => (await server.api("presence_stats", { channel: `own:#${user}` })).num_clients === 0;
      await until("the client to be gone", PATIENCE, isGone);
      for (const data of [2, 3]) await server.api("publish", { channel: `own:#${user}`, data });
      client.connect();
      const again = await client.events.next("subscribed");
      assert.deepEqual([again.wasRecovering, again.recovered], [true, true]);
      assert.deepEqual(await values(2), [2, 3]);
    });

    test("channels that a client names as it connects are granted where it could subscribe", async (t) => {
      const raw = await openRaw(t, server, { encoding: wire.encoding });
      const user = someone();
      const subs = { "open:a": {}, "closed:a": {}, [`own:#${user}`]: {} };
      const { connect: result } = await raw.call({ connect: { token: server.token({ sub: user }), subs } });
      assert.deepEqual(Object.keys(result.subs).sort(), ["open:a", `own:#${user}`]);
      assert.equal(result.subs["open:a"].recoverable, true);
    });

    test("a subscription made by the API catches up from a position", async (t) => {
      const user = someone();
      const channel = `open:${user}`;
      const client = await connect(t, wire, server, { user });
      const { epoch } = await server.api("publish", { channel, data: 1 });
      for (const data of [2, 3]) await server.api("publish", { channel, data });
      await server.api("subscribe", { user, channel, recover_since: { offset: 1, epoch } });
      const mine = ({ channel: name }) => name === channel;
      assert.equal((await client.events.next("subscribed", mine)).recoverable, true);
      await server.api("publish", { channel, data: 4 });
      const found = [];
      for (let n = 0; n < 3; n += 1) {
        const publication = await client.events.next("publication", mine);
        found.push([wire.fromPayload(publication.data), Number(String(publication.offset))]);
      }
      assert.deepEqual(found, [[2, 2], [3, 3], [4, 4]]);
    });

    test("a new connection ends the others with 3504, where one is to be single", async (t) => {
      const single = await startServer(t, personal({ single_connection: true }));
      const first = await connect(t, wire, single, { user: "ada" });
      const other = await connect(t, wire, single, { user: "eve" });
      const second = await connect(t, wire, single, { user: "ada" });
      assert.deepEqual(await first.events.next("disconnected"), { code: 3504, reason: "connection limit" });
      assert.deepEqual([second.state, other.state], ["connected", "connected"]);
    });
  });
});
