/**
 * One client of the SDK behind calls and events of plain data, so that the same scenario can drive it in Node and, from
 * outside, in a page. It imports nothing: a page gets this file as it is.
 */
export function startAgent(Centrifuge, { encoding, endpoints, options }, emit) {
  const isBinary = encoding === "protobuf";
  const toPayload = (value) => (isBinary ? new TextEncoder().encode(JSON.stringify(value)) : value);
  const fromPayload = (data) => (isBinary ? JSON.parse(new TextDecoder().decode(data)) : data);
  const someone = ({ client, user }) => ({ client, user });

  const client = new Centrifuge(endpoints, options);
  client.on("connecting", ({ code, reason }) => emit("connecting", { code, reason }));
  client.on("connected", ({ client: id, transport }) => emit("connected", { id, transport }));
  client.on("disconnected", ({ code, reason }) => emit("disconnected", { code, reason }));

  return {
    connect: () => client.connect(),
    disconnect: () => client.disconnect(),

    subscribe(channel, wanted) {
      const subscription = client.newSubscription(channel, wanted);
      subscription.on("subscribed", ({ wasRecovering, recovered }) => emit("subscribed", { wasRecovering, recovered }));
      subscription.on("unsubscribed", ({ code, reason }) => emit("unsubscribed", { code, reason }));
      subscription.on("publication", ({ data }) => emit("publication", fromPayload(data)));
      subscription.on("join", ({ info }) => emit("join", someone(info)));
      subscription.on("leave", ({ info }) => emit("leave", someone(info)));
      subscription.subscribe();
    },

    async publish(channel, value) {
      await client.publish(channel, toPayload(value));
    },

    async presence(channel) {
      return Object.values((await client.presence(channel)).clients).map(someone);
    },

    /** How many publications came whole, and how many as what is different from the one before. */
    arrived(channel) {
      const { numFullPayloads, numDeltaPayloads } = client.getSubscription(channel).deltaStats();
      return { whole: numFullPayloads, deltas: numDeltaPayloads };
    },
  };
}
