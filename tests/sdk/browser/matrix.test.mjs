/** The official SDK in a browser over every transport and encoding: each client is a page of its own. */
import { describe } from "node:test";
import { useBrowser } from "../lib/browser.mjs";
import { declareMatrix } from "../lib/matrix.mjs";
import { startClient, useClientPages } from "../lib/pages.mjs";

describe("matrix in a browser", () => {
  const pages = useClientPages(useBrowser());

  declareMatrix(async (t, settings, events) => startClient(await pages.open(t, settings.encoding), settings, events));
});
