/** Who is here, and which page. */
import { SignedOut, init, signIn, signOut } from "./server.js";
import * as status from "./status.js";
import * as actions from "./actions.js";
import * as explain from "./explain.js";

const PAGES = { "": status, actions, explain };
const THEMES = ["auto", "light", "dark"];
const THEME = "tourbillon.admin.theme";

const at = (id) => document.getElementById(id);
/** Ends what the page that is shown does by itself. */
let leaving = new AbortController();

function show(what) {
  at("login").hidden = what !== "login";
  at("shell").hidden = what !== "shell";
}

/** What a page could not do. */
function failed(error) {
  if (error instanceof SignedOut) return leave();
  if (error.name !== "AbortError") throw error;
}

function leave() {
  leaving.abort();
  signOut();
  show("login");
  at("password").focus();
}

function open() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  const page = PAGES[name] ?? status;
  leaving.abort();
  leaving = new AbortController();
  for (const link of document.querySelectorAll("nav a")) {
    const current = (PAGES[link.hash.replace(/^#\/?/, "")] ?? null) === page;
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${page.title} · Tourbillon admin`;
  at("view").replaceChildren();
  page.open(at("view"), { signal: leaving.signal, failed, rest }).catch(failed);
}

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  localStorage.setItem(THEME, theme);
  at("theme").textContent = `Theme: ${theme}`;
  at("theme").value = theme;
}

async function begin() {
  const state = await init();
  if (!state.insecure && !state.authenticated) return leave();
  at("insecure").hidden = !state.insecure;
  at("leave").hidden = state.insecure;
  show("shell");
  open();
}

at("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.target.querySelector("button");
  button.disabled = true;
  try {
    const refused = await signIn(at("password").value);
    at("refused").textContent = refused ?? "";
    if (refused) return at("password").select();
    at("password").value = "";
    await begin();
  } catch (error) {
    at("refused").textContent = `The server cannot be reached: ${error.message}`;
  } finally {
    button.disabled = false;
  }
});
at("leave").addEventListener("click", leave);
at("theme").addEventListener("click", () => setTheme(THEMES[(THEMES.indexOf(at("theme").value) + 1) % THEMES.length]));
window.addEventListener("hashchange", () => at("shell").hidden || open());

const kept = localStorage.getItem(THEME);
setTheme(THEMES.includes(kept) ? kept : "auto");
await begin();
