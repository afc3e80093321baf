/** Why somebody may do something, or may not. */
import { call, h, json } from "./server.js";
import { field } from "./actions.js";

export const title = "Explain";

const ACTIONS = ["subscribe", "publish", "presence", "presence_stats", "history"];
const BADGES = { allows: "good", refuses: "bad" };

export async function open(view, { failed, signal }) {
  const action = h("select", { id: "field-action" }, ACTIONS.map((name) => h("option", {}, name)));
  const text = (member, description) => field(member, { type: "string", description });
  const fields = [
    text("channel", "The channel, with its namespace."),
    text("user", "Who asks; empty for somebody without a name."),
    field("subscribed", { type: "boolean", description: "The client is subscribed to the channel." }),
    text("token", "A subscription token, if one comes with the request."),
    text("connection_token", "The token that the client connected with, if any."),
  ];
  const data = field("data", { description: "What would be published." });
  const answer = h("div", { class: "results", "aria-live": "polite" });
  const run = h("button", { class: "primary" }, "Explain");
  const form = h("form", { class: "pane form", id: "explain" },
    h("div", { class: "fields" },
      h("div", { class: "field" }, h("label", { htmlFor: action.id, class: "mono" }, "action"), action, h("small", {}, "What the client wants.")),
      fields.map(({ element }) => element), data.element),
    h("div", { class: "bar" }, run));
  const follow = () => {
    data.element.hidden = action.value !== "publish";
  };
  action.addEventListener("change", follow);
  follow();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const params = { action: action.value };
    for (const { member, read } of [...fields, ...(action.value === "publish" ? [data] : [])]) {
      const value = read();
      if (value !== undefined) params[member] = value;
    }
    run.disabled = true;
    try {
      const { result, error } = await call("explain", params, signal);
      answer.replaceChildren(...(error ? [refused(error)] : explained(result)));
    } catch (error) {
      failed(error);
    } finally {
      run.disabled = false;
    }
  });
  view.append(
    h("div", { class: "title" }, h("h1", {}, "Explain"), h("p", { class: "dim" }, "Why was somebody refused? Nothing is carried out: the rules in force are asked.")),
    form, answer);
}

function refused(error) {
  return h("section", { class: "pane verdict bad" }, h("b", {}, `Error ${error.code}`), h("span", {}, error.message));
}

function explained(result) {
  const rules = result.rules ?? [];
  const where = result.namespace ? `In the namespace ${result.namespace}` : "In no namespace";
  const sections = [
    h("section", { class: result.allowed ? "pane verdict" : "pane verdict bad" },
      h("b", {}, result.allowed ? "Allowed" : `Refused with ${result.code}`), h("span", {}, result.verdict), h("span", { class: "dim" }, where)),
    h("section", { class: "pane" }, h("ol", { class: "steps" }, rules.map(({ rule, outcome, why }, at) =>
      h("li", { class: at === rules.length - 1 ? "last" : "" },
        h("span", {}, h("span", { class: `badge ${BADGES[outcome] ?? "plain"}` }, outcome)), h("code", {}, rule), h("span", {}, why))))),
  ];
  for (const [name, token] of [["Subscription token", result.token], ["Connection token", result.connection_token]]) {
    if (!token) continue;
    const badge = token.problem ? h("span", { class: "badge bad" }, token.problem) : h("span", { class: "badge good" }, "good");
    sections.push(h("section", { class: "pane result" }, h("div", { class: "bar" }, h("h3", {}, name), badge), token.claims ? json(token.claims) : h("p", { class: "empty" }, "It cannot be read.")));
  }
  return sections;
}
