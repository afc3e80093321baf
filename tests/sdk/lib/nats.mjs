/** A nats-server of a suite's own. */
import { after, before } from "node:test";
import { spawn, spawnSync } from "node:child_process";
import { connect as dial } from "node:net";
import { once } from "node:events";
import { freePort } from "./server.mjs";
import { until, within } from "./wait.mjs";

const LIMIT = 20_000;

/** Why there can be no NATS, or `false`. */
export const missing = spawnSync("nats-server", ["--version"]).status === 0 ? false : "nats-server is not installed (Debian's package nats-server)";

/** A nats-server that does not run yet. */
export async function newNats() {
  return new Nats(await freePort());
}

/** A nats-server that runs from the suite's `before` to its `after`. Its port is known from the start. */
export async function useNats() {
  const nats = await newNats();
  if (!missing) {
    before(() => nats.start());
    after(() => nats.stop());
  }
  return nats;
}

class Nats {
  constructor(port) {
    this.port = port;
  }

  get url() {
    return `nats://127.0.0.1:${this.port}`;
  }

  async start() {
    this.process = spawn("nats-server", ["-a", "127.0.0.1", "-p", String(this.port)], { stdio: "ignore" });
    this.exit = new Promise((resolve) => this.process.once("close", resolve));
    await until("NATS to be there", LIMIT, async () => {
      const socket = dial(this.port, "127.0.0.1");
      try {
        await once(socket, "connect");
        return true;
      } catch {
        return false;
      } finally {
        socket.destroy();
      }
    });
  }

  async stop() {
    this.process.kill("SIGKILL");
    await within("NATS to end", LIMIT, this.exit);
  }

  /** Publishes as a program does that knows nothing of channels. */
  async publish(subject, payload) {
    const socket = dial(this.port, "127.0.0.1");
    socket.write(`CONNECT {}\r\nPUB ${subject} ${Buffer.byteLength(payload)}\r\n${payload}\r\nPING\r\n`);
    let said = "";
    for await (const piece of socket.setEncoding("utf8")) {
      said += piece;
      if (said.includes("PONG")) break;
    }
    socket.destroy();
  }
}
