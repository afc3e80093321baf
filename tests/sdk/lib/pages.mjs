/** An application's pages with the official SDK in them, each of which is one client. */
import { after, before } from "node:test";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { sdkFile, serveSite } from "./site.mjs";

/** What the SDK is called by its package, by the encoding that it speaks. */
const SCRIPTS = { json: "centrifuge.js", protobuf: "centrifuge.protobuf.js" };
const page = (script) => `<!doctype html><title>an application</title><script src="/${script}"></script>`;

/** The pages of a suite, in this browser. */
export function useClientPages(browser) {
  let site;
  before(async () => {
    site = await serveSite({
      "/agent.mjs": readFileSync(fileURLToPath(new URL("agent.mjs", import.meta.url))),
      ...Object.fromEntries(Object.values(SCRIPTS).map((script) => [`/${script}`, sdkFile(script)])),
      ...Object.fromEntries(Object.entries(SCRIPTS).map(([encoding, script]) => [`/${encoding}`, page(script)])),
    });
  });
  after(() => site.close());
  return {
    /** Opens a page whose SDK speaks an encoding. */
    open: (t, encoding = "json") => browser.open(t, `${site.origin}/${encoding}`),
  };
}

/** Starts the client of a page. Resolves to what calls its methods. */
export async function startClient(page, settings, events) {
  await page.exposeFunction("emit", (name, context) => events.push(name, context));
  await page.evaluate(async (settings) => {
    const { startAgent } = await import("/agent.mjs");
    globalThis.agent = startAgent(globalThis.Centrifuge, settings, globalThis.emit);
  }, settings);
  return (method, ...args) => page.evaluate(([method, args]) => globalThis.agent[method](...args), [method, args]);
}
