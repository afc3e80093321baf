/** A web server of the tests' own: an application's pages, which are of another origin than the server under test. */
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

/** A file of the official SDK, as its package has it. */
export const sdkFile = (name) => readFileSync(fileURLToPath(new URL(`../node_modules/centrifuge/dist/${name}`, import.meta.url)));

/** Starts a server for these files, by path; those of scripts end in `js`. Resolves to its origin and its end. */
export async function serveSite(files, host = "127.0.0.1") {
  const http = createServer(({ url }, response) => {
    const content = files[url];
    if (content === undefined) return response.writeHead(204).end();
    response.setHeader("Content-Type", /js$/.test(url) ? "text/javascript" : "text/html; charset=utf-8").end(content);
  });
  await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://${host}:${http.address().port}`,
    close: () => (http.closeAllConnections(), http.close()),
  };
}
