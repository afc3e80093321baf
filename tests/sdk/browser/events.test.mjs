/** A browser's EventSource that is cut off and comes back, from a page of another origin than the server's. */
import { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import { useBrowser } from "../lib/browser.mjs";
import { declareResume } from "../lib/resume.mjs";
import { serveSite } from "../lib/site.mjs";

describe("events in a browser", () => {
  const browser = useBrowser();
  let site;
  before(async () => (site = await serveSite({ "/": "<!doctype html><title>a page that listens</title>" })));
  after(() => site.close());

  declareResume(async (t, url, events) => {
    const page = await browser.open(t, `${site.origin}/`);
    await page.exposeFunction("emit", (push) => events.push("push", push));
    await page.evaluate((url) => {
      globalThis.source = new EventSource(url);
      globalThis.source.onmessage = ({ data }) => data !== "{}" && globalThis.emit(JSON.parse(data));
    }, url);
    t.after(async () => assert.ok(page.requested.every((asked) => asked === url || asked === `${site.origin}/`), page.requested.join("\n")));
  });
});
