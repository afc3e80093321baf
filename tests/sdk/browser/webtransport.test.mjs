/** The official SDK in a browser over WebTransport, in both encodings: each client is a page of its own. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { useBrowser } from "../lib/browser.mjs";
import { declareMatrix, WEBTRANSPORT_CELLS } from "../lib/matrix.mjs";
import { startClient, useClientPages } from "../lib/pages.mjs";
import { useServer } from "../lib/server.mjs";

// The SDK hands no options to `WebTransport`, and the certificate is one that the browser knows by its hash only.
//
// centrifuge-js 5.7.4 queues its messages such that those of a chunk that is read while messages of the one before are
// still queued overtake them. That is so without any server, too: a stream with chunks of 20 messages and of one is enough.
// With a turn of the event loop between chunks the SDK has done with one before it sees the next.
const trust = (bytes) => {
  const serverCertificateHashes = [{ algorithm: "sha-256", value: new Uint8Array(bytes) }];
  const { WebTransport } = globalThis;
  const apart = () =>
    new TransformStream({
      async transform(chunk, controller) {
        await new Promise((resolve) => setTimeout(resolve));
        controller.enqueue(chunk);
      },
    });
  globalThis.WebTransport = class extends WebTransport {
    constructor(url) {
      super(url, { serverCertificateHashes });
    }
    async createBidirectionalStream() {
      const { readable, writable } = await super.createBidirectionalStream();
      return { readable: readable.pipeThrough(apart()), writable };
    }
  };
};

describe("WebTransport in a browser", () => {
  const pages = useClientPages(useBrowser());

  /** A page that trusts the server. */
  async function visit(t, server, encoding) {
    const page = await pages.open(t, encoding);
    await page.evaluate(trust, [...server.certificate.sha256]);
    return page;
  }

  declareMatrix(
    async (t, settings, events, server) => startClient(await visit(t, server, settings.encoding), settings, events),
    { cells: WEBTRANSPORT_CELLS, http3: true },
  );

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
