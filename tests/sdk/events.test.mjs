/** An EventSource in Node that is cut off and comes back. */
import { describe } from "node:test";
import { EventSource } from "eventsource";
import { declareResume } from "./lib/resume.mjs";

describe("events in Node", () => {
  declareResume(async (t, url, events) => {
    const source = new EventSource(url);
    t.after(() => source.close());
    source.onmessage = ({ data }) => data !== "{}" && events.push("push", JSON.parse(data));
  });
});
