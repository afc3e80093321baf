/** The snippet that `--dev` prints, run as a newcomer would paste it. */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { useBrowser } from "../lib/browser.mjs";
import { useServer } from "../lib/server.mjs";
import { sdkFile, serveSite } from "../lib/site.mjs";
import { PATIENCE, until } from "../lib/wait.mjs";

const MODULES = fileURLToPath(new URL("../node_modules", import.meta.url));

describe("printed snippet", () => {
  const server = useServer({}, { args: ["--dev", "--http_server.port={port}"] });
  const browser = useBrowser();

  /** The lines of JavaScript among what the server printed. */
  function snippet() {
    const lines = server.log;
    const [first, last] = [lines.findIndex((line) => line.trimStart().startsWith("import ")), lines.findIndex((line) => line.includes("client.connect();"))];
    assert.ok(first >= 0 && last > first, `no snippet in\n${lines.join("\n")}`);
    return lines.slice(first, last + 1).join("\n");
  }

  async function publish(text) {
    const { api_key } = await (await fetch(`${server.http}/dev/connection.json`)).json();
    const answer = await fetch(`${server.http}/api/publish`, {
      method: "POST",
      headers: { "X-API-Key": api_key, "Content-Type": "application/json" },
      body: JSON.stringify({ channel: "chat", data: { text } }),
    });
    assert.deepEqual(await answer.json(), { result: {} });
  }

  /** Publishes until `seen` says that one arrived: what was pasted does not tell when it has subscribed. */
  async function delivered(text, seen) {
    await until(`"${text}" to arrive`, 2 * PATIENCE, async () => {
      await publish(text);
      return seen();
    });
  }

  test("works in Node", async (t) => {
    const directory = mkdtempSync(join(tmpdir(), "tourbillon-snippet-"));
    t.after(() => rmSync(directory, { recursive: true, force: true }));
    symlinkSync(MODULES, join(directory, "node_modules"));
    writeFileSync(join(directory, "snippet.mjs"), snippet());
    const node = spawn(process.execPath, ["snippet.mjs"], { cwd: directory, stdio: ["ignore", "pipe", "pipe"] });
    t.after(() => node.kill("SIGKILL"));
    let output = "";
    for (const stream of [node.stdout, node.stderr]) stream.setEncoding("utf8").on("data", (chunk) => (output += chunk));
    await delivered("hello, Node", () => {
      assert.equal(node.exitCode, null, output);
      return output.includes("{ text: 'hello, Node' }");
    });
  });

  test("works in a page with the SDK's script", async (t) => {
    const pasted = snippet().split("\n").filter((line) => !line.trimStart().startsWith("import ")).join("\n");
    const page = await browser.open(t, await site(t, `<!doctype html><script src="/centrifuge.js"></script><script>\n${pasted}\n</script>`));
    const printed = [];
    page.on("console", async (line) => printed.push(await line.args()[0]?.jsonValue().catch(() => null)));
    await delivered("hello, page", () => printed.some((value) => value?.text === "hello, page"));
    assert.deepEqual(page.complaints, []);
  });

  /** Serves one page and the SDK next to it, as the newcomer's own web server on this machine would. */
  async function site(t, html) {
    const { origin, close } = await serveSite({ "/": html, "/centrifuge.js": sdkFile("centrifuge.js") }, "localhost");
    t.after(close);
    return `${origin}/`;
  }
});
