/** The page that `--dev` serves over TLS, where it has WebTransport. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { useBrowser } from "../lib/browser.mjs";
import { useServer } from "../lib/server.mjs";

describe("playground over TLS", () => {
  const server = useServer({}, {
    args: ["--dev"],
    env: { TOURBILLON_CLIENT_PING_INTERVAL: "1s", TOURBILLON_CLIENT_PONG_TIMEOUT: "900ms" },
    http3: true,
  });
  const browser = useBrowser();

  for (const encoding of ["JSON", "Protobuf"]) {
    test(`it speaks WebTransport with ${encoding}`, async (t) => {
      const page = await browser.open(t, `https://127.0.0.1:${server.port}/`, { ignoreHTTPSErrors: true });
      const ready = () => page.locator("#send:enabled").waitFor();
      await ready();
      await page.getByLabel("Transport").selectOption("WebTransport");
      await page.getByLabel("Encoding").selectOption(encoding);
      await ready();
      const text = `over QUIC in ${encoding}, Größe 🛰️`;
      await page.getByLabel("Message", { exact: true }).fill(text);
      await page.getByRole("button", { name: "Send" }).click();
      await page.getByRole("log").getByText(text, { exact: true }).waitFor();
      await page.locator('#frames li[data-kind="pong"]').first().waitFor();
      await page.getByRole("button", { name: "Disconnect" }).click();
      await page.locator('#state[data-state="disconnected"]').waitFor();
      await page.getByRole("button", { name: "Connect", exact: true }).click();
      await ready();
      assert.equal(await page.getByLabel("Transport").inputValue(), "webtransport");
    });
  }
});
