/**
 * The Protobuf encoding of the protocol, to and from the objects that the JSON encoding has: as much of it as this page
 * needs. Payloads are bytes there; here they are JSON in them.
 */
const ClientInfo = { 1: ["user", "text"], 2: ["client", "text"], 3: ["conn_info", "json"], 4: ["chan_info", "json"] };
const Publication = {
  4: ["data", "json"], 5: ["info", ClientInfo], 6: ["offset", "number"], 7: ["tags", "map"], 8: ["delta", "flag"], 9: ["time", "number"],
};
const Told = { 1: ["info", ClientInfo] };
const Push = {
  2: ["channel", "text"],
  4: ["pub", Publication],
  5: ["join", Told],
  6: ["leave", Told],
  7: ["unsubscribe", { 2: ["code", "number"], 3: ["reason", "text"] }],
  8: ["message", { 1: ["data", "json"] }],
  9: ["subscribe", { 1: ["recoverable", "flag"], 4: ["epoch", "text"], 5: ["offset", "number"], 6: ["positioned", "flag"], 7: ["data", "json"] }],
  11: ["disconnect", { 1: ["code", "number"], 2: ["reason", "text"] }],
  12: ["refresh", { 1: ["expires", "flag"], 2: ["ttl", "number"] }],
};
const Reply = {
  1: ["id", "number"],
  2: ["error", { 1: ["code", "number"], 2: ["message", "text"], 3: ["temporary", "flag"] }],
  4: ["push", Push],
  5: ["connect", {
    1: ["client", "text"], 2: ["version", "text"], 3: ["expires", "flag"], 4: ["ttl", "number"], 5: ["data", "json"],
    7: ["ping", "number"], 8: ["pong", "flag"], 9: ["session", "text"], 10: ["node", "text"], 11: ["time", "number"],
  }],
  6: ["subscribe", {
    1: ["expires", "flag"], 2: ["ttl", "number"], 3: ["recoverable", "flag"], 6: ["epoch", "text"], 8: ["recovered", "flag"],
    9: ["offset", "number"], 10: ["positioned", "flag"], 11: ["data", "json"], 12: ["was_recovering", "flag"], 13: ["delta", "flag"],
  }],
  7: ["unsubscribe", {}],
  8: ["publish", {}],
};
const Command = {
  1: ["id", "number"],
  4: ["connect", { 1: ["token", "text"], 2: ["data", "json"], 4: ["name", "text"], 5: ["version", "text"] }],
  5: ["subscribe", { 1: ["channel", "text"], 2: ["token", "text"] }],
  6: ["unsubscribe", { 1: ["channel", "text"] }],
  7: ["publish", { 1: ["channel", "text"], 2: ["data", "json"] }],
};
const Emulation = { 1: ["node", "text"], 2: ["session", "text"], 3: ["data", "bytes"] };

/** A command as it is sent: after its length. */
export const encodeCommand = (command) => counted(encode(Command, command));

/** A request to the emulation endpoint. */
export const encodeEmulation = (request) => Uint8Array.from(encode(Emulation, request));

/** A reply without its length. */
export const decodeReply = (bytes) => decode(Reply, bytes);

/** Tells messages apart, which come each after its length and in pieces of any size. */
export class Messages {
  #rest = new Uint8Array();

  /** The messages that are whole with this piece. */
  take(piece) {
    const bytes = joined(this.#rest, piece);
    const found = [];
    let at = 0;
    for (;;) {
      const [length, start] = number(bytes, at);
      if (start > bytes.length || start + length > bytes.length) break;
      found.push(bytes.subarray(start, start + length));
      at = start + length;
    }
    this.#rest = bytes.slice(at);
    return found;
  }
}

function joined(one, other) {
  const whole = new Uint8Array(one.length + other.length);
  whole.set(one);
  whole.set(other, one.length);
  return whole;
}

// --- Reading ----------------------------------------------------------------------------------------------------

/** The number at a place, and where it ends: beyond the end where it is not whole. */
function number(bytes, at) {
  let value = 0;
  for (let scale = 1; at < bytes.length; scale *= 128) {
    const byte = bytes[at++];
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return [value, at];
  }
  return [0, Infinity];
}

function decode(schema, bytes) {
  const message = {};
  for (let at = 0; at < bytes.length; ) {
    let tag, value;
    [tag, at] = number(bytes, at);
    const [name, type] = schema[Math.floor(tag / 8)] ?? [];
    if (tag % 8 === 0) [value, at] = number(bytes, at);
    else if (tag % 8 === 1) at += 8;
    else if (tag % 8 === 5) at += 4;
    else {
      const [length, start] = number(bytes, at);
      at = start + length;
      value = bytes.subarray(start, at);
    }
    if (!(at <= bytes.length)) throw new Error("a Protobuf message ends within a field");
    if (type === "map") message[name] = { ...message[name], ...entry(value) };
    else if (name && value !== undefined) message[name] = read(type, value);
  }
  return message;
}

function entry(bytes) {
  const { key = "", value = "" } = decode({ 1: ["key", "text"], 2: ["value", "text"] }, bytes);
  return { [key]: value };
}

function read(type, value) {
  if (type === "number") return value;
  if (type === "flag") return value !== 0;
  if (typeof type === "object") return decode(type, value);
  const text = new TextDecoder().decode(value);
  if (type !== "json") return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

// --- Writing ----------------------------------------------------------------------------------------------------

function numbered(value) {
  const bytes = [];
  for (; value >= 0x80; value = Math.floor(value / 128)) bytes.push((value % 128) | 0x80);
  return [...bytes, value];
}

const counted = (bytes) => Uint8Array.from([...numbered(bytes.length), ...bytes]);

function encode(schema, message) {
  return Object.entries(schema).flatMap(([field, [name, type]]) => {
    const value = message[name];
    if (value === undefined) return [];
    if (type === "number") return [field * 8, ...numbered(value)];
    return [field * 8 + 2, ...counted(written(type, value))];
  });
}

function written(type, value) {
  if (type === "bytes") return value;
  if (typeof type === "object") return encode(type, value);
  return new TextEncoder().encode(type === "json" ? JSON.stringify(value) : value);
}
