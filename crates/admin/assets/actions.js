/** The methods of the server API, each with a form. */
import { SignedOut, call, h, json, methods } from "./server.js";

export const title = "Actions";

const GROUPS = [
  ["Publish", ["publish", "broadcast"]],
  ["Channels", ["channels", "history", "history_remove", "presence", "presence_stats"]],
  ["Keyed channels", /^map_|^shared_poll/],
  ["Connections", ["subscribe", "unsubscribe", "refresh", "disconnect"]],
  ["Access", ["block_user", "unblock_user", "revoke_token", "invalidate_user_tokens"]],
  ["Server", /./],
];
/** What a method needs at least is shown; the rest is folded away. */
const MAIN = ["channel", "channels", "key", "data", "user", "client", "method", "pattern", "limit", "uid", "commands"];
const DANGER = new Set(["unsubscribe", "disconnect", "history_remove", "block_user", "revoke_token", "invalidate_user_tokens", "map_remove", "map_clear"]);
/** It has a page of its own. */
const ELSEWHERE = "explain";

export async function open(view, { failed, rest }) {
  const all = (await methods()).filter(({ name }) => name !== ELSEWHERE);
  const named = (wanted) => all.find(({ name }) => name === wanted);
  const chosen = named(rest[0]) ?? named("publish");
  const left = new Set(all);
  const list = h("nav", { class: "pane methods", "aria-label": "Methods" });
  for (const [group, names] of GROUPS) {
    const isIn = (method) => left.has(method) && (Array.isArray(names) || names.test(method.name));
    const members = (Array.isArray(names) ? names.map(named) : all).filter(isIn);
    if (members.length === 0) continue;
    list.append(h("h3", {}, group));
    for (const method of members) {
      left.delete(method);
      const current = method === chosen ? "true" : null;
      list.append(h("a", { href: `#/actions/${method.name}`, "aria-current": current }, method.name));
    }
  }
  view.append(
    h("h1", {}, "Actions"),
    h("div", { class: "actions" }, list, form(chosen, failed)),
  );
  list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
}

function form({ name, about, takes }, failed) {
  const fields = Object.entries(takes).map(([member, schema]) => field(member, schema));
  const place = ({ member }) => MAIN.indexOf(member);
  const main = fields.filter((field) => place(field) >= 0).sort((one, other) => place(one) - place(other));
  const others = fields.filter((field) => place(field) < 0);
  const answer = h("div");
  const run = h("button", { class: DANGER.has(name) ? "danger" : "primary" }, "Run");
  const element = h("form", { class: "pane form", id: "action" },
    h("div", {}, h("h2", { class: "mono" }, name), h("p", { class: "dim" }, about)),
    main.length > 0 && h("div", { class: "fields" }, main.map(({ element }) => element)),
    others.length > 0 && (main.length > 0
      ? h("details", { class: "rest" }, h("summary", {}, `More (${others.length})`), h("div", { class: "fields" }, others.map(({ element }) => element)))
      : h("div", { class: "fields" }, others.map(({ element }) => element))),
    h("div", { class: "bar" }, run, h("span", { class: "dim" }, "Ctrl + Enter runs it too.")));
  element.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) element.requestSubmit();
  });
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    const params = {};
    for (const { member, read } of fields) {
      const value = read();
      if (value !== undefined) params[member] = value;
    }
    run.disabled = true;
    try {
      answer.replaceChildren(await outcome(name, params));
    } catch (error) {
      failed(error);
    } finally {
      run.disabled = false;
    }
  });
  return h("div", { class: "column" }, element, answer);
}

/** Carries a method out and shows what came of it. */
export async function outcome(name, params) {
  const begun = performance.now();
  let reply;
  try {
    reply = await call(name, params);
  } catch (error) {
    if (error instanceof SignedOut) throw error;
    reply = { error: { code: 0, message: error.message } };
  }
  const took = `${(performance.now() - begun).toFixed(1)} ms`;
  const badge = reply.error
    ? h("span", { class: "badge bad" }, reply.error.code ? `error ${reply.error.code}` : "error")
    : h("span", { class: "badge good" }, "done");
  return h("div", { class: "results" },
    pane(h("div", { class: "bar" }, badge, h("span", { class: "dim" }, took)), reply.error ?? reply.result ?? reply),
    pane(h("h3", {}, "Request"), { method: name, params }));
}

function pane(head, value) {
  const copy = h("button", { class: "quiet", type: "button" }, "Copy");
  copy.addEventListener("click", async () => {
    await navigator.clipboard?.writeText(JSON.stringify(value, null, 2));
    copy.textContent = "Copied";
  });
  return h("section", { class: "pane result" }, h("div", { class: "bar" }, head, copy), json(value));
}

/** An input for a member, and how what is in it is read: `undefined` where there is nothing. */
export function field(member, schema) {
  const id = `field-${member}`;
  const about = (schema.description ?? "").replaceAll("`", "");
  const small = about ? h("small", { id: `${id}-about` }, about) : null;
  const described = small ? { "aria-describedby": small.id } : {};
  const label = h("label", { htmlFor: id, class: "mono" }, member);
  if (schema.type === "boolean") {
    const input = h("input", { id, type: "checkbox", ...described });
    return { member, element: h("div", { class: "check" }, input, label, small), read: () => input.checked || undefined };
  }
  const holder = (input, wide) => h("div", { class: wide ? "field wide" : "field" }, label, input, small);
  if (schema.type === "integer" || schema.type === "number") {
    const input = h("input", { id, inputMode: "numeric", pattern: schema.type === "integer" ? "-?[0-9]+" : null, autocomplete: "off", ...described });
    return { member, element: holder(input), read: () => (input.value.trim() === "" ? undefined : Number(input.value)) };
  }
  if (schema.type === "string") {
    const input = h("input", { id, autocomplete: "off", spellcheck: false, ...described });
    return { member, element: holder(input), read: () => (input.value === "" ? undefined : input.value) };
  }
  if (schema.type === "array" && schema.items?.type === "string") {
    const input = h("textarea", { id, rows: 3, spellcheck: false, placeholder: "one on each line", ...described });
    const read = () => {
      const lines = input.value.split("\n").map((line) => line.trim()).filter(Boolean);
      return lines.length > 0 ? lines : undefined;
    };
    return { member, element: holder(input, true), read };
  }
  const input = h("textarea", { id, rows: 3, spellcheck: false, placeholder: "JSON", ...described });
  const parsed = () => {
    try {
      return { value: input.value.trim() === "" ? undefined : JSON.parse(input.value), problem: "" };
    } catch (error) {
      return { problem: `This is not JSON: ${error.message}` };
    }
  };
  input.addEventListener("input", () => input.setCustomValidity(parsed().problem));
  return { member, element: holder(input, true), read: () => parsed().value };
}
