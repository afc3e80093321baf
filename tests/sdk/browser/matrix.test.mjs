/** The official SDK in a browser over every transport and encoding: each client is a page of its own. */
import { after, before, describe } from "node:test";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { useBrowser } from "../lib/browser.mjs";
import { declareMatrix } from "../lib/matrix.mjs";
import { sdkFile, serveSite } from "../lib/site.mjs";

const SCRIPTS = { json: "centrifuge.js", protobuf: "centrifuge.protobuf.js" };
const page = (script) => `<!doctype html><title>an application</title><script src="/${script}"></script>`;

describe("matrix in a browser", () => {
  const browser = useBrowser();
  let site;
  before(async () => {
    site = await serveSite({
      "/agent.mjs": readFileSync(fileURLToPath(new URL("../lib/agent.mjs", import.meta.url))),
      ...Object.fromEntries(Object.values(SCRIPTS).map((script) => [`/${script}`, sdkFile(script)])),
      ...Object.fromEntries(Object.entries(SCRIPTS).map(([encoding, script]) => [`/${encoding}`, page(script)])),
    });
  });
  after(() => site.close());

  declareMatrix(async (t, settings, events) => {
    const page = await browser.open(t, `${site.origin}/${settings.encoding}`);
    await page.exposeFunction("emit", (name, context) => events.push(name, context));
    await page.evaluate(async (settings) => {
      const { startAgent } = await import("/agent.mjs");
      globalThis.agent = startAgent(globalThis.Centrifuge, settings, globalThis.emit);
    }, settings);
    return (method, ...args) => page.evaluate(([method, args]) => globalThis.agent[method](...args), [method, args]);
  });
});
