/** Clients that send nonsense: each is shown the door with the right code, and nobody else notices. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { useServer } from "./lib/server.mjs";
import { connect, inEveryEncoding, nextValue, subscribe } from "./lib/sdk.mjs";
import { openRaw } from "./lib/raw.mjs";
import { PATIENCE, until } from "./lib/wait.mjs";

const CONFIG = { channel: { namespaces: [{ name: "open", allow_subscribe_for_client: true, allow_publish_for_client: true }] } };
const BAD_REQUEST = 3501;

const bytes = (...values) => Buffer.from(values);
const nested = (open, close, depth, core = "") => open.repeat(depth) + core + close.repeat(depth);

const FRAMES = {
  json: {
    "an empty frame": "",
    "null": "null",
    "a list": "[]",
    "a list of commands": '[{"id":5,"rpc":{}}]',
    "an empty command": "{}",
    "a string": '"connect"',
    "a number": "1",
    "a word": "connect",
    "only a line break": "\n",
    "half a command": '{"id":5,"rpc":{',
    "a command and more": '{"id":5,"rpc":{}}}',
    "a comma too many": '{"id":5,"rpc":{},}',
    "single quotes": "{'id':5}",
    "an id of zero": '{"id":0,"rpc":{"method":"a"}}',
    "no id": '{"rpc":{"method":"a"}}',
    "an id and nothing else": '{"id":5}',
    "an unknown request": '{"id":5,"unheard_of":{}}',
    "a negative id": '{"id":-1,"rpc":{}}',
    "an id with a fraction": '{"id":1.5,"rpc":{}}',
    "an id beyond 32 bits": '{"id":4294967296,"rpc":{}}',
    "an id beyond a double": '{"id":1e999,"rpc":{}}',
    "an id of a thousand digits": `{"id":${"9".repeat(1000)},"rpc":{}}`,
    "an id in quotes": '{"id":"5","rpc":{}}',
    "a request of the wrong type": '{"id":5,"rpc":"method"}',
    "a channel of the wrong type": '{"id":5,"subscribe":{"channel":1}}',
    "an unclosed nest of lists": `{"id":5,"rpc":{"data":${"[".repeat(60_000)}`,
    "an unclosed nest of objects": '{"a":'.repeat(12_000),
    "bytes that are not UTF-8": Buffer.from('{"id":5,"rpc":{"method":"\xff\xfe"}}', "latin1"),
    "half a surrogate pair in bytes": Buffer.from([0x7b, 0x22, 0x69, 0x64, 0x22, 0x3a, 0x35, 0x2c, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x3a, 0x31, 0x7d]),
    "a byte of zero": bytes(0),
    "a Protobuf command": bytes(4, 8, 5, 106, 0),
    "a good command before a bad one": '{"id":5,"rpc":{"method":"a"}}\n{',
  },
  protobuf: {
    "an empty frame": bytes(),
    "an empty command": bytes(0),
    "a JSON command": Buffer.from('{"id":5,"rpc":{}}'),
    "a length beyond the frame": bytes(5, 8, 5),
    "half a length": bytes(0x80),
    "a length that never ends": bytes(...Array(12).fill(0xff)),
    "a length of four gigabytes": bytes(0xff, 0xff, 0xff, 0xff, 0x0f, 8, 5),
    "a length beyond 64 bits": bytes(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
    "an inner length beyond the command": bytes(4, 8, 5, 106, 100),
    "half an id": bytes(2, 8, 0x80),
    "a wrong wire type": bytes(3, 10, 1, 5),
    "a group that is never closed": bytes(3, 8, 5, 0x7b),
    "an id of zero": bytes(4, 8, 0, 106, 0),
    "no id": bytes(2, 106, 0),
    "an id and nothing else": bytes(2, 8, 5),
    "field number zero": bytes(4, 8, 5, 0, 0),
    "a good command before a bad one": bytes(4, 8, 5, 106, 0, 7),
    "random bytes": Buffer.from("fd0317f98cf7e62c7ea51c5e6a2b7cc0d0e1", "hex"),
  },
};

describe("bad input", () => {
  const server = useServer(CONFIG);

  inEveryEncoding((wire) => {
    for (const [name, frame] of Object.entries(FRAMES[wire.encoding])) {
      test(`${name} ends in 3501, before connect and after`, async (t) => {
        const [fresh, connected] = [await openRaw(t, server, wire), await openRaw(t, server, wire)];
        await connected.connect(server, "42");
        for (const raw of [fresh, connected]) {
          raw.sendFrame(frame);
          assert.equal((await raw.closed()).code, BAD_REQUEST);
        }
      });
    }

    test("unknown fields are passed over", async (t) => {
      const raw = await openRaw(t, server, wire);
      await raw.connect(server, "42");
      if (wire.encoding === "json") raw.sendFrame('{"id":5,"new":{"a":[1,{}]},"subscribe":{"channel":"open:a","newer":null}}');
      else raw.sendFrame(Buffer.concat([bytes(16, 8, 5, 0xfa, 0x3e, 1, 9, 42, 8, 10, 6), Buffer.from("open:a")]));
      assert.ok((await raw.events.next("reply", ({ id }) => id === 5)).subscribe);
    });

    test("of two requests in one command the first in the protocol's order counts", async (t) => {
      const raw = await openRaw(t, server, wire);
      await raw.connect(server, "42");
      const reply = await raw.call({ publish: { channel: "nowhere:a", data: wire.toPayload({}) }, subscribe: { channel: "open:a" } });
      assert.ok(reply.subscribe, JSON.stringify(reply));
      assert.ok(!reply.error && !reply.publish);
    });

    test("a payload may nest as deeply as it fits", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, "open:deep");
      const raw = await openRaw(t, server, wire);
      await raw.connect(server, "42");
      const payload = nested("[", "]", 1_000);
      if (wire.encoding === "json") raw.sendFrame(`{"id":5,"publish":{"channel":"open:deep","data":${payload}}}`);
      else raw.send({ id: 5, publish: { channel: "open:deep", data: Buffer.from(payload) } });
      assert.ok((await raw.events.next("reply", ({ id }) => id === 5)).publish);
      assert.equal(JSON.stringify(await nextValue(wire, subscription)), payload);
    });

    test("a hundred clients of nonsense do not disturb one that behaves", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, "open:calm");
      const frames = Object.values(FRAMES[wire.encoding]);
      await Promise.all(Array.from({ length: 100 }, async (_, at) => {
        const raw = await openRaw(t, server, wire);
        raw.sendFrame(frames[at % frames.length]);
        await raw.closed();
      }));
      await client.publish("open:calm", wire.toPayload({ fine: true }));
      assert.deepEqual(await nextValue(wire, subscription), { fine: true });
      assert.equal(client.events.count("connected"), 1);
    });
  });

  test("nothing is left of them", async () => {
    await until("every channel to be empty", PATIENCE, async () => Object.keys((await server.api("channels")).channels).length === 0);
  });
});
