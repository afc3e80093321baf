/** Publications: who may publish, what arrives, and in which order. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { useServer } from "./lib/server.mjs";
import { connect, inEveryEncoding, JSON_WIRE, nextValue, PROTOBUF_WIRE, subscribe } from "./lib/sdk.mjs";
import { openRaw } from "./lib/raw.mjs";

const CONFIG = {
  channel: {
    namespaces: [
      { name: "open", allow_subscribe_for_client: true, allow_publish_for_client: true },
      { name: "watch", allow_subscribe_for_client: true },
      { name: "members", allow_subscribe_for_client: true, allow_publish_for_subscriber: true },
    ],
  },
};

describe("publish by a client", () => {
  const server = useServer(CONFIG);

  inEveryEncoding((wire) => {
    test("reaches the other and the publisher, with the publisher's info", async (t) => {
      const [ada, eve] = [await connect(t, wire, server, { user: "ada" }), await connect(t, wire, server, { user: "eve" })];
      const [hers, others] = [await subscribe(ada, "open:a"), await subscribe(eve, "open:a")];
      await hers.publish(wire.toPayload({ text: "hello" }));
      for (const subscription of [hers, others]) {
        const context = await subscription.events.next("publication");
        assert.deepEqual(wire.fromPayload(context.data), { text: "hello" });
        assert.equal(context.info.user, "ada");
        assert.equal(context.info.client, ada.id);
        assert.equal(context.channel, "open:a");
      }
    });

    test("the reply is an empty result", async (t) => {
      const raw = await openRaw(t, server, wire);
      await raw.connect(server, "42");
      raw.send({ id: 2, publish: { channel: "open:a", data: wire.toPayload({}) } });
      assert.deepEqual(await raw.events.next("frame"), raw.frameOf({ id: 2, publish: {} }));
    });

    test("is denied with 103 where clients may only listen", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      await assert.rejects(client.publish("watch:a", wire.toPayload({})), { code: 103 });
    });

    test("gets 102 in a namespace that does not exist", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      await assert.rejects(client.publish("nowhere:a", wire.toPayload({})), { code: 102 });
    });

    test("where subscribers may, it needs the subscription", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      await assert.rejects(client.publish("members:a", wire.toPayload({})), { code: 103 });
      const subscription = await subscribe(client, "members:a");
      await client.publish("members:a", wire.toPayload({ now: true }));
      assert.deepEqual(await nextValue(wire, subscription), { now: true });
    });

    test("without a channel ends in 3501", async (t) => {
      const raw = await openRaw(t, server, wire);
      await raw.connect(server, "42");
      raw.send({ id: 2, publish: { data: wire.toPayload({}) } });
      assert.equal((await raw.closed()).code, 3501);
    });
  });
});

describe("publish by the server API", () => {
  const server = useServer(CONFIG);

  // Each is the JSON text of a payload. It must arrive byte for byte, but for line breaks, which would break the framing of JSON.
  const PAYLOADS = {
    "unicode": '{"text":"Größe, 速度, ελληνικά, 🛰️, \\u00e9, \\ud83d\\ude80"}',
    "html": '{"text":"<script>alert(\\"a\\" && \'b\')</script>"}',
    "line and paragraph separators": '{"text":"a\u2028b\u2029c"}',
    "nested and pretty-printed": JSON.stringify({ order: { id: 7, lines: [{ sku: "a", n: 1 }, { sku: "b", n: [] }], paid: null } }, null, 4),
    "numbers beyond a double": '{"big":123456789012345678901234567890,"exact":0.10,"exponent":1E+2}',
    "repeated keys and odd spaces": '{ "b" : 1 ,\t"a":2, "b":  3 }',
    "escapes": '{"text":"tab\\t, quote\\", slash\\/, back\\\\, nul\\u0000"}',
    "a string": '"plain"',
    "a number": "42",
    "false": "false",
    "an array": "[1,[2,[3]]]",
    "an empty object": "{}",
    "an empty key": '{"":{"":0}}',
  };

  inEveryEncoding((wire) => {
    test("the payload arrives exactly as it was given", async (t) => {
      const raw = await openRaw(t, server, wire);
      await raw.connect(server, "42");
      await raw.call({ subscribe: { channel: "watch:exact" } });
      for (const [name, payload] of Object.entries(PAYLOADS)) {
        await server.api("publish", `{"channel":"watch:exact","data":${payload}}`);
        const { data } = await raw.events.next("frame");
        if (wire.encoding === "json") {
          const expected = `{"push":{"channel":"watch:exact","pub":{"data":${payload.replaceAll("\n", "")}}}}`;
          assert.equal(data.toString(), expected, name);
        } else {
          const [reply] = raw.codec.decodeReplies(data);
          assert.equal(Buffer.from(reply.push.pub.data).toString(), payload, name);
        }
      }
    });

    test("b64data carries the same and wins over data", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, "watch:b64");
      const b64data = Buffer.from('{"from":"b64data"}').toString("base64");
      await server.api("publish", { channel: "watch:b64", data: { from: "data" }, b64data });
      assert.deepEqual(await nextValue(wire, subscription), { from: "b64data" });
    });

    test("tags arrive, and nothing says who published", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, "watch:tags");
      await server.api("publish", { channel: "watch:tags", data: 1, tags: { lang: "de", "ключ": "значение" } });
      const context = await subscription.events.next("publication");
      assert.deepEqual({ ...context.tags }, { lang: "de", "ключ": "значение" });
      assert.equal(context.info, undefined);
    });

    test("broadcast reaches every channel and answers for each", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      const subscriptions = [await subscribe(client, "watch:1"), await subscribe(client, "watch:2")];
      const { responses } = await server.api("broadcast", { channels: ["watch:1", "nowhere:a", "watch:2"], data: { n: 1 } });
      assert.deepEqual(responses.map(({ result, error }) => (result ? "ok" : error.code)), ["ok", 102, "ok"]);
      for (const subscription of subscriptions) assert.deepEqual(await nextValue(wire, subscription), { n: 1 });
    });

    for (const parallel of [false, true]) {
      test(`a batch ${parallel ? "in parallel" : "in sequence"} runs each command and answers for each`, async (t) => {
        const client = await connect(t, wire, server, { user: "42" });
        const subscription = await subscribe(client, "watch:batch");
        const { replies } = await server.api("batch", {
          parallel,
          commands: [
            { publish: { channel: "watch:batch", data: 1 } },
            { publish: { channel: "nowhere:a", data: 2 } },
            { broadcast: { channels: ["watch:batch"], data: 3 } },
            { rpc: { method: "nothing", params: {} } },
          ],
        });
        assert.ok(replies[0].publish, JSON.stringify(replies));
        assert.equal(replies[1].error.code, 102);
        assert.equal(replies[2].broadcast.responses.length, 1);
        assert.equal(replies[3].error.code, 104);
        const values = [await nextValue(wire, subscription), await nextValue(wire, subscription)];
        assert.deepEqual(parallel ? values.sort() : values, [1, 3]);
      });
    }
  });
});

describe("binary payloads", () => {
  const server = useServer(CONFIG);
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, at) => at));

  test("from the server API they reach Protobuf clients as they are", async (t) => {
    const client = await connect(t, PROTOBUF_WIRE, server, { user: "42" });
    const subscription = await subscribe(client, "open:binary");
    await server.api("publish", { channel: "open:binary", b64data: bytes.toString("base64") });
    assert.deepEqual(Buffer.from((await subscription.events.next("publication")).data), bytes);
  });

  test("from a client they reach Protobuf clients as they are", async (t) => {
    const [ada, eve] = [await connect(t, PROTOBUF_WIRE, server, { user: "ada" }), await connect(t, PROTOBUF_WIRE, server, { user: "eve" })];
    const subscription = await subscribe(eve, "open:binary-client");
    await ada.publish("open:binary-client", bytes);
    assert.deepEqual(Buffer.from((await subscription.events.next("publication")).data), bytes);
  });

  test("a JSON client that would have to show them is disconnected with 3506, the others are served", async (t) => {
    const json = await connect(t, JSON_WIRE, server, { user: "ada" });
    const protobuf = await connect(t, PROTOBUF_WIRE, server, { user: "eve" });
    await subscribe(json, "open:mixed");
    const subscription = await subscribe(protobuf, "open:mixed");
    await server.api("publish", { channel: "open:mixed", b64data: bytes.toString("base64") });
    assert.equal((await json.events.next("disconnected")).code, 3506);
    assert.deepEqual(Buffer.from((await subscription.events.next("publication")).data), bytes);
  });

  test("JSON and Protobuf clients read the same JSON payload", async (t) => {
    const json = await connect(t, JSON_WIRE, server, { user: "ada" });
    const protobuf = await connect(t, PROTOBUF_WIRE, server, { user: "eve" });
    const [text, binary] = [await subscribe(json, "open:both"), await subscribe(protobuf, "open:both")];
    await json.publish("open:both", { from: "json" });
    await protobuf.publish("open:both", PROTOBUF_WIRE.toPayload({ from: "protobuf" }));
    for (const [wire, subscription] of [[JSON_WIRE, text], [PROTOBUF_WIRE, binary]]) {
      assert.deepEqual(await nextValue(wire, subscription), { from: "json" });
      assert.deepEqual(await nextValue(wire, subscription), { from: "protobuf" });
    }
  });
});
