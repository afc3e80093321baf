/** What the page asks of its server, and how it makes elements. */

const TOKEN = "tourbillon.admin.token";

/** Somebody has to sign in, anew perhaps. */
export class SignedOut extends Error {}

function authorization() {
  const token = localStorage.getItem(TOKEN);
  return token ? { Authorization: `token ${token}` } : {};
}

export async function init() {
  return (await fetch("admin/init", { headers: authorization() })).json();
}

/** Trades a password for a token. Gives what is wrong, or nothing. */
export async function signIn(password) {
  const answer = await fetch("admin/auth", { method: "POST", body: new URLSearchParams({ password }) });
  if (!answer.ok) return (await answer.text()).trim() || `the server answered ${answer.status}`;
  localStorage.setItem(TOKEN, (await answer.json()).token);
  return null;
}

export function signOut() {
  localStorage.removeItem(TOKEN);
}

/** Calls a method of the server API. Gives the reply: `result` or `error`. */
export async function call(method, params = {}, signal = undefined) {
  const headers = { "Content-Type": "application/json", ...authorization() };
  const body = JSON.stringify({ method, params });
  const answer = await fetch("admin/api", { method: "POST", headers, body, signal });
  if (answer.status === 401) throw new SignedOut();
  if (!answer.ok) throw new Error((await answer.text()).trim() || `the server answered ${answer.status}`);
  return answer.json();
}

/** The methods of the server API: name, what they are for, what they take. */
export async function methods() {
  const document = await (await fetch("admin/ui/openapi.json")).json();
  return Object.entries(document.paths).map(([path, { post }]) => ({
    name: path.slice(1),
    about: post.summary,
    takes: post.requestBody.content["application/json"].schema.properties ?? {},
  }));
}

/** An element. Of the properties, `class`, `dataset`, `on...` and those of elements are known; others are attributes. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name === "class") element.className = value;
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** JSON with colours, as an element. */
export function json(value) {
  const text = JSON.stringify(value, null, 2) ?? "";
  const parts = /("(?:\\.|[^"\\])*")(\s*:)?|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\b(?:true|false|null)\b/g;
  const pre = h("pre", { class: "json", tabIndex: 0 });
  let at = 0;
  for (const match of text.matchAll(parts)) {
    pre.append(text.slice(at, match.index));
    const [whole, string, colon] = match;
    const kind = colon ? "key" : string ? "string" : /^[-\d]/.test(whole) ? "number" : "word";
    pre.append(h("span", { class: kind }, string ?? whole), colon ?? "");
    at = match.index + whole.length;
  }
  pre.append(text.slice(at));
  return pre;
}
