/** The official SDK in Node over every transport and encoding. */
import { describe } from "node:test";
import { startAgent } from "./lib/agent.mjs";
import { declareMatrix } from "./lib/matrix.mjs";
import { JSON_WIRE, nodeOptions, PROTOBUF_WIRE } from "./lib/sdk.mjs";

const WIRES = new Map([JSON_WIRE, PROTOBUF_WIRE].map((wire) => [wire.encoding, wire]));

describe("matrix in Node", () => {
  declareMatrix(async (t, { encoding, endpoints, options }, events) => {
    const settings = { encoding, endpoints, options: { ...options, ...nodeOptions(options.emulationEndpoint) } };
    const agent = startAgent(WIRES.get(encoding).Centrifuge, settings, (name, context) => events.push(name, context));
    t.after(() => agent.disconnect());
    return async (method, ...args) => agent[method](...args);
  });
});
