/** Runs the server binary on a free loopback port with a configuration of the test's own. */
import { after, before } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { apiCall } from "./api.mjs";
import { makeCertificate } from "./certificate.mjs";
import { hs256 } from "./token.mjs";
import { until, within } from "./wait.mjs";

export const SECRET = "a secret of the tests, at least 32 bytes long";
export const API_KEY = "key-of-the-tests";

const BINARY = process.env.TOURBILLON_BIN ?? fileURLToPath(new URL("../../../target/release/tourbillon", import.meta.url));
// The server reads its options from the environment too, and refuses those that it does not know.
const PLAIN_ENVIRONMENT = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(TOURBILLON|CENTRIFUGO)_/.test(name)));
const START_LIMIT = 20_000;
const STOP_LIMIT = 20_000;
const LOG_LINES_SHOWN = 25;

/** A server that runs from the suite's `before` to its `after`. */
export function useServer(config, options) {
  const server = new Server(config, options);
  before(() => server.start());
  after(() => server.close());
  return server;
}

/** A server that runs from now to the end of the test `t`. */
export async function startServer(t, config, options) {
  const server = new Server(config, options);
  t.after(() => server.close());
  await server.start();
  return server;
}

const running = new Set();
process.on("exit", (code) => {
  for (const server of running) server.process?.kill("SIGKILL");
  if (code !== 0) for (const server of shown) console.error(server.logTail());
});
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
const shown = new Set();

export class Server {
  /**
   * `args` replaces the configuration file; `{port}` in it stands for the port. With `http3` there are TLS, HTTP/3 and
   * WebTransport on the port for clients, API and health on one of their own, and always a file.
   */
  constructor(config = {}, { args = null, env = {}, http3 = false } = {}) {
    this.config = config;
    this.certificate = http3 ? makeCertificate() : null;
    this.args = args;
    this.env = env;
    this.port = null;
    this.log = [];
    this.process = null;
    this.exit = null;
    shown.add(this);
  }

  get http() {
    return `http://127.0.0.1:${this.internalPort ?? this.port}`;
  }

  get webtransport() {
    return `https://127.0.0.1:${this.port}/connection/webtransport`;
  }

  get ws() {
    return `ws://127.0.0.1:${this.port}/connection/websocket`;
  }

  get pid() {
    return this.process.pid;
  }

  /** Starts the process, on the port of its last run if it had one, and waits until it says that it is healthy. */
  async start() {
    this.port ??= await freePort();
    if (this.certificate) this.internalPort ??= await freePort();
    this.directory ??= mkdtempSync(join(tmpdir(), "tourbillon-sdk-"));
    const args = this.args?.map((arg) => arg.replace("{port}", this.port));
    const file = this.args === null || this.certificate ? ["-c", this.#writeConfig()] : [];
    this.#spawn([...file, ...(args ?? [])]);
    await until("the server to be healthy", START_LIMIT, async () => {
      if (this.process === null) throw new Error(`the server ended while starting\n${this.logTail()}`);
      const answer = await fetch(`${this.http}/health`, { signal: AbortSignal.timeout(2_000) }).catch(() => null);
      return answer?.status === 200;
    });
    return this;
  }

  /** Runs a server that is expected to refuse to start; resolves to its exit code. */
  async refusal() {
    this.port ??= await freePort();
    this.directory ??= mkdtempSync(join(tmpdir(), "tourbillon-sdk-"));
    this.#spawn(["-c", this.#writeConfig()]);
    return within("the server to give up", START_LIMIT, this.exit);
  }

  /** Ends the process as an operator would; resolves to its exit code. */
  async stop(signal = "SIGTERM") {
    if (this.process === null) return null;
    this.process.kill(signal);
    return within(`the server to end after ${signal}`, STOP_LIMIT, this.exit);
  }

  /** Ends the process for good and checks that it lived and died well. */
  async close() {
    try {
      const code = await this.stop();
      assert.ok(code === null || code === 0, `the server ended with ${code}\n${this.logTail()}`);
      assert.ok(!this.log.some((line) => line.includes("panicked at")), `the server panicked\n${this.logTail()}`);
    } finally {
      this.process?.kill("SIGKILL");
      if (this.directory) rmSync(this.directory, { recursive: true, force: true });
    }
  }

  /** Calls a method of the server API and returns its result; an API error becomes an exception. */
  async api(method, body = {}) {
    const { json } = await apiCall(this.http, API_KEY, method, body);
    if (json.error) throw Object.assign(new Error(`${method}: ${json.error.message}`), json.error);
    return json.result ?? json;
  }

  /** A connection token of this server. */
  token(claims) {
    return hs256(SECRET, claims);
  }

  logTail() {
    return [`--- last lines of the server on port ${this.port} ---`, ...this.log.slice(-LOG_LINES_SHOWN)].join("\n");
  }

  #writeConfig() {
    const path = join(this.directory, "config.json");
    const base = {
      http_server: { address: "127.0.0.1", port: this.port },
      http_api: { key: API_KEY },
      health: { enabled: true },
      client: { token: { hmac_secret_key: SECRET } },
    };
    if (this.certificate) {
      const { cert: cert_pem, key: key_pem } = this.certificate;
      const own = { internal_port: `${this.internalPort}`, tls_external: true };
      Object.assign(base.http_server, own, { tls: { enabled: true, cert_pem, key_pem }, http3: { enabled: true } });
      base.webtransport = { enabled: true };
    }
    writeFileSync(path, JSON.stringify(merge(base, this.config), null, 2));
    return path;
  }

  #spawn(args) {
    const child = spawn(BINARY, args, { cwd: this.directory, env: { ...PLAIN_ENVIRONMENT, ...this.env }, stdio: ["ignore", "pipe", "pipe"] });
    this.process = child;
    running.add(this);
    for (const stream of [child.stdout, child.stderr]) this.#collect(stream);
    this.exit = new Promise((resolve) => {
      child.once("error", (error) => this.log.push(`could not run ${BINARY}: ${error.message}`));
      child.once("close", (code, signal) => {
        this.process = null;
        running.delete(this);
        resolve(code ?? signal);
      });
    });
  }

  #collect(stream) {
    let rest = "";
    stream.setEncoding("utf8").on("data", (text) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop();
      this.log.push(...lines);
    });
  }
}

/** A loopback port that was free a moment ago. */
export async function freePort() {
  const probe = createServer();
  await new Promise((resolve, reject) => probe.once("error", reject).listen(0, "127.0.0.1", resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

function merge(base, over) {
  if (base === null || typeof base !== "object" || Array.isArray(base) || over === undefined) return over ?? base;
  if (over === null || typeof over !== "object" || Array.isArray(over)) return over;
  const keys = new Set([...Object.keys(base), ...Object.keys(over)]);
  return Object.fromEntries([...keys].map((key) => [key, key in over ? merge(base[key], over[key]) : base[key]]));
}
