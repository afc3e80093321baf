/** Reverse proxies in front of a server, configured by the files of `examples/deploy`. */
import { after, before } from "node:test";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "./server.mjs";
import { until, within } from "./wait.mjs";

const LIMIT = 20_000;

const example = (name) => readFileSync(fileURLToPath(new URL(`../../../examples/deploy/${name}`, import.meta.url)), "utf8");

/** Replaces what the test has elsewhere; what is not there is a mistake of the test. */
function replace(text, pairs) {
  for (const [from, to] of pairs) {
    if (!text.includes(from)) throw new Error(`the example has no ${from}`);
    text = text.replace(from, to);
  }
  return text;
}

/** How each is asked for its version and started with a file, and what of its example the test has elsewhere. */
const PRODUCTS = {
  nginx: {
    version: ["-v"],
    file: "nginx.conf",
    args: (path, directory) => ["-c", path, "-p", directory, "-e", "stderr"],
    config(port, streams, server) {
      const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${name};`);
      const http = replace(example("nginx.conf"), [
        ["listen 80;", `listen 127.0.0.1:${port};`],
        ["listen 8080 http2;", `listen 127.0.0.1:${streams} http2;`],
        ["server 127.0.0.1:8000;", `server 127.0.0.1:${server};`],
      ]);
      const whole = `access_log off; ${temporary.join(" ")}\n${http}`;
      return `daemon off; worker_processes 2; pid nginx.pid; error_log stderr; events { worker_connections 1024; } http { ${whole} }`;
    },
  },
  haproxy: {
    version: ["-v"],
    file: "haproxy.cfg",
    args: (path) => ["-db", "-f", path],
    config: (port, streams, server) => replace(example("haproxy.cfg"), [
      ["maxconn 100000", "maxconn 1000"],
      ["bind :80\n", `bind 127.0.0.1:${port}\n`],
      ["bind :8080 ", `bind 127.0.0.1:${streams} `],
      ["127.0.0.1:8000", `127.0.0.1:${server}`],
    ]),
  },
  caddy: {
    version: ["version"],
    file: "Caddyfile",
    args: (path) => ["run", "--adapter", "caddyfile", "--config", path],
    config: (port, streams, server) => `{\n\tadmin off\n\tdefault_bind 127.0.0.1\n}\n${replace(example("Caddyfile"), [
      ["\n:80 {", `\nhttp://127.0.0.1:${port} {`],
      ["\n:8080 {", `\nhttp://127.0.0.1:${streams} {`],
      ["127.0.0.1:8000", `127.0.0.1:${server}`],
    ])}`,
  },
};

/** The proxies there are examples of. */
export const names = Object.keys(PRODUCTS);

/** Why there can be no such proxy, or `false`. */
export function missing(name) {
  return spawnSync(name, PRODUCTS[name].version).status === 0 ? false : `${name} is not installed (Debian's package ${name})`;
}

/** A proxy that runs from the suite's `before` to its `after`, and stands for the server with clients. */
export function useProxy(name, server) {
  const proxy = new Proxy(name, server);
  if (!missing(name)) {
    before(() => proxy.start());
    after(() => proxy.close());
  }
  return proxy;
}

class Proxy {
  constructor(name, server) {
    this.name = name;
    this.server = server;
    this.log = "";
  }

  get http() {
    return `http://127.0.0.1:${this.port}`;
  }

  get ws() {
    return `ws://127.0.0.1:${this.port}/connection/websocket`;
  }

  token(claims) {
    return this.server.token(claims);
  }

  async start() {
    const product = PRODUCTS[this.name];
    const [port, streams] = [await freePort(), await freePort()];
    this.port = port;
    this.directory = mkdtempSync(join(tmpdir(), `tourbillon-${this.name}-`));
    const path = join(this.directory, product.file);
    writeFileSync(path, product.config(port, streams, this.server.port));
    const env = { ...process.env, HOME: this.directory };
    this.process = spawn(this.name, product.args(path, this.directory), { stdio: ["ignore", "ignore", "pipe"], cwd: this.directory, env });
    this.process.stderr.setEncoding("utf8").on("data", (text) => { this.log += text; });
    this.exit = new Promise((resolve) => this.process.once("close", resolve));
    await until(`${this.name} to be there`, LIMIT, async () => {
      if (this.process.exitCode !== null) throw new Error(`${this.name} ended while starting\n${this.log}`);
      const answer = await fetch(`${this.http}/health`, { signal: AbortSignal.timeout(2_000) }).catch(() => null);
      return answer?.status === 200;
    });
  }

  async close() {
    this.process.kill("SIGTERM");
    await within(`${this.name} to end`, LIMIT, this.exit);
    rmSync(this.directory, { recursive: true, force: true });
  }
}
