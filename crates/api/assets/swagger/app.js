// Lists the methods of the OpenAPI document beside this page, and sends what is written to them.

const el = (name, text, ...children) => {
  const node = document.createElement(name);
  if (text) node.textContent = text;
  node.append(...children);
  return node;
};

const kindOf = (schema) => {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.type === "array") return `${kindOf(schema.items)}[]`;
  if (schema.additionalProperties) return `${kindOf(schema.additionalProperties)} by name`;
  return schema.format ?? schema.type ?? "JSON";
};

/** What a body looks like: the members that a call hardly goes without. */
const example = (properties) => {
  const values = { channel: "news", channels: ["news"], data: { text: "hello" }, user: "ann", commands: [{ info: {} }] };
  return Object.fromEntries(Object.entries(values).filter(([name]) => name in properties));
};

const send = async (url, body) => {
  const key = document.querySelector("#key").value;
  const headers = { "Content-Type": "application/json", ...(key && { "X-API-Key": key }) };
  const answer = await fetch(url, { method: "POST", headers, body });
  const text = await answer.text();
  let shown = text;
  try {
    shown = JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // Not all answers are JSON.
  }
  return `${answer.status} ${answer.statusText}\n${shown}`;
};

const rows = (properties, before = "") =>
  Object.entries(properties).flatMap(([name, schema]) => {
    const row = el("tr", "", el("td", "", el("code", before + name)), el("td", kindOf(schema)), el("td", schema.description));
    return [row, ...(schema.properties ? rows(schema.properties, `${before}${name}.`) : [])];
  });

const section = (base, path, operation) => {
  const { properties } = operation.requestBody.content["application/json"].schema;
  const body = el("textarea");
  body.value = JSON.stringify(example(properties), null, 2);
  body.spellcheck = false;
  body.setAttribute("aria-label", `Body for ${operation.operationId}`);
  const answer = el("pre");
  answer.setAttribute("role", "status");
  const button = el("button", "Send");
  button.addEventListener("click", async () => {
    button.disabled = true;
    answer.textContent = await send(base + path, body.value).catch((error) => String(error));
    button.disabled = false;
  });
  const details = el("details", "", el("summary", "", el("code", operation.operationId), el("span", operation.summary)));
  details.id = operation.operationId;
  details.append(el("table", "", ...rows(properties)), body, button, answer);
  return details;
};

const list = document.querySelector("#methods");
try {
  const document_ = await (await fetch("openapi.json")).json();
  const base = document_.servers[0].url.replace(/\/$/, "");
  for (const [path, { post }] of Object.entries(document_.paths)) list.append(section(base, path, post));
} catch (error) {
  list.append(el("p", `The document cannot be read: ${error}`));
}
