/** Who may connect: tokens good, bad, expired and absent. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { Server, startServer, useServer } from "./lib/server.mjs";
import { connect, inEveryEncoding, newClient, nextValue, subscribe } from "./lib/sdk.mjs";
import { openRaw } from "./lib/raw.mjs";
import { hs256, secondsFromNow, unsigned } from "./lib/token.mjs";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe("connect", () => {
  const server = useServer({ client: { stale_close_delay: "1s", expired_close_delay: "1s" } });

  inEveryEncoding((wire) => {
    test("a valid token is accepted and the client gets an id", async (t) => {
      const client = newClient(t, wire, server, { token: server.token({ sub: "42" }) });
      client.connect();
      const context = await client.events.next("connected");
      assert.match(context.client, UUID);
      assert.equal(context.transport, "websocket");
    });

    test("the connect result names the version and the ping interval and nothing that is unset", async (t) => {
      const raw = await openRaw(t, server, wire);
      const result = await raw.connect(server, "42");
      assert.match(result.client, UUID);
      assert.match(result.version, /^\d+\.\d+\.\d+/);
      assert.equal(result.ping, 25);
      assert.equal(result.pong, true);
      const unset = ["expires", "ttl", "session", "node", "time", "data"];
      assert.deepEqual(Object.keys(result).filter((field) => unset.includes(field)), []);
    });

    test("no token where one is needed ends in 3501", async (t) => {
      const client = newClient(t, wire, server);
      client.connect();
      const context = await client.events.next("disconnected");
      assert.deepEqual(context, { code: 3501, reason: "bad request" });
    });

    for (const [name, token] of Object.entries({
      "that is no token": () => "abc",
      "signed with another key": () => hs256("another secret, also of at least 32 bytes", { sub: "42" }),
      "without a signature": () => unsigned({ sub: "42" }),
      "whose payload was changed": () => {
        const [head, , signature] = hs256("x", { sub: "42" }).split(".");
        return [head, Buffer.from('{"sub":"1"}').toString("base64url"), signature].join(".");
      },
      "meant for a subscription": () => server.token({ sub: "42", channel: "chat" }),
    })) {
      test(`a token ${name} ends in 3500, for good`, async (t) => {
        const client = newClient(t, wire, server, { token: token() });
        client.connect();
        assert.deepEqual(await client.events.next("disconnected"), { code: 3500, reason: "invalid token" });
      });
    }

    for (const [name, claims] of Object.entries({
      expired: () => ({ sub: "42", exp: secondsFromNow(-10) }),
      "not yet valid": () => ({ sub: "42", nbf: secondsFromNow(3600) }),
    })) {
      test(`a token ${name} gets error 109 and the SDK asks for another`, async (t) => {
        let asked = 0;
        const getToken = async () => (asked += 1, server.token({ sub: "42" }));
        const client = newClient(t, wire, server, { token: server.token(claims()), getToken });
        client.connect();
        const error = await client.events.next("error");
        assert.equal(error.error.code, 109);
        await client.events.next("connected");
        assert.equal(asked, 1);
      });
    }

    test("a token that runs out is refreshed on the open connection", async (t) => {
      let asked = 0;
      const getToken = async () => (asked += 1, server.token({ sub: "42", exp: secondsFromNow(asked < 3 ? 2 : 3600) }));
      const client = newClient(t, wire, server, { getToken });
      client.connect();
      const first = await client.events.next("connected");
      const raw = await openRaw(t, server, wire);
      const reply = await raw.call({ connect: { token: server.token({ sub: "42", exp: secondsFromNow(2) }) } });
      assert.equal(reply.connect.expires, true);
      assert.ok(reply.connect.ttl >= 1 && reply.connect.ttl <= 2);
      // The unrefreshed connection is closed when the grace is over; the refreshed one has then outlived its first token.
      assert.deepEqual(await raw.closed(), { code: 3005, reason: "connection expired" });
      assert.ok(asked >= 2, `the SDK asked ${asked} times`);
      assert.equal(client.state, "connected");
      assert.equal(client.events.count("connected"), 1, `the connection ${first.client} was lost`);
    });

    test("a refresh with an invalid token ends in 3500", async (t) => {
      const raw = await openRaw(t, server, wire);
      await raw.call({ connect: { token: server.token({ sub: "42", exp: secondsFromNow(60) }) } });
      raw.send({ id: 2, refresh: { token: "abc" } });
      assert.deepEqual(await raw.closed(), { code: 3500, reason: "invalid token" });
    });

    test("a refresh for another user ends in 3500", async (t) => {
      const raw = await openRaw(t, server, wire);
      await raw.call({ connect: { token: server.token({ sub: "42", exp: secondsFromNow(60) }) } });
      raw.send({ id: 2, refresh: { token: server.token({ sub: "43" }) } });
      assert.equal((await raw.closed()).code, 3500);
    });

    test("a refresh answers with the new time to live", async (t) => {
      const raw = await openRaw(t, server, wire);
      await raw.call({ connect: { token: server.token({ sub: "42", exp: secondsFromNow(60) }) } });
      const { refresh } = await raw.call({ refresh: { token: server.token({ sub: "42", exp: secondsFromNow(600) }) } });
      assert.equal(refresh.expires, true);
      assert.ok(refresh.ttl > 590 && refresh.ttl <= 600, `ttl ${refresh.ttl}`);
    });

    test("a command before connect ends in 3501", async (t) => {
      const raw = await openRaw(t, server, wire);
      raw.send({ id: 1, subscribe: { channel: "chat" } });
      assert.deepEqual(await raw.closed(), { code: 3501, reason: "bad request" });
    });

    test("a second connect ends in 3501", async (t) => {
      const raw = await openRaw(t, server, wire);
      await raw.connect(server, "42");
      raw.send({ id: 2, connect: { token: server.token({ sub: "42" }) } });
      assert.equal((await raw.closed()).code, 3501);
    });

    test("after an error reply to connect the connection is good for nothing", async (t) => {
      const raw = await openRaw(t, server, wire);
      const reply = await raw.call({ connect: { token: server.token({ sub: "42", exp: secondsFromNow(-10) }) } });
      assert.equal(reply.error.code, 109);
      raw.send({ id: 2, connect: { token: server.token({ sub: "42" }) } });
      // At once for the command, or, where it is not even read, when the connection goes stale.
      const { code } = await raw.closed();
      assert.ok([3501, 3502].includes(code), `closed with ${code}`);
    });

    test("a connection that never connects ends in 3502", async (t) => {
      const raw = await openRaw(t, server, wire);
      assert.deepEqual(await raw.closed(), { code: 3502, reason: "stale" });
    });
  });
});

describe("connect without a token where that is allowed", () => {
  const server = useServer({
    client: { allow_anonymous_connect_without_token: true },
    channel: {
      namespaces: [
        { name: "members", allow_subscribe_for_client: true, allow_publish_for_client: true },
        {
          name: "everyone",
          allow_subscribe_for_client: true,
          allow_subscribe_for_anonymous: true,
          allow_publish_for_client: true,
          allow_publish_for_anonymous: true,
        },
      ],
    },
  });

  inEveryEncoding((wire) => {
    test("an anonymous client may do what is allowed for anonymous", async (t) => {
      const client = await connect(t, wire, server);
      await subscribe(client, "everyone:a");
      await client.publish("everyone:a", wire.toPayload({ ok: true }));
      await assert.rejects(client.publish("members:a", wire.toPayload({ ok: false })), { code: 103 });
    });

    test("an anonymous client is refused what is for users", async (t) => {
      const raw = await openRaw(t, server, wire);
      await raw.connect(server);
      assert.equal((await raw.call({ subscribe: { channel: "members:a" } })).error.code, 103);
      assert.ok((await raw.call({ subscribe: { channel: "everyone:a" } })).subscribe);
    });

    test("a token without a user is anonymous too", async (t) => {
      const raw = await openRaw(t, server, wire);
      await raw.connect(server, "");
      assert.equal((await raw.call({ subscribe: { channel: "members:a" } })).error.code, 103);
    });

    test("an invalid token is not taken for none", async (t) => {
      const client = newClient(t, wire, server, { token: "abc" });
      client.connect();
      assert.equal((await client.events.next("disconnected")).code, 3500);
    });
  });
});

describe("insecure mode", () => {
  const server = useServer({ client: { insecure: true } });

  inEveryEncoding((wire) => {
    test("everything is allowed without a token", async (t) => {
      const client = await connect(t, wire, server);
      const subscription = await subscribe(client, "anything");
      await client.publish("anything", wire.toPayload({ n: 1 }));
      assert.deepEqual(await nextValue(wire, subscription), { n: 1 });
    });

    test("a namespace that does not exist is still unknown", async (t) => {
      const client = await connect(t, wire, server);
      await assert.rejects(client.publish("nowhere:a", wire.toPayload({})), { code: 102 });
    });
  });
});

describe("configuration", () => {
  test("a token without a user is refused where anonymous tokens are", async (t) => {
    const server = await startServer(t, { client: { disallow_anonymous_connection_tokens: true } });
    const raw = await openRaw(t, server);
    raw.send({ id: 1, connect: { token: server.token({ sub: "" }) } });
    assert.deepEqual(await raw.closed(), { code: 3507, reason: "permission denied" });
  });

  test("the server does not start when pongs may take longer than the ping interval", async (t) => {
    const server = new Server({ client: { ping_interval: "5s", pong_timeout: "5s" } });
    const code = await server.refusal();
    t.after(() => server.close());
    assert.notEqual(code, 0);
  });
});
