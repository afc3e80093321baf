/** The page that `--dev` serves, in a real browser. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { request } from "node:http";
import { useBrowser } from "../lib/browser.mjs";
import { useServer } from "../lib/server.mjs";

const DEV = ["--dev", "--http_server.port={port}"];
const PHONE = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true };

describe("playground", () => {
  const server = useServer({}, { args: DEV, env: { TOURBILLON_CLIENT_PING_INTERVAL: "1s", TOURBILLON_CLIENT_PONG_TIMEOUT: "900ms" } });
  const browser = useBrowser();

  /** Opens the playground as somebody and waits until it is in its channel. */
  async function visit(t, name, { hash = "", ...options } = {}) {
    const page = await browser.open(t, `${server.http}/${hash}`, options);
    await page.getByLabel("Name").fill(name);
    await ready(page);
    return page;
  }

  const ready = (page) => page.locator("#send:enabled").waitFor();
  const message = (page, text) => page.getByRole("log").getByText(text, { exact: true });
  const frames = (page, kind) => page.locator(`#frames li[data-kind="${kind}"]`);

  async function say(page, text) {
    await page.getByLabel("Message", { exact: true }).fill(text);
    await page.getByRole("button", { name: "Send" }).click();
  }

  /** A message goes each way, with its frames shown, and pings are answered. */
  async function speaks(page, other, text) {
    await page.getByRole("button", { name: "Clear" }).click();
    await say(page, text);
    await message(page, text).waitFor();
    await message(other, text).waitFor();
    await say(other, `back: ${text}`);
    await message(page, `back: ${text}`).waitFor();
    assert.ok((await frames(page, "push pub").first().innerText()).includes(JSON.stringify(text)));
    await frames(page, "ping").first().waitFor();
    await frames(page, "pong").first().waitFor();
    assert.deepEqual(page.complaints, []);
  }

  test("a message sent in one page arrives in the other, with its frames beside it", async (t) => {
    const [ada, eve] = [await visit(t, "Ada"), await visit(t, "Eve")];
    await say(ada, "is anybody there?");
    await message(ada, "is anybody there?").waitFor();
    await message(eve, "is anybody there?").waitFor();
    await say(eve, "yes, here");
    await message(ada, "yes, here").waitFor();

    assert.match(await frames(ada, "connect").innerText(), /"token": "[^"]+… \(\d+ characters\)"/);
    assert.match(await frames(ada, "subscribe").innerText(), /"channel": "chat"/);
    assert.match(await frames(ada, "publish").innerText(), /"text": "is anybody there\?"/);
    assert.match(await frames(eve, "push pub").first().innerText(), /"text": "is anybody there\?"/);
    assert.equal(await frames(eve, "push pub").count(), 2);
    assert.match(await ada.locator(".message.mine").innerText(), /Ada/);
    assert.match(await eve.locator(".message:not(.mine)").innerText(), /Ada/);
    for (const page of [ada, eve]) {
      assert.equal(await page.locator("#state").innerText(), "Connected");
      assert.match(await page.locator("#latency").innerText(), /^\d+(\.\d)? ms$/);
      assert.deepEqual(page.complaints, []);
    }
  });

  test("what is sent is shown as text, whatever it looks like", async (t) => {
    const page = await visit(t, "Ada", { hash: "#markup" });
    const text = '<img src=x onerror="document.title=1"> & "quotes" 🛰️';
    await say(page, text);
    await message(page, text).waitFor();
    assert.equal(await page.title(), "Tourbillon playground");
    assert.equal(await page.locator("img").count(), 0);
  });

  test("everything comes from the server itself", async (t) => {
    const page = await visit(t, "Ada");
    const elsewhere = page.requested.filter((url) => !url.startsWith("data:") && new URL(url).host !== new URL(server.http).host);
    assert.deepEqual(elsewhere, []);
    assert.ok(page.requested.length >= 6, page.requested.join(" "));
    assert.equal(await page.getByRole("option", { name: "WebTransport" }).count(), 0, "it is off");
    const answer = await fetch(`${server.http}/`);
    assert.match(answer.headers.get("content-security-policy"), /default-src 'none'/);
    assert.doesNotMatch(answer.headers.get("content-security-policy"), /unsafe/);
  });

  test("pings and pongs are shown, and hidden on demand", async (t) => {
    const page = await visit(t, "Ada", { hash: "#pings" });
    await frames(page, "ping").first().waitFor();
    await frames(page, "pong").first().waitFor();
    await page.getByLabel("Ping/pong").uncheck();
    assert.equal(await frames(page, "ping").first().isVisible(), false);
    assert.equal(await frames(page, "connect").isVisible(), true);
    await page.getByLabel("Indent").uncheck();
    assert.match(await frames(page, "subscribe").locator("pre").innerText(), /^\{"id":2,"subscribe":\{"channel":"pings"\}\}$/);
    await page.getByRole("button", { name: "Clear" }).click();
    await frames(page, "connect").waitFor({ state: "detached" });
  });

  test("a channel can be changed, and a refusal is explained", async (t) => {
    const [ada, eve] = [await visit(t, "Ada", { hash: "#one" }), await visit(t, "Eve", { hash: "#two" })];
    await ada.getByLabel("Channel", { exact: true }).fill("nowhere:a");
    await ada.getByRole("button", { name: "Join" }).click();
    const why = "unknown channel: namespace: refuses (there is no such namespace) (102)";
    await ada.getByRole("alert").getByText(why).waitFor();
    assert.equal(await ada.locator("#send").isEnabled(), false);
    await ada.getByLabel("Channel", { exact: true }).fill("two");
    await ada.getByRole("button", { name: "Join" }).click();
    await ready(ada);
    assert.equal(new URL(ada.url()).hash, "#two");
    await say(ada, "over here");
    await message(eve, "over here").waitFor();
  });

  test("the command it shows publishes into the channel", async (t) => {
    const page = await visit(t, "Ada", { hash: "#terminal" });
    await page.getByText("Publish from a terminal").click();
    const command = await page.locator("#curl").innerText();
    const [, url] = /curl (\S+)/.exec(command);
    const [, key] = /'X-API-Key: ([^']+)'/.exec(command);
    const [, body] = /-d '(.+)'/.exec(command);
    const answer = await fetch(url, { method: "POST", headers: { "X-API-Key": key }, body });
    assert.deepEqual(await answer.json(), { result: {} });
    await message(page, "hello").waitFor();
  });

  test("it disconnects and connects on demand", async (t) => {
    const page = await visit(t, "Ada", { hash: "#toggle" });
    await page.getByRole("button", { name: "Disconnect" }).click();
    await page.locator('#state[data-state="disconnected"]').waitFor();
    assert.equal(await page.locator("#send").isEnabled(), false);
    await page.getByRole("button", { name: "Connect", exact: true }).click();
    await ready(page);
    await say(page, "back");
    await message(page, "back").waitFor();
  });

  test("it fits a phone", async (t) => {
    const page = await visit(t, "Ada", { hash: "#phone", ...PHONE });
    await say(page, "a message from a phone, ".repeat(10).trim());
    await frames(page, "push pub").waitFor();
    const [content, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(content <= screen, `${content} px wide on a screen of ${screen}`);
  });

  test("it comes back with a new token when the server was restarted", async (t) => {
    const page = await visit(t, "Ada", { hash: "#restart" });
    assert.equal(await server.stop(), 0);
    await page.locator('#state[data-state="connecting"]').waitFor();
    await server.start();
    await ready(page);
    await say(page, "still here");
    await message(page, "still here").waitFor();
  });

  for (const [transport, path] of [["WebSocket", "/connection/websocket"], ["HTTP streaming", "/connection/http_stream"]]) {
    test(`it speaks Protobuf over ${transport} on demand`, async (t) => {
      const [page, other] = [await visit(t, "Ada", { hash: "#encodings" }), await visit(t, "Eve", { hash: "#encodings" })];
      await page.getByLabel("Transport").selectOption(transport);
      await ready(page);
      const binary = [];
      page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => binary.push(typeof payload !== "string")));
      page.on("request", (request) => request.url().endsWith(path) && binary.push(request.headers()["content-type"] === "application/octet-stream"));
      await page.getByLabel("Encoding").selectOption("Protobuf");
      await ready(page);
      await speaks(page, other, `in Protobuf over ${transport}, Größe 🛰️`);
      assert.ok(binary.length >= 1 && binary.every(Boolean), binary.join(" "));
      await page.reload();
      await ready(page);
      assert.equal(await page.getByLabel("Encoding").inputValue(), "protobuf", "the choice belongs to the tab");
      await page.getByLabel("Transport").selectOption("Server-sent events");
      await ready(page);
      assert.equal(await page.getByLabel("Encoding").isEnabled(), false, "events are text");
      await speaks(page, other, "and JSON again");
    });
  }

  for (const [transport, path] of [["HTTP streaming", "/connection/http_stream"], ["Server-sent events", "/connection/sse"]]) {
    test(`it speaks ${transport} on demand, with all that belongs to it`, async (t) => {
      const [page, other] = [await visit(t, "Ada", { hash: "#transports" }), await visit(t, "Eve", { hash: "#transports" })];
      await page.getByLabel("Transport").selectOption(transport);
      await page.locator('#state[data-state="connected"]').waitFor();
      await ready(page);
      await say(page, `over ${transport}`);
      await message(page, `over ${transport}`).waitFor();
      await message(other, `over ${transport}`).waitFor();
      await say(other, "and back");
      await message(page, "and back").waitFor();
      await frames(page, "pong").first().waitFor();
      const paths = page.requested.map((url) => new URL(url).pathname);
      assert.ok(paths.includes(path) && paths.includes("/emulation"), paths.join(" "));
      assert.deepEqual(page.complaints, []);

      await page.getByRole("button", { name: "Disconnect" }).click();
      await page.locator('#state[data-state="disconnected"]').waitFor();
      await page.reload();
      await ready(page);
      assert.equal(await page.getByLabel("Transport").inputValue(), path.split("/").at(-1), "the choice belongs to the tab");

      await server.stop();
      await page.locator('#state[data-state="connecting"]').waitFor();
      await server.start();
      await ready(page);
      await say(page, `again over ${transport}`);
      await message(page, `again over ${transport}`).waitFor();
    });
  }

  test("its keys are given to nobody who comes by another name", async () => {
    const status = await new Promise((resolve, reject) => {
      const options = { port: server.port, host: "127.0.0.1", path: "/dev/connection.json", headers: { Host: "rebound.example.com" } };
      request(options, (response) => (response.resume(), resolve(response.statusCode))).once("error", reject).end();
    });
    assert.equal(status, 403);
  });
});
