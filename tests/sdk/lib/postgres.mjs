/** A PostgreSQL of a suite's own. */
import { after, before } from "node:test";
import { spawn, spawnSync } from "node:child_process";
import { appendFileSync, chownSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./server.mjs";
import { until, within } from "./wait.mjs";

const LIMIT = 20_000;

// Debian keeps the programs out of the path.
const DEBIAN = "/usr/lib/postgresql";
const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((one, other) => other - one) : [];
const program = (name) => [...versions.map((version) => join(DEBIAN, version, "bin", name)), name].find((path) => path === name || existsSync(path));

/** Why there can be no PostgreSQL, or `false`. */
export const missing = spawnSync(program("initdb"), ["--version"]).status === 0 ? false : "PostgreSQL is not installed (Debian's package postgresql)";

export const PASSWORD = "password-of-the-database";

/** Who runs it: not root. */
function owner() {
  if (process.getuid() !== 0) return {};
  const id = (flag) => ["postgres", "nobody"].map((user) => spawnSync("id", [flag, user], { encoding: "utf8" })).find(({ status }) => status === 0);
  return { uid: Number(id("-u").stdout), gid: Number(id("-g").stdout) };
}

/** A PostgreSQL that runs from the suite's `before` to its `after`. */
export function usePostgres() {
  const postgres = new Postgres();
  if (!missing) {
    before(() => postgres.start());
    after(() => postgres.close());
  }
  return postgres;
}

class Postgres {
  /** Starts it, with what it knew and on the port of its last run if it had one. */
  async start() {
    if (!this.directory) await this.#make();
    this.process = spawn(program("postgres"), ["-D", this.data], { stdio: "ignore", cwd: "/", ...this.owner });
    this.exit = new Promise((resolve) => this.process.once("close", resolve));
    await until("PostgreSQL to answer", LIMIT, async () => this.#psql("SELECT 1").status === 0);
  }

  /** Ends it at once, as after a crash. */
  async kill() {
    this.process.kill("SIGQUIT");
    await within("PostgreSQL to end", LIMIT, this.exit);
  }

  async close() {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** What psql says to a query; nothing if it fails. */
  sql(query) {
    return this.#psql(query).stdout.trim();
  }

  get address() {
    return `postgresql://postgres:${PASSWORD}@127.0.0.1:${this.port}/postgres`;
  }

  get data() {
    return join(this.directory, "data");
  }

  #psql(query) {
    return spawnSync(program("psql"), ["-qAtX", "-v", "ON_ERROR_STOP=1", "-c", query, this.address], { encoding: "utf8" });
  }

  async #make() {
    this.port = await freePort();
    this.owner = owner();
    this.directory = mkdtempSync(join(tmpdir(), "tourbillon-postgres-"));
    const password = join(this.directory, "password");
    writeFileSync(password, PASSWORD);
    if (this.owner.uid !== undefined) for (const path of [this.directory, password]) chownSync(path, this.owner.uid, this.owner.gid);
    const args = ["-D", this.data, "--no-sync", "--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", `--pwfile=${password}`];
    const { status, stderr } = spawnSync(program("initdb"), args, { encoding: "utf8", cwd: "/", ...this.owner });
    if (status !== 0) throw new Error(stderr);
    const settings = { fsync: "off", unix_socket_directories: "''", listen_addresses: "'127.0.0.1'", port: this.port };
    appendFileSync(join(this.data, "postgresql.auto.conf"), Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`).join(""));
  }
}
