/** Who is in a channel, and who comes and goes: CMD-08, CMD-09, PUSH-02, API-26, API-27, OPT-01..03, OPT-15. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { useServer } from "./lib/server.mjs";
import { connect, inEveryEncoding, subscribe } from "./lib/sdk.mjs";
import { PATIENCE, until } from "./lib/wait.mjs";

const open = { allow_subscribe_for_client: true };
const CONFIG = {
  channel: {
    namespaces: [
      { name: "seen", ...open, presence: true, join_leave: true, force_push_join_leave: true, allow_presence_for_subscriber: true },
      { name: "asked", ...open, presence: true, join_leave: true, allow_presence_for_client: true },
      { name: "hidden", ...open, presence: true, join_leave: true },
    ],
  },
};

let last = 0;
const fresh = (namespace) => `${namespace}:${(last += 1)}`;

describe("presence", () => {
  const server = useServer(CONFIG);

  inEveryEncoding((wire) => {
    test("subscribers see who is there, and so does the API", async (t) => {
      const channel = fresh("seen");
      const token = server.token({ sub: "ann", info: { name: "Ann" } });
      const ann = await connect(t, wire, server, { token });
      const seen = await subscribe(ann, channel);
      const bob = await connect(t, wire, server, { user: "bob" });
      await subscribe(bob, channel);
      const { clients } = await seen.presence();
      assert.deepEqual(Object.keys(clients).sort(), [ann.id, bob.id].sort());
      assert.equal(clients[bob.id].user, "bob");
      assert.deepEqual(wire.fromPayload(clients[ann.id].connInfo), { name: "Ann" });
      assert.deepEqual(await seen.presenceStats(), { numClients: 2, numUsers: 2 });
      const { presence } = await server.api("presence", { channel });
      assert.deepEqual(presence[ann.id], { user: "ann", client: ann.id, conn_info: { name: "Ann" } });
      assert.deepEqual(await server.api("presence_stats", { channel }), { num_clients: 2, num_users: 2 });
      bob.disconnect();
      await until("Bob to be gone", PATIENCE, async () => (await seen.presenceStats()).numClients === 1);
    });

    test("joins and leaves are told, one's own join too", async (t) => {
      const channel = fresh("seen");
      const ann = await connect(t, wire, server, { user: "ann" });
      const hears = await subscribe(ann, channel);
      assert.equal((await hears.events.next("join")).info.user, "ann");
      const bob = await connect(t, wire, server, { user: "bob" });
      const heard = await subscribe(bob, channel);
      assert.deepEqual((await hears.events.next("join")).info.client, bob.id);
      heard.unsubscribe();
      assert.equal((await hears.events.next("leave")).info.client, bob.id);
      heard.subscribe();
      assert.equal((await hears.events.next("join")).info.client, bob.id);
      bob.disconnect();
      assert.equal((await hears.events.next("leave")).info.client, bob.id);
    });

    test("joins are told to those who ask, where the channel leaves it to them", async (t) => {
      const channel = fresh("asked");
      const ann = await connect(t, wire, server, { user: "ann" });
      const hears = await subscribe(ann, channel, { joinLeave: true });
      assert.equal((await hears.events.next("join")).info.user, "ann");
      const bob = await connect(t, wire, server, { user: "bob" });
      const deaf = await subscribe(bob, channel);
      assert.equal((await hears.events.next("join")).info.user, "bob");
      await server.api("publish", { channel, data: {} });
      await deaf.events.next("publication");
      assert.equal(deaf.events.count("join"), 0);
    });

    test("presence is for those who may see it", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, fresh("hidden"));
      await assert.rejects(subscription.presence(), { code: 103 });
      await assert.rejects(subscription.presenceStats(), { code: 103 });
    });
  });
});
