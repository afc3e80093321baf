/** The nodes, polled. */
import { SignedOut, call, h } from "./server.js";

export const title = "Status";

const EVERY = 2000;
const KEPT = 90;
const TOTALS = [
  ["Clients", "num_clients"],
  ["Users", "num_users"],
  ["Subscriptions", "num_subs"],
  ["Channels", "num_channels"],
  ["Nodes", null],
];
const COLUMNS = [["Clients", "num_clients"], ["Users", "num_users"], ["Subscriptions", "num_subs"], ["Channels", "num_channels"]];
const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

const number = new Intl.NumberFormat("en");
const rate = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** What was seen, for as long as the page is open. */
const seen = TOTALS.map(() => []);
const opened = new Set();
let filter = "";

export async function open(view, { signal, failed }) {
  const note = h("p", { class: "dim", role: "status" }, "Asking …");
  const tiles = TOTALS.map(([name], at) => tile(name, at));
  const body = h("tbody");
  view.append(
    h("div", { class: "title" }, h("h1", {}, "Status"), note),
    h("section", { class: "tiles", "aria-label": "Totals" }, tiles.map(({ element }) => element)),
    h("section", { class: "pane scroll" }, h("table", { id: "nodes" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Node"), h("th", { scope: "col" }, "Version"),
        h("th", { scope: "col", class: "number" }, "Uptime"),
        COLUMNS.map(([name]) => h("th", { scope: "col", class: "number" }, name)))),
      body)),
  );
  const tell = async () => {
    try {
      const { result, error } = await call("info", {}, signal);
      if (error) throw new Error(error.message);
      for (const [at, [, field]] of TOTALS.entries()) tiles[at].set(total(result.nodes, field));
      // What somebody is typing into or reading stays.
      if (!body.contains(document.activeElement) || document.activeElement.matches("button")) redraw(body, result.nodes);
      note.textContent = `As of ${new Date().toLocaleTimeString()}`;
    } catch (error) {
      if (error.name === "AbortError" || error instanceof SignedOut) throw error;
      note.textContent = `The server does not answer: ${error.message}`;
    }
  };
  await tell();
  const timer = setInterval(() => document.hidden || tell().catch(failed), EVERY);
  signal.addEventListener("abort", () => clearInterval(timer));
}

/** Users of several nodes may be the same: their sum is the most it can be. */
function total(nodes, field) {
  return field === null ? nodes.length : nodes.reduce((sum, node) => sum + (node[field] ?? 0), 0);
}

function tile(name, at) {
  const value = h("b", {}, "–");
  const spark = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  spark.setAttribute("class", "spark");
  spark.setAttribute("viewBox", `0 0 ${KEPT - 1} 20`);
  spark.setAttribute("preserveAspectRatio", "none");
  spark.setAttribute("aria-hidden", "true");
  const [area, line] = ["area", "line"].map((kind) => {
    const path = document.createElementNS(spark.namespaceURI, "path");
    path.setAttribute("class", kind);
    spark.append(path);
    return path;
  });
  const element = h("div", { class: "pane tile" }, h("span", {}, name), value, spark);
  const set = (now) => {
    const past = seen[at];
    past.push(now);
    if (past.length > KEPT) past.shift();
    value.textContent = number.format(now);
    const most = Math.max(1, ...past) * 1.1;
    const from = KEPT - past.length;
    const points = past.map((was, step) => `${from + step} ${(19 - (was / most) * 18).toFixed(2)}`);
    line.setAttribute("d", points.length > 1 ? `M${points.join("L")}` : "");
    area.setAttribute("d", points.length > 1 ? `M${from} 20L${points.join("L")}L${KEPT - 1} 20Z` : "");
  };
  return { element, set };
}

/** The two largest units. */
export function span(seconds) {
  let rest = Math.floor(seconds);
  const parts = [];
  for (const [unit, size] of UNITS) {
    if (rest < size && !(unit === "s" && parts.length === 0)) continue;
    parts.push(`${Math.floor(rest / size)} ${unit}`);
    rest %= size;
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

function redraw(body, nodes) {
  const focused = document.activeElement?.closest?.("tr")?.dataset.uid;
  nodes.sort((one, other) => one.name.localeCompare(other.name) || one.uid.localeCompare(other.uid));
  body.replaceChildren(...nodes.flatMap((node) => rows(node, () => redraw(body, nodes))));
  if (focused) body.querySelector(`tr[data-uid="${CSS.escape(focused)}"] .expand`)?.focus();
}

function rows(node, again) {
  const isOpen = opened.has(node.uid);
  const toggle = () => {
    if (isOpen) opened.delete(node.uid);
    else opened.add(node.uid);
    again();
  };
  const expand = h("button", { class: "expand", type: "button", onclick: toggle, "aria-expanded": String(isOpen), "aria-label": `Metrics of ${node.name}` }, isOpen ? "▾" : "▸");
  const row = h("tr", { dataset: { uid: node.uid } },
    h("td", {}, expand, h("span", { class: "name" }, node.name), h("span", { class: "under mono" }, node.uid)),
    h("td", {}, node.version),
    h("td", { class: "number" }, span(node.uptime ?? 0)),
    COLUMNS.map(([, field]) => h("td", { class: "number" }, number.format(node[field] ?? 0))));
  return isOpen ? [row, h("tr", { class: "more" }, h("td", { colSpan: 3 + COLUMNS.length }, metrics(node)))] : [row];
}

/** What a node counted lately. A name is that of the metric and then, in turn, labels and their values. */
function metrics({ metrics }) {
  if (!metrics) return h("p", { class: "dim" }, "It has not told of any metrics.");
  // The version, which has dots of its own, is in the table.
  const items = Object.entries(metrics.items).filter(([item]) => !item.startsWith("centrifugo.node.build."));
  const entries = items.map(([item, value]) => {
    const [, subsystem, name, ...labels] = item.split(".");
    const pairs = [];
    for (let at = 0; at + 1 < labels.length; at += 2) pairs.push(`${labels[at]}: ${labels[at + 1]}`);
    const isLevel = /^num_|inflight$/.test(name);
    const shown = isLevel ? number.format(value) : `${rate.format(value / metrics.interval)} / s`;
    return { text: item, isIdle: value === 0, cells: [h("td", {}, h("code", {}, `${subsystem} ${name}`), pairs.map((pair) => h("span", { class: "chip" }, pair))), h("td", { class: "number" }, shown)] };
  });
  const list = h("tbody");
  const fill = () => {
    const chosen = entries.filter(({ text, isIdle }) => (filter ? text.includes(filter) : !isIdle));
    list.replaceChildren(...chosen.map(({ cells }) => h("tr", {}, cells)));
    if (chosen.length === 0) list.append(h("tr", {}, h("td", { class: "dim" }, filter ? "None has this in its name." : "Nothing happened.")));
  };
  const input = h("input", { type: "search", placeholder: "Filter, such as publication", "aria-label": "Filter metrics", value: filter });
  input.addEventListener("input", () => {
    filter = input.value.trim();
    fill();
  });
  fill();
  return h("div", { class: "metrics" },
    h("p", { class: "dim" }, `Counted over ${span(metrics.interval)}. Without a filter, what happened.`), input, h("table", {}, list));
}
