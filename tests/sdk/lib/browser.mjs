/** A headless Chromium with a fresh profile, and nothing that it fetches on its own. */
import { after, before } from "node:test";
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";
import { PATIENCE } from "./wait.mjs";

const EXECUTABLE = process.env.CHROMIUM_BIN ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** A browser that runs from the suite's `before` to its `after`. */
export function useBrowser() {
  const holder = new Browser();
  before(() => holder.start());
  after(() => holder.stop());
  return holder;
}

class Browser {
  async start() {
    if (!EXECUTABLE) throw new Error("no Chromium: install the package chromium, or name one in CHROMIUM_BIN");
    this.browser = await chromium.launch({ executablePath: EXECUTABLE, args: ARGUMENTS, timeout: 4 * PATIENCE });
  }

  async stop() {
    await this.browser?.close();
  }

  /** A page of its own, as another visitor would have it. What goes wrong in it is collected in `page.complaints`. */
  async open(t, url, options = {}) {
    const context = await this.browser.newContext(options);
    t.after(() => context.close());
    context.setDefaultTimeout(PATIENCE);
    const page = await context.newPage();
    page.complaints = [];
    page.requested = [];
    page.on("console", (message) => message.type() === "error" && page.complaints.push(message.text()));
    page.on("pageerror", (error) => page.complaints.push(String(error)));
    page.on("request", (request) => page.requested.push(request.url()));
    page.on("websocket", (socket) => page.requested.push(socket.url()));
    await page.goto(url);
    return page;
  }
}
