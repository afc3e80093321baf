/** The page around the client: two panes, one for what people say and one for the frames that carry it. */
import { Client } from "./client.js";

const MOST_MESSAGES = 500;
const MOST_FRAMES = 300;
const LONGEST_TOKEN = 32;
const LONGEST_FRAME = 8_000;
const LINE = 72;
const NAMES = ["Ada", "Blaise", "Edith", "Grace", "Hedy", "Kurt", "Lise", "Niels", "Rosa", "Srini", "Tycho", "Vera"];

const $ = (id) => document.getElementById(id);
const element = (tag, className, ...content) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...content);
  return node;
};
const clock = (date, digits) => {
  const options = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };
  return date.toLocaleTimeString([], digits ? { ...options, fractionalSecondDigits: digits } : options);
};

// The server prints its own address, but the page may have come through another name for it or a forwarded port.
// What served the page serves the socket too.
let apiKey = "";
async function endpoint() {
  const response = await fetch("/dev/connection.json", { cache: "no-store" }).catch(() => {
    throw new Error("the server is not there");
  });
  if (!response.ok) throw new Error(`no connection details: HTTP ${response.status}`);
  const details = await response.json();
  apiKey = details.api_key;
  showCommand();
  const webtransport = $("transport").querySelector('[value="webtransport"]');
  webtransport.disabled = webtransport.hidden = !details.webtransport;
  const transport = $("transport").value;
  const { token, emulation, certificate } = details;
  // Server-sent events are text.
  const encoding = transport === "sse" ? "json" : $("encoding").value;
  if (transport !== "websocket") {
    if (!details[transport]) throw new Error("the server does not speak it");
    const url = new URL(details[transport], location.href).href;
    return { transport, encoding, url, emulation, certificate, token };
  }
  const url = new URL(details.url, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  url.host = location.host;
  return { transport, encoding, url: url.href, token };
}

const client = new Client(endpoint);
let channel = decodeURIComponent(location.hash.slice(1)) || "chat";

// Two tabs are two people: the name belongs to the tab.
$("name").value = sessionStorage.getItem("name") ?? NAMES[Math.floor(Math.random() * NAMES.length)];
$("channel").value = channel;
$("another").href = location.href;

let subscribed = false;
let wasConnected = false;

// --- Connection -------------------------------------------------------------------------------------------------

client.addEventListener("state", ({ detail }) => {
  const { state, code, reason, delay } = detail;
  const why = reason ? `: ${reason}${code ? ` (${code})` : ""}` : "";
  $("state").dataset.state = state;
  $("state-text").textContent = {
    connected: "Connected",
    connecting: delay === undefined ? "Connecting" : `Reconnecting in ${(delay / 1000).toFixed(1)} s${why}`,
    disconnected: `Disconnected${why}`,
  }[state];
  $("toggle").textContent = state === "disconnected" ? "Connect" : "Disconnect";
  $("client").textContent = $("client").title = detail.client ?? "–";
  if (detail.version) $("server").textContent = detail.version;
  if (state !== "connected") {
    subscribed = false;
    $("latency").textContent = "–";
    $("subscription").textContent = "";
  }
  if (state === "connected") mark("connected");
  else if (state === "disconnected" || wasConnected) mark(`closed${why}`);
  wasConnected = state === "connected";
  allowSending();
});

client.addEventListener("latency", ({ detail }) => {
  $("latency").textContent = detail.ms < 10 ? `${detail.ms.toFixed(1)} ms` : `${Math.round(detail.ms)} ms`;
});

for (const [choice, usual] of [["transport", "websocket"], ["encoding", "json"]]) {
  $(choice).value = sessionStorage.getItem(choice) ?? usual;
  $(choice).addEventListener("change", () => {
    sessionStorage.setItem(choice, $(choice).value);
    $("encoding").disabled = $("transport").value === "sse";
    client.disconnect();
    client.connect();
  });
}
$("encoding").disabled = $("transport").value === "sse";

$("toggle").addEventListener("click", () => (client.state === "disconnected" ? client.connect() : client.disconnect()));

// --- Channel and messages ---------------------------------------------------------------------------------------

client.addEventListener("subscription", ({ detail }) => {
  if (detail.channel !== channel) return;
  subscribed = detail.state === "subscribed";
  $("subscription").textContent = subscribed ? `in ${channel}` : detail.state === "subscribing" ? `joining ${channel}` : "";
  if (detail.state === "subscribed") complain("");
  if (detail.state === "unsubscribed" && detail.code) complain(`Not in ${channel}: ${detail.reason} (${detail.code}).`);
  allowSending();
});

client.addEventListener("publication", ({ detail }) => {
  if (detail.channel === channel) showMessage(detail);
});

$("who").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("name", $("name").value.trim());
  const wanted = $("channel").value.trim();
  if (!wanted || (wanted === channel && subscribed)) return;
  client.unsubscribe(channel);
  channel = wanted;
  subscribed = false;
  history.replaceState(null, "", `#${encodeURIComponent(channel)}`);
  $("another").href = location.href;
  complain("");
  showCommand();
  append($("messages"), MOST_MESSAGES, element("li", "event", `Channel ${channel}`));
  client.subscribe(channel);
  allowSending();
  $("text").focus();
});

$("say").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text || $("send").disabled) return;
  const name = $("name").value.trim() || "nobody";
  sessionStorage.setItem("name", name);
  $("text").value = "";
  try {
    await client.publish(channel, { name, text });
    complain("");
  } catch (error) {
    $("text").value ||= text;
    complain(`Not sent: ${error.message} (${error.code}).`);
  }
});

function allowSending() {
  $("send").disabled = client.state !== "connected" || !subscribed;
}

function complain(text) {
  $("problem").textContent = text;
  $("problem").hidden = !text;
}

function showMessage({ data, info }) {
  const chat = typeof data?.text === "string" && typeof data?.name === "string";
  // The tabs share one token, so the user is the same; the client id tells them apart.
  const mine = info?.client !== undefined && info.client === $("client").textContent;
  const from = chat ? data.name : info ? info.user || "anonymous" : "server API";
  const item = element("li", mine ? "message mine" : "message",
    element("header", "", element("b", "", from), element("time", "", clock(new Date()))),
    chat ? element("p", "", data.text) : element("pre", "", ...coloured(indented(data))));
  append($("messages"), MOST_MESSAGES, item);
}

function showCommand() {
  const body = JSON.stringify({ channel, data: { name: "terminal", text: "hello" } });
  const quoted = `'${body.replaceAll("'", "'\\''")}'`;
  $("curl").textContent = `curl ${location.origin}/api/publish \\\n  -H 'X-API-Key: ${apiKey}' \\\n  -d ${quoted}`;
}

$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("curl").textContent);
    $("copy").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren($("curl")); // No clipboard outside secure contexts: leave it selected.
    $("copy").textContent = "Selected";
  }
  setTimeout(() => ($("copy").textContent = "Copy"), 1500);
});

// --- Frames -----------------------------------------------------------------------------------------------------

const counts = { in: 0, out: 0 };
const methods = new Map(); // Command id to method, to name replies after what they answer.

client.addEventListener("frame", ({ detail: { direction, text, size } }) => {
  counts[direction] += 1;
  $(direction === "in" ? "received" : "sent").textContent = counts[direction];
  const documents = text.split("\n").map((line) => JSON.parse(line));
  const kinds = documents.map((one) => (direction === "in" ? replyKind(one) : commandKind(one)));
  const kind = element("span", documents.some((one) => one.error) ? "kind error" : "kind", kinds.join(", "));
  kind.append(element("span", "size", `${size} B`));
  const row = element("li", `frame ${direction}`,
    element("span", `arrow ${direction}`, direction === "in" ? "↓" : "↑"), kind, element("time", "", clock(new Date(), 3)));
  row.dataset.kind = kinds.join(",");
  row.setAttribute("aria-label", `${direction === "in" ? "received" : "sent"} ${kinds.join(", ")}`);
  if (kinds.every((one) => one === "ping" || one === "pong")) row.classList.add("beat");
  row.documents = documents;
  layOut(row);
  append($("frames"), MOST_FRAMES, row);
});

function commandKind({ id, ...request }) {
  const method = Object.keys(request)[0];
  if (!method) return "pong";
  methods.set(id, method);
  return method;
}

function replyKind({ id, push, error }) {
  if (push) return `push ${Object.keys(push).find((key) => key !== "channel") ?? ""}`.trim();
  if (!id) return "ping";
  const method = methods.get(id) ?? "unknown";
  methods.delete(id);
  return error ? `${method} error` : `${method} reply`;
}

/** A line across the frames where a connection opened or closed. */
function mark(text) {
  append($("frames"), MOST_FRAMES,
    element("li", "frame mark", element("span", "arrow", "·"), element("span", "kind dim", text), element("time", "", clock(new Date(), 3))));
}

function layOut(row) {
  row.querySelectorAll("pre").forEach((pre) => pre.remove());
  for (const one of row.documents) {
    const json = JSON.stringify(one, shortened);
    row.append(element("pre", "", ...coloured($("indent").checked ? indented(JSON.parse(json)) : json)));
  }
}

/** Tokens are long and secret: the pane shows how they begin. */
function shortened(key, value) {
  return key === "token" && value.length > LONGEST_TOKEN ? `${value.slice(0, LONGEST_TOKEN)}… (${value.length} characters)` : value;
}

/** Like `JSON.stringify` with an indent, but what fits on a line stays on one. */
function indented(value, margin = "", taken = 0) {
  const flat = JSON.stringify(value, null, 1).replaceAll(/\n\s*/g, " ");
  if (typeof value !== "object" || margin.length + taken + flat.length <= LINE) return flat;
  const deeper = `${margin}  `;
  const [open, close, lines] = Array.isArray(value)
    ? ["[", "]", value.map((one) => deeper + indented(one, deeper))]
    : ["{", "}", Object.entries(value).map(([key, one]) => `${deeper}${JSON.stringify(key)}: ${indented(one, deeper, key.length + 4)}`)];
  return `${open}\n${lines.join(",\n")}\n${margin}${close}`;
}

function* coloured(json) {
  const token = /("(?:\\.|[^"\\])*")(\s*:)?|(true|false|null)|(-?\d[\d.eE+-]*)|([^"\dtfn-]+|.)/g;
  for (const [text, string, colon, word, number] of json.slice(0, LONGEST_FRAME).matchAll(token)) {
    if (string && colon) yield* [element("span", "json-key", string), colon];
    else if (string) yield element("span", "json-string", string);
    else if (word) yield element("span", "json-word", word);
    else if (number) yield element("span", "json-number", number);
    else yield text;
  }
  if (json.length > LONGEST_FRAME) yield `… ${json.length - LONGEST_FRAME} characters more`;
}

$("indent").addEventListener("change", () => $("frames").querySelectorAll(".in, .out").forEach((row) => row.documents && layOut(row)));
$("pings").addEventListener("change", () => $("frames").classList.toggle("calm", !$("pings").checked));
$("clear").addEventListener("click", () => $("frames").replaceChildren());

// --- Lists ------------------------------------------------------------------------------------------------------

/** Adds to a bounded list. */
function append(list, most, item) {
  list.append(item);
  while (list.children.length > most) list.firstElementChild.remove();
  follow(list);
}

/** Keeps a list at its end, unless the reader has scrolled back. */
function follow(list) {
  if (!scrolledBack.has(list)) list.scrollTop = list.scrollHeight;
}

const scrolledBack = new Set();
for (const list of [$("messages"), $("frames")]) {
  list.addEventListener("scroll", () => {
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
    scrolledBack[atEnd ? "delete" : "add"](list);
  });
  new ResizeObserver(() => follow(list)).observe(list);
}

client.subscribe(channel);
client.connect();
