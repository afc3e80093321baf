/** The official SDK in a browser over WebTransport, in both encodings: each client is a page of its own. */
import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { useBrowser } from "../lib/browser.mjs";
import { declareMatrix, WEBTRANSPORT_CELLS } from "../lib/matrix.mjs";
import { useServer } from "../lib/server.mjs";
import { sdkFile, serveSite } from "../lib/site.mjs";

const SCRIPTS = { json: "centrifuge.js", protobuf: "centrifuge.protobuf.js" };
const page = (script) => `<!doctype html><title>an application</title><script src="/${script}"></script>`;

// The SDK hands no options to `WebTransport`, and the certificate is one that the browser knows by its hash only.
const trust = (bytes) => {
  const serverCertificateHashes = [{ algorithm: "sha-256", value: new Uint8Array(bytes) }];
  const { WebTransport } = globalThis;
  globalThis.WebTransport = class extends WebTransport {
    constructor(url) {
      super(url, { serverCertificateHashes });
    }
  };
};

describe("WebTransport in a browser", () => {
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

  /** A page that trusts the server. */
  async function visit(t, server, encoding = "json") {
    const page = await browser.open(t, `${site.origin}/${encoding}`);
    await page.evaluate(trust, [...server.certificate.sha256]);
    return page;
  }

  declareMatrix(async (t, settings, events, server) => {
    const page = await visit(t, server, settings.encoding);
    await page.exposeFunction("emit", (name, context) => events.push(name, context));
    await page.evaluate(async (settings) => {
      const { startAgent } = await import("/agent.mjs");
      globalThis.agent = startAgent(globalThis.Centrifuge, settings, globalThis.emit);
    }, settings);
    return (method, ...args) => page.evaluate(([method, args]) => globalThis.agent[method](...args), [method, args]);
  }, { cells: WEBTRANSPORT_CELLS, http3: true });

  describe("sessions", () => {
    const server = useServer({ client: { allowed_origins: ["http://127.0.0.1:*"] } }, { http3: true });
    const strict = useServer({ client: { allowed_origins: ["https://elsewhere.example"] } }, { http3: true });

    test("the end of a session tells its code and reason after its stream", async (t) => {
      const page = await visit(t, server);
      const ended = page.evaluate(async (url) => {
        const session = new WebTransport(url);
        await session.ready;
        const { readable, writable } = await session.createBidirectionalStream();
        const writer = writable.getWriter();
        await writer.write(new TextEncoder().encode("no command\n"));
        let text = "";
        for await (const piece of readable.pipeThrough(new TextDecoderStream())) text += piece;
        const { closeCode, reason } = await session.closed;
        return { text, closeCode, reason };
      }, server.webtransport);
      assert.deepEqual(await ended, {
        text: '{"push":{"disconnect":{"code":3501,"reason":"bad request"}}}\n',
        closeCode: 3501,
        reason: "bad request",
      });
    });

    test("pages of other origins get no session", async (t) => {
      const page = await visit(t, strict);
      const opened = (url) => page.evaluate((url) => new WebTransport(url).ready.then(() => true, () => false), url);
      assert.equal(await opened(strict.webtransport), false);
      assert.equal(await opened(server.webtransport), false, "the certificate of another server");
    });
  });
});
