/**
 * A small client of the protocol: it connects, subscribes, publishes, answers pings and comes back after a loss.
 *
 * A frame holds one or more JSON documents joined by "\n", whatever the link makes of them. A command carries an id and its reply repeats it. A reply
 * without an id is a push; an empty one is the server's ping, answered by an empty command.
 *
 * Events (their data is in `event.detail`): `state`, `subscription`, `publication`, `frame`, `latency`.
 */
import { openLink } from "./links.js";

const FIRST_DELAY = 300;
const LONGEST_DELAY = 10_000;
const PING_GRACE = 10_000;
const REPLY_TIMEOUT = 5_000;

const isTerminal = (code) => (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000);

export class Client extends EventTarget {
  state = "disconnected";
  #endpoint;
  #socket = null;
  #attempt = 0;
  #retry;
  #watchdog;
  #ping = null;
  #lastId = 0;
  #calls = new Map();
  #channels = new Set();

  /**
   * `endpoint` is asked before every attempt and resolves to `{ transport, encoding, url, emulation, certificate,
   * token }`, so that a new token can replace an old one.
   */
  constructor(endpoint) {
    super();
    this.#endpoint = endpoint;
  }

  connect() {
    if (this.state !== "disconnected") return;
    this.#attempt = 0;
    this.#open();
  }

  disconnect() {
    this.#lose({ code: 0, reason: "disconnected by you" }, false);
  }

  subscribe(channel) {
    this.#channels.add(channel);
    if (this.state === "connected") this.#join(channel);
  }

  unsubscribe(channel) {
    if (!this.#channels.delete(channel)) return;
    if (this.state === "connected") this.#call({ unsubscribe: { channel } }).catch(() => {});
    this.#emit("subscription", { channel, state: "unsubscribed", code: 0, reason: "left" });
  }

  publish(channel, data) {
    return this.#call({ publish: { channel, data } });
  }

  async #open() {
    this.#become("connecting", { attempt: this.#attempt });
    const turn = (this.#socket = {}); // Stands for this attempt until there is a socket.
    try {
      const endpoint = await this.#endpoint();
      if (this.#socket !== turn) return;
      const socket = (this.#socket = openLink(endpoint));
      const current = (act) => (event) => this.#socket === socket && act(event);
      socket.onopen = current(() => this.#greet(endpoint.token));
      socket.onmessage = current(({ data, size }) => this.#read(data, size));
      socket.onclose = current((event) => this.#lose(event, !isTerminal(event.code)));
    } catch (error) {
      if (this.#socket === turn) this.#lose({ code: 0, reason: error.message }, true);
    }
  }

  async #greet(token) {
    const socket = this.#socket;
    try {
      const result = await this.#call({ connect: { token, name: "playground" } });
      this.#attempt = 0;
      this.#ping = result.ping ? { every: result.ping * 1000, pong: result.pong === true } : null;
      this.#watch();
      this.#become("connected", { client: result.client, version: result.version });
      this.#channels.forEach((channel) => this.#join(channel));
    } catch (error) {
      if (this.#socket !== socket) return; // Lost already, and another attempt may be under way.
      // 109 is an expired token: the next attempt brings a fresh one. Codes below 100 are our own.
      this.#lose({ code: error.code, reason: error.message }, error.temporary || error.code === 109 || error.code < 100);
    }
  }

  async #join(channel) {
    this.#emit("subscription", { channel, state: "subscribing" });
    try {
      await this.#call({ subscribe: { channel } });
      if (this.#channels.has(channel)) this.#emit("subscription", { channel, state: "subscribed" });
    } catch (error) {
      if (error.code < 100) return; // The connection is gone; the next one subscribes again.
      this.#channels.delete(channel);
      this.#emit("subscription", { channel, state: "unsubscribed", code: error.code, reason: error.message });
    }
  }

  #call(request) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return Promise.reject({ code: 1, message: "not connected" });
    const id = ++this.#lastId;
    const sent = performance.now();
    this.#write({ id, ...request });
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle({ id, error: { code: 2, message: "no reply in time" } }), REPLY_TIMEOUT);
      this.#calls.set(id, { method: Object.keys(request)[0], sent, timer, resolve, reject });
    });
  }

  #settle(reply) {
    const call = this.#calls.get(reply.id);
    if (!call) return;
    this.#calls.delete(reply.id);
    clearTimeout(call.timer);
    if (!(reply.error?.code < 100)) this.#emit("latency", { method: call.method, ms: performance.now() - call.sent });
    if (reply.error) call.reject(reply.error);
    else call.resolve(reply[call.method]);
  }

  #write(command) {
    const text = JSON.stringify(command);
    const size = this.#socket.send(text);
    this.#emit("frame", { direction: "out", text, size });
  }

  #read(text, size) {
    this.#emit("frame", { direction: "in", text, size });
    this.#watch();
    for (const line of text.split("\n")) {
      const reply = JSON.parse(line);
      if (reply.id) this.#settle(reply);
      else if (reply.push) this.#pushed(reply.push);
      else if (this.#ping?.pong) this.#write({});
    }
  }

  #pushed({ channel, pub, unsubscribe }) {
    if (pub) this.#emit("publication", { channel, ...pub });
    if (!unsubscribe || !this.#channels.has(channel)) return;
    if (unsubscribe.code >= 2500) return void this.#join(channel);
    this.#channels.delete(channel);
    this.#emit("subscription", { channel, state: "unsubscribed", ...unsubscribe });
  }

  /** Every frame proves life; a server silent for longer than its ping interval is taken for lost. */
  #watch() {
    clearTimeout(this.#watchdog);
    if (!this.#ping) return;
    this.#watchdog = setTimeout(() => this.#lose({ code: 0, reason: "no ping from the server" }, true), this.#ping.every + PING_GRACE);
  }

  #lose({ code, reason }, again) {
    if (this.state === "disconnected") return;
    const socket = this.#socket;
    this.#socket = this.#ping = null;
    clearTimeout(this.#watchdog);
    clearTimeout(this.#retry);
    socket?.close?.();
    for (const id of this.#calls.keys()) this.#settle({ id, error: { code: 3, message: "connection closed" } });
    if (!again) return this.#become("disconnected", { code, reason });
    // Full jitter, so that the clients of a restarted server do not come back all at once.
    const delay = Math.random() * Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.#attempt++);
    this.#become("connecting", { code, reason, delay, attempt: this.#attempt });
    this.#retry = setTimeout(() => this.#open(), delay);
  }

  #become(state, detail) {
    this.state = state;
    this.#emit("state", { state, ...detail });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
