/** WebSocket from bare TCP, for what no WebSocket library lets a client do: wrong frames, and not reading. */
import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { Recorder, PATIENCE, within } from "./wait.mjs";

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

/** One client frame. Everything that makes it valid can be turned off. */
export function frame(opcode, payload = Buffer.alloc(0), { final = true, reserved = 0, masked = true, length = null } = {}) {
  const body = Buffer.from(payload);
  const key = masked ? randomBytes(4) : Buffer.alloc(0);
  const sent = masked ? body.map((byte, at) => byte ^ key[at % 4]) : body;
  return Buffer.concat([Buffer.from([(final ? 0x80 : 0) | (reserved << 4) | opcode]), lengthOf(length ?? body.length, masked), key, sent]);
}

function lengthOf(length, masked) {
  const bit = masked ? 0x80 : 0;
  if (length < 126) return Buffer.from([bit | length]);
  const wide = length > 0xffff;
  const bytes = Buffer.alloc(wide ? 9 : 3);
  bytes[0] = bit | (wide ? 127 : 126);
  if (wide) bytes.writeBigUInt64BE(BigInt(length), 1);
  else bytes.writeUInt16BE(length, 1);
  return bytes;
}

/** A TCP connection with a finished WebSocket handshake. */
export class BareSocket {
  static async open(t, server, { headers = {}, path = "/connection/websocket" } = {}) {
    const bare = new BareSocket(connect(server.port, "127.0.0.1"));
    t.after(() => bare.tcp.destroy());
    bare.tcp.write(handshake(server, path, headers));
    const head = await within("the handshake", PATIENCE, bare.handshake);
    if (!head.startsWith("HTTP/1.1 101")) throw new Error(`no upgrade: ${head.split("\r\n")[0]}`);
    return bare;
  }

  constructor(tcp) {
    this.tcp = tcp;
    /** `frame` ({opcode, final, payload}) and `end`. */
    this.events = new Recorder();
    this.received = 0;
    let buffer = Buffer.alloc(0);
    let open = null;
    this.handshake = new Promise((resolve, reject) => {
      open = resolve;
      tcp.once("error", reject);
    });
    tcp.on("error", () => {}); // Its end follows.
    tcp.on("close", () => this.events.push("end"));
    tcp.on("data", (data) => {
      this.received += data.length;
      buffer = Buffer.concat([buffer, data]);
      if (open) {
        const end = buffer.indexOf("\r\n\r\n");
        if (end < 0) return;
        open(buffer.subarray(0, end).toString());
        open = null;
        buffer = buffer.subarray(end + 4);
      }
      buffer = this.#frames(buffer);
    });
  }

  send(...frames) {
    this.tcp.write(Buffer.concat(frames));
  }

  text(value) {
    this.send(frame(OPCODE.text, value));
  }

  /** The next text or binary frame as JSON documents. */
  async replies() {
    const { payload } = await this.events.next("frame", ({ opcode }) => opcode === OPCODE.text || opcode === OPCODE.binary);
    return payload.toString().split("\n").map((line) => JSON.parse(line));
  }

  /** The code of the server's close frame, or null when the connection ends without one. */
  async closeCode() {
    const { name, context } = await this.events.nextOf(["frame", "end"], (seen) => seen === undefined || seen.opcode === OPCODE.close);
    return name === "frame" && context.payload.length >= 2 ? context.payload.readUInt16BE(0) : null;
  }

  #frames(buffer) {
    for (;;) {
      if (buffer.length < 2) return buffer;
      let [start, length] = [2, buffer[1] & 0x7f];
      if (length === 126 || length === 127) {
        start += length === 126 ? 2 : 8;
        if (buffer.length < start) return buffer;
        length = length === 126 ? buffer.readUInt16BE(2) : Number(buffer.readBigUInt64BE(2));
      }
      if (buffer.length < start + length) return buffer;
      const payload = buffer.subarray(start, start + length);
      this.events.push("frame", { opcode: buffer[0] & 0x0f, final: buffer[0] >= 0x80, payload });
      buffer = buffer.subarray(start + length);
    }
  }
}

function handshake(server, path, headers) {
  const lines = {
    Host: `127.0.0.1:${server.port}`,
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": randomBytes(16).toString("base64"),
    ...headers,
  };
  const present = Object.entries(lines).filter(([, value]) => value !== undefined);
  return `GET ${path} HTTP/1.1\r\n${present.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
}
