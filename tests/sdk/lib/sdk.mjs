/** The official SDK, once over JSON and once over Protobuf. */
import { describe } from "node:test";
import { Centrifuge as JsonCentrifuge } from "centrifuge";
import { Centrifuge as ProtobufCentrifuge } from "centrifuge/build/protobuf";
import { EventSource } from "eventsource";
import WebSocket from "ws";
import { Recorder } from "./wait.mjs";

const CLIENT_EVENTS = ["connecting", "connected", "disconnected", "error", "message", "subscribed", "subscribing", "unsubscribed", "publication"];
const SUBSCRIPTION_EVENTS = ["subscribing", "subscribed", "unsubscribed", "publication", "join", "leave", "error"];

/** What differs between the encodings: the SDK's class and how it shows a payload. */
const WIRES = [
  {
    encoding: "json",
    Centrifuge: JsonCentrifuge,
    subprotocol: "centrifuge-json",
    toPayload: (value) => value,
    fromPayload: (payload) => payload,
  },
  {
    encoding: "protobuf",
    Centrifuge: ProtobufCentrifuge,
    subprotocol: "centrifuge-protobuf",
    toPayload: (value) => Buffer.from(JSON.stringify(value)),
    fromPayload: (payload) => JSON.parse(Buffer.from(payload).toString()),
  },
];

export const [JSON_WIRE, PROTOBUF_WIRE] = WIRES;

/** Declares the same scenarios once per encoding. */
export function inEveryEncoding(declare) {
  for (const wire of WIRES) describe(wire.encoding, () => declare(wire));
}

/** What carries a connection where it is not WebSocket, with the encodings that the SDK has for it. */
const HTTP_TRANSPORTS = [
  { transport: "http_stream", wires: WIRES },
  { transport: "sse", wires: [JSON_WIRE] },
];

/** Declares the same scenarios once per transport over plain HTTP and encoding. The wires know their transport. */
export function overEveryHttpTransport(declare) {
  for (const { transport, wires } of HTTP_TRANSPORTS) {
    for (const wire of wires) describe(`${transport}, ${wire.encoding}`, () => declare({ ...wire, transport }));
  }
}

/** What the SDK needs outside of a browser. */
export function nodeOptions(emulationEndpoint) {
  return {
    websocket: WebSocket,
    // The SDK does not look at what becomes of the frames that it sends: a server that is gone rejects them.
    fetch: (url, options) => (url === emulationEndpoint ? fetch(url, options).catch(() => null) : fetch(url, options)),
    readableStream: ReadableStream,
    eventsource: EventSource,
  };
}

/** A client of the SDK that ends with the test. Its events are recorded in `client.events` from the start. */
export function newClient(t, wire, server, options = {}) {
  const { transport } = wire;
  const emulationEndpoint = `${server.http}/emulation`;
  const endpoints = transport ? [{ transport, endpoint: `${server.http}/connection/${transport}` }] : server.ws;
  const client = new wire.Centrifuge(endpoints, {
    emulationEndpoint,
    ...nodeOptions(emulationEndpoint),
    minReconnectDelay: 20,
    maxReconnectDelay: 500,
    timeout: 15_000,
    ...options,
  });
  client.events = Recorder.of(client, ...CLIENT_EVENTS);
  t.after(() => client.disconnect());
  return client;
}

/** A connected client. `user` stands for a token of that user. */
export async function connect(t, wire, server, { user, ...options } = {}) {
  const client = newClient(t, wire, server, { token: user === undefined ? "" : server.token({ sub: user }), ...options });
  client.connect();
  client.id = (await client.events.next("connected")).client;
  return client;
}

/** A new subscription, with its events recorded from the start, and the subscribe call made. */
export function beginSubscription(client, channel, options) {
  const subscription = client.newSubscription(channel, options);
  subscription.events = Recorder.of(subscription, ...SUBSCRIPTION_EVENTS);
  subscription.subscribe();
  return subscription;
}

/** A subscription that the server has accepted. */
export async function subscribe(client, channel, options) {
  const subscription = beginSubscription(client, channel, options);
  await subscription.events.next("subscribed");
  return subscription;
}

/** The value of the subscription's next publication. */
export async function nextValue(wire, subscription) {
  return wire.fromPayload((await subscription.events.next("publication")).data);
}
