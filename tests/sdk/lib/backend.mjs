/** An application's backend for proxies, over HTTP or GRPC, with or without TLS. */
import { createServer as createHttp } from "node:http";
import { createServer as createHttps } from "node:https";
import { fileURLToPath } from "node:url";
import { Server as GrpcServer, ServerCredentials, loadPackageDefinition } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { Recorder } from "./wait.mjs";

const PROTO = fileURLToPath(new URL("../../../proto/proxy.proto", import.meta.url));
const METHODS = { connect: "Connect", refresh: "Refresh", subscribe: "Subscribe", publish: "Publish", sub_refresh: "SubRefresh", map_publish: "MapPublish", map_remove: "MapRemove", rpc: "RPC", cache_empty: "NotifyCacheEmpty" };
/** What are bytes over GRPC and values over HTTP. */
const RAW = ["data", "info", "meta"];

/**
 * A backend that answers by `answers`: functions by event, which take the question and its headers. `asked` records
 * questions, by the name of the event.
 */
export class Backend {
  constructor(protocol, answers, { certificate = null } = {}) {
    this.protocol = protocol;
    this.answers = answers;
    this.certificate = certificate;
    this.asked = new Recorder();
  }

  /** Listens on a free port until the test or suite is over. */
  async start() {
    this.port = this.protocol === "http" ? await this.#startHttp() : await this.#startGrpc();
    return this;
  }

  close() {
    this.server.closeAllConnections?.();
    this.server.close?.();
    this.server.forceShutdown?.();
  }

  /** The options of a proxy that asks this backend about an event. */
  proxy(event, options = {}) {
    const scheme = this.certificate ? "https" : "http";
    const endpoint = this.protocol === "http" ? `${scheme}://127.0.0.1:${this.port}/${event}` : `grpc://127.0.0.1:${this.port}`;
    const tls = this.certificate ? { [this.protocol]: { tls: { enabled: true, server_ca_pem: this.certificate.cert } } } : {};
    return { endpoint, timeout: "5s", ...tls, ...options };
  }

  #answer(event, question, headers) {
    this.asked.push(event, { ...question, headers });
    return this.answers[event](question, headers);
  }

  #startHttp() {
    const answer = (request, response) => {
      let body = "";
      request.on("data", (data) => (body += data));
      request.on("end", async () => {
        const answered = await this.#answer(request.url.slice(1), JSON.parse(body), request.headers);
        response.writeHead(answered.status ?? 200, { "content-type": "application/json" });
        response.end(JSON.stringify(answered));
      });
    };
    const { cert, key } = this.certificate ?? {};
    this.server = this.certificate ? createHttps({ cert, key }, answer) : createHttp(answer);
    return new Promise((resolve) => this.server.listen(0, "127.0.0.1", () => resolve(this.server.address().port)));
  }

  #startGrpc() {
    const { service } = loadPackageDefinition(loadSync(PROTO, { keepCase: true, longs: Number, defaults: false })).centrifugal.centrifugo.proxy.CentrifugoProxy;
    // Streams are the test's to write to: `answers` gets the call.
    const stream = (event) => (call) => this.answers[event]?.(call, (message) => call.write(written(message)));
    const unary = (event) => async (call, done) => {
      const { status, ...answered } = await this.#answer(event, read(call.request), call.metadata.getMap());
      if (status) done({ code: 13, details: "a failure of the backend" });
      else done(null, written(answered));
    };
    this.server = new GrpcServer();
    this.server.addService(service, {
      ...Object.fromEntries(Object.entries(METHODS).map(([event, method]) => [method, unary(event)])),
      SubscribeUnidirectional: stream("unidirectional"),
      SubscribeBidirectional: stream("bidirectional"),
    });
    const { cert, key } = this.certificate ?? {};
    const credentials = cert ? ServerCredentials.createSsl(null, [{ cert_chain: Buffer.from(cert), private_key: Buffer.from(key) }]) : ServerCredentials.createInsecure();
    return new Promise((resolve, reject) => {
      this.server.bindAsync("127.0.0.1:0", credentials, (error, port) => (error ? reject(error) : resolve(port)));
    });
  }
}

/** A question of GRPC as it would be over HTTP. */
function read(message) {
  return Object.fromEntries(Object.entries(message).map(([name, value]) => [name, RAW.includes(name) ? JSON.parse(value.toString()) : value]));
}

/** An answer of HTTP as it is over GRPC. */
function written(value) {
  if (Array.isArray(value) || value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, RAW.includes(name) ? Buffer.from(JSON.stringify(member)) : written(member)]));
}
