/** Nothing is lost, doubled or reordered when several publishers share a channel. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { useServer } from "./lib/server.mjs";
import { connect, inEveryEncoding, JSON_WIRE, PROTOBUF_WIRE, subscribe } from "./lib/sdk.mjs";

const SUBSCRIBERS = 3;
const EACH = 200;
const PUBLISHERS = ["api", "first client", "second client"];
const PATIENCE = 60_000;

describe("order", () => {
  const server = useServer({
    channel: { namespaces: [{ name: "open", allow_subscribe_for_client: true, allow_publish_for_client: true }] },
  });

  inEveryEncoding((wire) => {
    test(`${SUBSCRIBERS} clients get ${EACH * PUBLISHERS.length} publications of the API and of clients, complete and in one order`, (t) =>
      scenario(t, [wire, wire, wire], [wire, wire]));
  });

  test("JSON and Protobuf clients see the same order", (t) =>
    scenario(t, [JSON_WIRE, PROTOBUF_WIRE, JSON_WIRE], [PROTOBUF_WIRE, JSON_WIRE]));

  async function scenario(t, subscriberWires, publisherWires) {
    const channel = `open:${crypto.randomUUID()}`;
    const subscribers = await Promise.all(subscriberWires.map(async (wire, at) => {
      const client = await connect(t, wire, server, { user: `subscriber ${at}` });
      return { wire, subscription: await subscribe(client, channel) };
    }));
    const [first, second] = await Promise.all(publisherWires.map((wire) => connect(t, wire, server, { user: "publisher" })));

    await Promise.all([
      publishByApi(channel),
      publishByClient(first, publisherWires[0], channel, PUBLISHERS[1]),
      publishByClient(second, publisherWires[1], channel, PUBLISHERS[2]),
    ]);

    const seen = await Promise.all(subscribers.map(collect));
    for (const values of seen) {
      for (const by of PUBLISHERS) {
        const order = values.filter((value) => value.by === by).map(({ n }) => n);
        assert.deepEqual(order, Array.from({ length: EACH }, (_, n) => n), `publications of the ${by}`);
      }
    }
    for (const values of seen.slice(1)) assert.deepEqual(values, seen[0], "subscribers disagree about the order");
  }

  async function publishByApi(channel) {
    for (let n = 0; n < EACH; n += 1) await server.api("publish", { channel, data: { by: PUBLISHERS[0], n } });
  }

  /** A few at a time without waiting for replies: the order of a connection is the order in which it sends. */
  async function publishByClient(client, wire, channel, by) {
    for (let n = 0; n < EACH; n += 20) {
      await Promise.all(Array.from({ length: 20 }, (_, k) => client.publish(channel, wire.toPayload({ by, n: n + k }))));
    }
  }

  async function collect({ wire, subscription }) {
    const values = [];
    while (values.length < EACH * PUBLISHERS.length) {
      values.push(wire.fromPayload((await subscription.events.next("publication", undefined, PATIENCE)).data));
    }
    return values;
  }
});
