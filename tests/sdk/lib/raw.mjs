/** The protocol without the SDK: commands and replies by hand over an ordinary WebSocket client. */
import WebSocket from "ws";
import { Recorder, within, PATIENCE } from "./wait.mjs";
import { JSON_WIRE, PROTOBUF_WIRE } from "./sdk.mjs";

const codecs = new Map([JSON_WIRE, PROTOBUF_WIRE].map((wire) => [wire.encoding, new wire.Centrifuge("ws://unused")._codec]));

/** Opens a WebSocket and resolves to a `RawClient`, or rejects with the HTTP status that refused it. */
export function openRaw(t, server, { encoding = "json", protocols, query = "", ...options } = {}) {
  const subprotocols = protocols ?? (encoding === "protobuf" ? ["centrifuge-protobuf"] : []);
  const socket = new WebSocket(server.ws + query, subprotocols, { perMessageDeflate: false, ...options });
  t.after(() => socket.terminate());
  const client = new RawClient(socket, encoding);
  const opened = new Promise((resolve, reject) => {
    socket.once("open", () => resolve(client));
    socket.once("unexpected-response", (_, response) => {
      response.resume();
      reject(Object.assign(new Error(`refused with HTTP ${response.statusCode}`), { status: response.statusCode }));
    });
    socket.once("error", reject);
  });
  return within("the WebSocket to open", PATIENCE, opened);
}

export class RawClient {
  #lastId = 0;

  constructor(socket, encoding) {
    this.socket = socket;
    this.codec = codecs.get(encoding);
    this.encoding = encoding;
    /** `frame` (bytes and kind), `reply` (decoded), `ping` and `pong` (of WebSocket) and `close`. */
    this.events = new Recorder();
    socket.on("message", (data, isBinary) => {
      this.events.push("frame", { data, isBinary });
      for (const reply of this.codec.decodeReplies(encoding === "json" ? data.toString() : data)) this.events.push("reply", reply);
    });
    socket.on("ping", (data) => this.events.push("ping", data));
    socket.on("pong", (data) => this.events.push("pong", data));
    socket.on("close", (code, reason) => this.events.push("close", { code, reason: reason.toString() }));
    socket.on("error", () => {}); // Its close follows.
  }

  /** Sends commands in one frame. */
  send(...commands) {
    this.socket.send(this.codec.encodeCommands(commands));
  }

  /** Sends a frame as it is: text as a text frame, bytes as a binary one. */
  sendFrame(data) {
    this.socket.send(data);
  }

  /** Sends one command and resolves to its reply, an error included. */
  async call(request, id = ++this.#lastId) {
    this.#lastId = id;
    this.send({ id, ...request });
    return this.events.next("reply", (reply) => reply.id === id);
  }

  /** Connects with a token of this user, or without a token. */
  async connect(server, user) {
    const reply = await this.call({ connect: user === undefined ? {} : { token: server.token({ sub: user }) } }, 1);
    if (reply.error) throw new Error(`connect: ${reply.error.code} ${reply.error.message}`);
    return reply.connect;
  }

  /** The frame that carries exactly this reply: nothing omitted, nothing added. */
  frameOf(reply) {
    const isBinary = this.encoding === "protobuf";
    return { data: Buffer.from(isBinary ? this.codec.encodeReplies([reply]) : JSON.stringify(reply)), isBinary };
  }

  /** The next push, whatever replies and pings come before it. */
  async push() {
    return (await this.events.next("reply", (reply) => reply.push)).push;
  }

  /** Code and reason of the close frame; 1006 if there was none. */
  closed(patience) {
    return this.events.next("close", undefined, patience);
  }
}
