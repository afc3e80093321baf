/** nginx in front of a server, configured as its users do it. */
import { after, before } from "node:test";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./server.mjs";
import { until, within } from "./wait.mjs";

const LIMIT = 20_000;

/** Why there can be no nginx, or `false`. */
export const missing = spawnSync("nginx", ["-v"]).status === 0 ? false : "nginx is not installed (Debian's package nginx)";

/** A proxy that runs from the suite's `before` to its `after`, and stands for the server with clients. */
export function useNginx(server) {
  const proxy = new Nginx(server);
  if (!missing) {
    before(() => proxy.start());
    after(() => proxy.close());
  }
  return proxy;
}

class Nginx {
  constructor(server) {
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
    this.port = await freePort();
    this.directory = mkdtempSync(join(tmpdir(), "tourbillon-nginx-"));
    const path = join(this.directory, "nginx.conf");
    writeFileSync(path, this.#config());
    this.process = spawn("nginx", ["-c", path, "-p", this.directory, "-e", "stderr"], { stdio: ["ignore", "ignore", "pipe"] });
    this.process.stderr.setEncoding("utf8").on("data", (text) => { this.log += text; });
    this.exit = new Promise((resolve) => this.process.once("close", resolve));
    await until("nginx to be there", LIMIT, async () => {
      if (this.process.exitCode !== null) throw new Error(`nginx ended while starting\n${this.log}`);
      const answer = await fetch(`${this.http}/health`, { signal: AbortSignal.timeout(2_000) }).catch(() => null);
      return answer?.status === 200;
    });
  }

  async close() {
    this.process.kill("SIGTERM");
    await within("nginx to end", LIMIT, this.exit);
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Answers are buffered, as is nginx's default: streams say themselves that they are not to be. */
  #config() {
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${name};`);
    return `
      daemon off;
      worker_processes 2;
      pid nginx.pid;
      error_log stderr;
      events { worker_connections 1024; }
      http {
        access_log off;
        ${temporary.join(" ")}
        map $http_upgrade $connection_upgrade {
          default upgrade;
          "" close;
        }
        upstream tourbillon {
          server 127.0.0.1:${this.server.port};
        }
        server {
          listen 127.0.0.1:${this.port};
          location / {
            proxy_pass http://tourbillon;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
          }
        }
      }
    `;
  }
}
