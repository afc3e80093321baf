/** The page for operators, in a real browser. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { useBrowser } from "../lib/browser.mjs";
import { connect, JSON_WIRE, subscribe } from "../lib/sdk.mjs";
import { useServer } from "../lib/server.mjs";
import { until } from "../lib/wait.mjs";

const PASSWORD = "open sesame";
const CONFIG = {
  admin: { enabled: true, password: PASSWORD, secret: "what tokens are signed with" },
  node: { name: "the node", info_metrics_aggregate_interval: "1s" },
  channel: { namespaces: [{ name: "open", allow_subscribe_for_client: true, history_size: 10, history_ttl: "60s" }, { name: "shut" }] },
};
const PHONE = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true };

describe("admin page", () => {
  const server = useServer(CONFIG);
  const browser = useBrowser();

  async function signIn(page, password = PASSWORD) {
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Sign in" }).click();
  }

  /** Opens the page and signs in. */
  async function visit(t, options) {
    const page = await browser.open(t, `${server.http}/`, options);
    await signIn(page);
    await page.getByRole("heading", { name: "Status" }).waitFor();
    return page;
  }

  const go = (page, name) => page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name }).click();
  const tile = (page, name) => page.getByRole("region", { name: "Totals" }).locator(".tile", { has: page.getByText(name, { exact: true }) }).locator("b");

  test("a wrong password is refused, and a token survives the page", async (t) => {
    const page = await browser.open(t, `${server.http}/`);
    await signIn(page, "wrong");
    await page.getByRole("alert").getByText("the password is wrong").waitFor();
    await signIn(page);
    await page.getByRole("heading", { name: "Status" }).waitFor();
    await page.reload();
    await page.getByRole("heading", { name: "Status" }).waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("Password").waitFor();
    await page.reload();
    await page.getByLabel("Password").waitFor();
  });

  test("the nodes are told, and what they carry changes by itself", async (t) => {
    const page = await visit(t);
    await page.getByRole("cell", { name: "the node" }).waitFor();
    await until("nobody to be there", 10_000, async () => (await tile(page, "Clients").innerText()) === "0");
    const client = await connect(t, JSON_WIRE, server, { user: "ada" });
    await subscribe(client, "open:a");
    await until("the client to be shown", 10_000, async () => (await tile(page, "Clients").innerText()) === "1");
    assert.equal(await tile(page, "Subscriptions").innerText(), "1");
    assert.equal(await tile(page, "Nodes").innerText(), "1");
    await page.getByRole("button", { name: "Metrics of the node" }).click();
    await page.getByText("client connections_inflight").waitFor();
    await page.getByLabel("Filter metrics").fill("num_subscriptions");
    await page.getByText("node num_subscriptions").waitFor();
    assert.equal(await page.getByText("client connections_inflight").count(), 0);
    assert.deepEqual(page.complaints, []);
  });

  test("a publication sent by the form arrives, and the result is shown", async (t) => {
    const client = await connect(t, JSON_WIRE, server, { user: "ada" });
    const subscription = await subscribe(client, "open:form");
    const arrived = new Promise((resolve) => subscription.on("publication", ({ data }) => resolve(data)));
    const page = await visit(t);
    await go(page, "Actions");
    await page.getByLabel("channel", { exact: true }).fill("open:form");
    await page.getByLabel("data", { exact: true }).fill('{"text":"<b>hello</b>"}');
    await page.keyboard.press("Control+Enter");
    assert.deepEqual(await arrived, { text: "<b>hello</b>" });
    await page.getByText("done").waitFor();
    assert.match(await page.locator(".result pre").first().innerText(), /"offset": 1/);
    assert.equal(await page.locator(".result b").count(), 0, "what was sent is shown as text");

    await page.getByRole("navigation", { name: "Methods" }).getByRole("link", { name: "history", exact: true }).click();
    await page.getByLabel("channel", { exact: true }).fill("open:form");
    await page.getByLabel("limit", { exact: true }).fill("10");
    await page.getByRole("button", { name: "Run" }).click();
    await page.locator(".result pre").first().getByText('"<b>hello</b>"').waitFor();
    await page.getByLabel("channel", { exact: true }).fill("none:such");
    await page.getByRole("button", { name: "Run" }).click();
    await page.getByText("error 102").waitFor();
    assert.deepEqual(page.complaints, []);
  });

  test("data that is not JSON is not sent", async (t) => {
    const page = await visit(t);
    await go(page, "Actions");
    await page.getByLabel("channel", { exact: true }).fill("open:broken");
    await page.getByLabel("data", { exact: true }).fill("{broken");
    await page.getByRole("button", { name: "Run" }).click();
    assert.match(await page.getByLabel("data", { exact: true }).evaluate((input) => input.validationMessage), /not JSON/);
    assert.equal(await page.locator(".result").count(), 0);
  });

  test("why somebody is refused is told step by step", async (t) => {
    const page = await visit(t);
    await go(page, "Explain");
    await page.getByLabel("channel", { exact: true }).fill("shut:a");
    await page.getByLabel("user", { exact: true }).fill("ada");
    await page.getByRole("button", { name: "Explain" }).click();
    await page.getByText("Refused with 103").waitFor();
    assert.ok((await page.locator(".steps li").count()) > 1);
    await page.getByLabel("channel", { exact: true }).fill("open:a");
    await page.getByRole("button", { name: "Explain" }).click();
    await page.getByText("Allowed", { exact: true }).waitFor();
    assert.match(await page.locator(".steps li").last().innerText(), /allows/);
    assert.deepEqual(page.complaints, []);
  });

  test("everything comes from the server itself", async (t) => {
    const page = await visit(t);
    for (const name of ["Actions", "Explain", "Status"]) await go(page, name);
    const elsewhere = page.requested.filter((url) => new URL(url).host !== new URL(server.http).host);
    assert.deepEqual(elsewhere, []);
    assert.deepEqual(page.complaints, []);
  });

  test("a phone has room for all of it, in light and in dark", async (t) => {
    for (const colorScheme of ["light", "dark"]) {
      const page = await visit(t, { ...PHONE, colorScheme });
      for (const name of ["Actions", "Explain", "Status"]) {
        await go(page, name);
        await page.getByRole("heading", { name, exact: true }).waitFor();
        const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
        assert.ok(content <= window, `${name} is ${content} wide in ${window}`);
      }
      await page.getByRole("button", { name: /^Theme/ }).click();
      assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "light");
    }
  });
});
