/** The WebSocket transport: handshake, subprotocols, origins, sizes, compression, and frames that break RFC 6455. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import WebSocket from "ws";
import { startServer, useServer } from "./lib/server.mjs";
import { connect, inEveryEncoding, nextValue, subscribe } from "./lib/sdk.mjs";
import { openRaw } from "./lib/raw.mjs";
import { BareSocket, frame, OPCODE } from "./lib/socket.mjs";

const OPEN = { channel: { namespaces: [{ name: "open", allow_subscribe_for_client: true, allow_publish_for_client: true }] } };
const LIMIT = 65_536;

describe("handshake", () => {
  const server = useServer(OPEN);

  for (const [offered, chosen] of [
    [[], ""],
    [["centrifuge-json"], "centrifuge-json"],
    [["centrifuge-protobuf"], "centrifuge-protobuf"],
    [["unheard-of", "centrifuge-protobuf"], "centrifuge-protobuf"],
  ]) {
    test(`offered [${offered}] the server picks "${chosen}"`, async (t) => {
      const raw = await openRaw(t, server, { protocols: offered, encoding: chosen.endsWith("protobuf") ? "protobuf" : "json" });
      assert.equal(raw.socket.protocol, chosen);
      assert.match((await raw.connect(server, "42")).client, /./);
    });
  }

  for (const query of ["?format=protobuf", "?cf_protocol=protobuf"]) {
    test(`the query ${query} selects Protobuf`, async (t) => {
      const raw = await openRaw(t, server, { protocols: [], encoding: "protobuf", query });
      await raw.connect(server, "42");
      assert.equal(raw.events.all.find(({ name }) => name === "frame").context.isBinary, true);
    });
  }

  inEveryEncoding((wire) => {
    test("frames to the client are text for JSON and binary for Protobuf; from the client either will do", async (t) => {
      const raw = await openRaw(t, server, wire);
      const command = { id: 1, connect: { token: server.token({ sub: "42" }) } };
      const bytes = Buffer.from(raw.codec.encodeCommands([command]));
      raw.socket.send(bytes, { binary: true });
      const { isBinary } = await raw.events.next("frame");
      assert.equal(isBinary, wire.encoding === "protobuf");
    });
  });

  test("a plain request is no handshake", async () => {
    const answer = await fetch(`${server.http}/connection/websocket`);
    assert.ok(answer.status >= 400 && answer.status < 500, `status ${answer.status}`);
  });

  for (const [name, headers] of Object.entries({
    "another version of WebSocket": { "Sec-WebSocket-Version": "8" },
    "no key": { "Sec-WebSocket-Key": undefined },
    "an empty key": { "Sec-WebSocket-Key": "" },
    "a key that is not 16 bytes": { "Sec-WebSocket-Key": Buffer.alloc(15).toString("base64") },
  })) {
    test(`a handshake with ${name} is refused`, async (t) => {
      await assert.rejects(BareSocket.open(t, server, { headers }), /no upgrade: HTTP\/1\.1 4\d\d/);
    });
  }

  test("paths are exact", async (t) => {
    await assert.rejects(BareSocket.open(t, server, { path: "/connection/websocket/" }), /no upgrade: HTTP\/1\.1 404/);
    await assert.rejects(BareSocket.open(t, server, { path: "/connection" }), /no upgrade: HTTP\/1\.1 404/);
  });
});

describe("origins", () => {
  const strict = useServer();
  const open = useServer({ client: { allowed_origins: ["https://app.example.com", "https://*.dev.example.com"] } });

  test("without a list every page is refused, and programs are not", async (t) => {
    await assert.rejects(openRaw(t, strict, { origin: "https://app.example.com" }), { status: 403 });
    await assert.rejects(openRaw(t, strict, { origin: `http://127.0.0.1:${strict.port}` }), { status: 403 });
    await openRaw(t, strict);
  });

  test("with a list only the pages on it are accepted", async (t) => {
    for (const origin of ["https://app.example.com", "https://APP.example.com", "https://a.dev.example.com", "https://a.b.dev.example.com"]) {
      await openRaw(t, open, { origin });
    }
    for (const origin of ["https://evil.example.com", "http://app.example.com", "https://app.example.com.evil.org", "https://dev.example.com", "null"]) {
      await assert.rejects(openRaw(t, open, { origin }), { status: 403 }, origin);
    }
    await openRaw(t, open);
  });
});

describe("sizes", () => {
  const server = useServer(OPEN);

  inEveryEncoding((wire) => {
    test("a large message within the limit passes both ways", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, "open:large");
      const value = { text: "ä🛰️".repeat(6_000) };
      await client.publish("open:large", wire.toPayload(value));
      assert.deepEqual(await nextValue(wire, subscription), value);
    });

    test("a message beyond the limit ends the connection, and the SDK knows why", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      await assert.rejects(client.publish("open:large", wire.toPayload("x".repeat(LIMIT))));
      assert.deepEqual(await client.events.next("disconnected"), { code: 3, reason: "message size limit exceeded" });
    });

    test("a publication larger than any client may send still reaches subscribers", async (t) => {
      const client = await connect(t, wire, server, { user: "42" });
      const subscription = await subscribe(client, "open:api-large");
      const value = randomBytes(150_000).toString("base64");
      await server.api("publish", { channel: "open:api-large", data: value });
      assert.equal(await nextValue(wire, subscription), value);
    });
  });

  test("a message that announces more than the limit is refused before it is sent", async (t) => {
    const bare = await BareSocket.open(t, server);
    bare.send(frame(OPCODE.text, "{", { length: 2 ** 40 }));
    assert.equal(await bare.closeCode(), 1009);
  });

  test("fragments count together", async (t) => {
    const bare = await BareSocket.open(t, server);
    bare.send(frame(OPCODE.text, " ".repeat(40_000), { final: false }), frame(OPCODE.continuation, " ".repeat(40_000)));
    assert.equal(await bare.closeCode(), 1009);
  });

  test("the limit is an option", async (t) => {
    const small = await startServer(t, { websocket: { message_size_limit: 1_000 } });
    const bare = await BareSocket.open(t, small);
    bare.text(" ".repeat(1_001));
    assert.equal(await bare.closeCode(), 1009);
  });
});

describe("compression", () => {
  const plain = useServer(OPEN);
  const server = useServer({ ...OPEN, websocket: { compression: true, compression_min_size: 200 } });
  const compressible = "the same words again and again, ".repeat(4_000);

  class CompressingWebSocket extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { perMessageDeflate: { threshold: 0 } });
    }
  }

  inEveryEncoding((wire) => {
    test("the SDK and the server understand each other compressed, small and large", async (t) => {
      const client = await connect(t, wire, server, { user: "42", websocket: CompressingWebSocket });
      const subscription = await subscribe(client, "open:a");
      for (const value of ["", "x", "x".repeat(199), randomBytes(20_000).toString("base64"), compressible]) {
        await client.publish("open:a", wire.toPayload(value));
        assert.equal(await nextValue(wire, subscription), value);
        await server.api("publish", { channel: "open:a", data: value });
        assert.equal(await nextValue(wire, subscription), value);
      }
    });

    test("it saves bytes, for those who want it, and serves those who do not", async (t) => {
      const wants = await openRaw(t, server, { ...wire, perMessageDeflate: true });
      const not = await openRaw(t, server, wire);
      assert.match(wants.socket.extensions, /permessage-deflate/);
      assert.equal(not.socket.extensions, "");
      for (const raw of [wants, not]) {
        await raw.connect(server, "42");
        await raw.call({ subscribe: { channel: "open:b" } });
      }
      await server.api("publish", { channel: "open:b", data: compressible });
      for (const raw of [wants, not]) assert.equal(wire.fromPayload((await raw.push()).pub.data), compressible);
      const [few, many] = [wants, not].map((raw) => raw.socket._socket.bytesRead);
      assert.ok(few * 10 < many, `${few} bytes compressed, ${many} not`);
    });
  });

  test("it is off unless configured", async (t) => {
    const raw = await openRaw(t, plain, { perMessageDeflate: true });
    assert.equal(raw.socket.extensions, "");
  });

  test("what inflates beyond the limit ends the connection", async (t) => {
    const raw = await openRaw(t, server, { perMessageDeflate: { threshold: 0 } });
    await raw.connect(server, "42");
    raw.sendFrame(JSON.stringify({ id: 2, rpc: { data: "x".repeat(LIMIT * 10) } }));
    assert.equal((await raw.closed()).code, 1009);
  });
});

describe("frames", () => {
  const server = useServer(OPEN);
  const hello = () => JSON.stringify({ id: 1, connect: { token: server.token({ sub: "42" }) } });

  test("fragments with a ping between them are one message", async (t) => {
    const bare = await BareSocket.open(t, server);
    const text = Buffer.from(hello());
    bare.send(
      frame(OPCODE.text, text.subarray(0, 5), { final: false }),
      frame(OPCODE.ping, "are you there?"),
      frame(OPCODE.continuation, text.subarray(5, 9), { final: false }),
      frame(OPCODE.continuation, Buffer.alloc(0), { final: false }),
      frame(OPCODE.continuation, text.subarray(9)),
    );
    const pong = await bare.events.next("frame", ({ opcode }) => opcode === OPCODE.pong);
    assert.equal(pong.payload.toString(), "are you there?");
    assert.ok((await bare.replies())[0].connect.client);
  });

  test("a message that arrives byte by byte is one message", async (t) => {
    const bare = await BareSocket.open(t, server);
    bare.tcp.setNoDelay(true);
    for (const byte of frame(OPCODE.text, hello())) {
      await new Promise((resolve) => bare.tcp.write(Buffer.from([byte]), resolve));
    }
    assert.ok((await bare.replies())[0].connect.client);
  });

  test("a close frame is answered with its code", async (t) => {
    const bare = await BareSocket.open(t, server);
    bare.send(frame(OPCODE.close, Buffer.from([0x03, 0xe8])));
    assert.equal(await bare.closeCode(), 1000);
  });

  for (const [name, code, bytes] of [
    ["an unmasked frame", 1002, () => frame(OPCODE.text, "{}", { masked: false })],
    ["reserved bit 1 without an extension", 1002, () => frame(OPCODE.text, "{}", { reserved: 4 })],
    ["reserved bit 2", 1002, () => frame(OPCODE.text, "{}", { reserved: 2 })],
    ["reserved bit 3", 1002, () => frame(OPCODE.text, "{}", { reserved: 1 })],
    ["a reserved data opcode", 1002, () => frame(3, "{}")],
    ["a reserved control opcode", 1002, () => frame(11, "")],
    ["a fragmented ping", 1002, () => frame(OPCODE.ping, "", { final: false })],
    ["a ping of more than 125 bytes", 1002, () => frame(OPCODE.ping, "x".repeat(126))],
    ["a continuation of nothing", 1002, () => frame(OPCODE.continuation, "{}")],
    ["a new message inside of another", 1002, () => [frame(OPCODE.text, "{", { final: false }), frame(OPCODE.text, "}")]],
    ["a close frame of one byte", 1002, () => frame(OPCODE.close, "x")],
    ["a close code that may not be sent", 1002, () => frame(OPCODE.close, Buffer.from([0x03, 0xed]))],
    ["a close reason that is not UTF-8", 1007, () => frame(OPCODE.close, Buffer.from([0x03, 0xe8, 0xff]))],
    ["text that is not UTF-8", 1007, () => frame(OPCODE.text, Buffer.from('{"id":1,"connect":{"name":"\xff"}}', "latin1"))],
  ]) {
    test(`${name} is answered with ${code}`, async (t) => {
      const bare = await BareSocket.open(t, server);
      bare.send(...[bytes()].flat());
      assert.equal(await bare.closeCode(), code);
    });
  }
});
