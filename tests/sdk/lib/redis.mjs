/** A Redis of a suite's own, without persistence. */
import { after, before } from "node:test";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, useServer } from "./server.mjs";
import { until, within } from "./wait.mjs";

const LIMIT = 20_000;

/** Why there can be no Redis, or `false`. */
export const missing = spawnSync("redis-server", ["--version"]).status === 0 ? false : "redis-server is not installed (Debian's package redis-server)";

/** A Redis that runs from the suite's `before` to its `after`. */
export function useRedis() {
  const redis = new Redis();
  if (!missing) {
    before(() => redis.start());
    after(() => redis.close());
  }
  return redis;
}

/** Two servers, called one and two, with a configuration that is made of the address of a Redis, which is known when it runs. */
export function useServersOn(redis, config) {
  return ["one", "two"].map((name) => {
    const server = useServer({});
    const start = server.start.bind(server);
    server.start = () => {
      server.config = { node: { name }, ...config(redis.address) };
      return start();
    };
    return server;
  });
}

export class Redis {
  /** Starts it, on the port of its last run if it had one. */
  async start() {
    this.port ??= await freePort();
    this.directory ??= mkdtempSync(join(tmpdir(), "tourbillon-redis-"));
    const args = ["--port", this.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", this.directory];
    this.process = spawn("redis-server", args.map(String), { stdio: "ignore" });
    this.exit = new Promise((resolve) => this.process.once("close", resolve));
    await until("redis-server to answer", LIMIT, () => this.#answers());
  }

  /** Ends it at once, with all that it knows. */
  async kill() {
    this.process.kill("SIGKILL");
    await within("redis-server to end", LIMIT, this.exit);
  }

  async close() {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** What redis-cli says to a command. */
  cli(...args) {
    return spawnSync("redis-cli", ["-p", this.port, ...args].map(String), { encoding: "utf8" }).stdout.trim();
  }

  get address() {
    return `redis://127.0.0.1:${this.port}`;
  }

  #answers() {
    return new Promise((resolve) => {
      const socket = connect(this.port, "127.0.0.1", () => socket.end("PING\r\n"));
      socket.once("data", (data) => resolve(data.toString().startsWith("+PONG"))).once("error", () => resolve(false));
      socket.once("close", () => resolve(false));
    });
  }
}
