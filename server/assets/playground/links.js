/**
 * What frames travel over. A link looks like a `WebSocket`: `readyState`, `send`, `close`, and `onopen`, `onmessage`
 * and `onclose` to be set. Whatever the encoding, frames are lines of JSON on this side; `send` returns how many bytes
 * they were on the other, and `onmessage` tells it.
 *
 * Over plain HTTP, a link is made of a response that does not end, for what comes, and of requests of their own, for
 * what goes: the first frame is part of the request that the response answers, and all later ones name the session that
 * the server's first reply told. Over WebTransport, it is one stream of a session.
 */
import { decodeReply, encodeCommand, encodeEmulation, Messages } from "./protobuf.js";

export function openLink({ transport, encoding, url, emulation, certificate }) {
  const form = encoding === "protobuf" ? protobuf : json;
  if (transport === "http_stream") return new HttpLink(url, emulation, form, readStream);
  if (transport === "sse") return new HttpLink(url, emulation, json, readEvents);
  if (transport === "webtransport") return new SessionLink(url, form, certificate);
  return encoding === "protobuf" ? new BinarySocket(url) : new TextSocket(url);
}

const utf8 = (text) => new TextEncoder().encode(text);
const shown = (message) => ({ data: JSON.stringify(decodeReply(message)), size: message.length });

/** How frames are written, and read from a stream: `reader` makes a function from pieces to what they make whole. */
const json = {
  type: "application/json",
  query: "",
  command: utf8,
  inStream: (text) => utf8(`${text}\n`),
  emulated: (session, text) => JSON.stringify({ ...session, data: text }),
  reader() {
    const decoder = new TextDecoder();
    let rest = "";
    return (piece) => {
      const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
      rest = lines.pop();
      return lines.map((data) => ({ data, size: utf8(data).length }));
    };
  },
};
const protobuf = {
  type: "application/octet-stream",
  query: "?cf_protocol=protobuf",
  command: (text) => encodeCommand(JSON.parse(text)),
  inStream: (text) => encodeCommand(JSON.parse(text)),
  emulated: (session, text) => encodeEmulation({ ...session, data: encodeCommand(JSON.parse(text)) }),
  reader() {
    const messages = new Messages();
    return (piece) => messages.take(piece).map(shown);
  },
};

/** Frames of text. */
class TextSocket {
  constructor(url, protocol = []) {
    this.socket = new WebSocket(url, protocol);
    this.socket.onopen = () => this.onopen();
    this.socket.onmessage = ({ data }) => this.receive(data);
    this.socket.onclose = (event) => this.onclose(event);
  }

  get readyState() {
    return this.socket.readyState;
  }

  send(text) {
    return this.put(utf8(text).length, text);
  }

  put(size, frame) {
    this.socket.send(frame);
    return size;
  }

  receive(data) {
    this.onmessage({ data, size: utf8(data).length });
  }

  close() {
    this.socket.close();
  }
}

/** Frames of Protobuf, with one message or several. */
class BinarySocket extends TextSocket {
  constructor(url) {
    super(url, "centrifuge-protobuf");
    this.socket.binaryType = "arraybuffer";
  }

  send(text) {
    const frame = encodeCommand(JSON.parse(text));
    return this.put(frame.length, frame);
  }

  receive(data) {
    const found = new Messages().take(new Uint8Array(data)).map(shown);
    this.onmessage({ data: found.map((one) => one.data).join("\n"), size: data.byteLength });
  }
}

/** What links without a close of their own have in common: they end by a disconnect push. */
class StreamLink {
  told = { code: 0, reason: "the stream ended" };

  receive(message) {
    if (this.readyState !== WebSocket.OPEN) return;
    const reply = JSON.parse(message.data);
    if (reply.push?.disconnect) this.told = reply.push.disconnect;
    this.seen?.(reply);
    this.onmessage(message);
  }

  end(why) {
    if (this.readyState === WebSocket.CLOSED) return;
    this.readyState = WebSocket.CLOSED;
    this.release();
    this.onclose(why);
  }

  close() {
    this.end({ code: 0, reason: "" });
  }
}

class SessionLink extends StreamLink {
  readyState = WebSocket.CONNECTING;
  #form;
  #session;
  #writer;

  constructor(url, form, certificate) {
    super();
    this.#form = form;
    // Browsers take the hash of a certificate that is short-lived and of their liking, whoever has signed it.
    const known = certificate && { serverCertificateHashes: [{ algorithm: "sha-256", value: bytesOf(certificate) }] };
    this.#session = new WebTransport(url + form.query, known ?? {});
    this.#session.closed.catch(() => {});
    this.#run().then(() => this.end(this.told), (error) => this.end({ code: 0, reason: error.message }));
  }

  async #run() {
    await this.#session.ready;
    const { readable, writable } = await this.#session.createBidirectionalStream();
    if (this.readyState !== WebSocket.CONNECTING) return;
    this.#writer = writable.getWriter();
    this.readyState = WebSocket.OPEN;
    this.onopen();
    const read = this.#form.reader();
    const reader = readable.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      read(value).forEach((message) => this.receive(message));
    }
  }

  send(text) {
    const frame = this.#form.inStream(text);
    this.#writer.write(frame).catch((error) => this.end({ code: 0, reason: error.message }));
    return frame.length;
  }

  release() {
    // Before it is ready, it has nothing to close.
    this.#session.ready.then(() => this.#session.close(), () => {});
  }
}

const bytesOf = (hex) => Uint8Array.from(hex.match(/../g), (byte) => parseInt(byte, 16));

class HttpLink extends StreamLink {
  readyState = WebSocket.OPEN;
  #url;
  #emulation;
  #form;
  #read;
  #abort = new AbortController();
  #session = null;
  #begun = false;
  /** The requests one after the other, so that frames arrive in order. */
  #sent;
  #hasSession;

  constructor(url, emulation, form, read) {
    super();
    this.#url = url;
    this.#emulation = emulation;
    this.#form = form;
    this.#read = read;
    this.#sent = new Promise((resolve) => (this.#hasSession = resolve));
    queueMicrotask(() => this.readyState === WebSocket.OPEN && this.onopen());
  }

  send(text) {
    const frame = this.#form.command(text);
    if (this.#begun) {
      this.#sent = this.#sent.then(() => this.#post(text));
      return frame.length;
    }
    this.#begun = true;
    const request = { form: this.#form, body: frame, text, signal: this.#abort.signal };
    this.#read(this.#url, request, (message) => this.receive(message))
      .then(() => this.end(this.told), (error) => this.end({ code: 0, reason: error.message }));
    return frame.length;
  }

  async #post(text) {
    if (this.readyState !== WebSocket.OPEN) return;
    const body = this.#form.emulated(this.#session, text);
    const headers = { "Content-Type": this.#form.type };
    try {
      const answer = await fetch(this.#emulation, { method: "POST", headers, body, signal: this.#abort.signal });
      if (!answer.ok) throw new Error(`the server refused a frame: HTTP ${answer.status}`);
    } catch (error) {
      this.end({ code: 0, reason: error.message });
    }
  }

  seen({ connect }) {
    if (!connect) return;
    this.#session = { session: connect.session, node: connect.node };
    this.#hasSession();
  }

  release() {
    this.#abort.abort();
  }
}

/** HTTP streaming: messages one after the other. */
async function readStream(url, { form, body, signal }, receive) {
  const headers = { "Content-Type": form.type };
  const answer = await fetch(url, { method: "POST", headers, body, signal });
  if (!answer.ok) throw new Error(`no stream: HTTP ${answer.status}`);
  const reader = answer.body.getReader();
  const read = form.reader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    read(value).forEach(receive);
  }
}

/** Server-sent events: an event for each message. */
function readEvents(url, { text, signal }, receive) {
  const events = new EventSource(`${url}?cf_connect=${encodeURIComponent(text)}`);
  signal.addEventListener("abort", () => events.close());
  return new Promise((resolve) => {
    events.onmessage = ({ data }) => receive({ data, size: utf8(data).length });
    // It would come back by itself with the first frame of the old session; the client decides that.
    events.onerror = () => {
      events.close();
      resolve();
    };
  });
}
