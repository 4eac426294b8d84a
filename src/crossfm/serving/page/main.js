// Starts the page: schema, views by the address, the one place where errors are shown, key and theme.
import { ApiError, get, key, query, rows } from "./api.js";
import { $, fill, h, say } from "./dom.js";
import { Names } from "./format.js";
import { Recommend } from "./recommend.js";

const problems = { timer: 0, tries: 0, again: new Set() };

function state(kind, text) {
  $("#state").dataset.state = kind;
  $("#state").textContent = text;
}

function solved() {
  clearTimeout(problems.timer);
  problems.tries = 0;
  problems.again.clear();
  fill($("#problem"));
}

function retry() {
  const again = [...problems.again];
  problems.again.clear();
  clearTimeout(problems.timer);
  for (const run of again) run();
}

const ADVICE = {
  0: "Offline.", 401: "The server wants an API key.", 403: "This key may not do that.", 429: "Too many requests.", 503: "The server is not ready.",
};

/** Show what went wrong. What may pass by itself is tried again, later each time; the rest waits for the reader. */
function problem(error, again) {
  if (error.name === "AbortError") return;
  if (!(error instanceof ApiError)) throw error;
  if (again) problems.again.add(again);
  clearTimeout(problems.timer);
  const wait = error.passing ? Math.max(error.wait ?? 0, Math.min(15, 2 ** problems.tries++)) : 0;
  if (error.status === 0) state("off", "offline");
  else if (error.status === 401) state("off", "needs a key");
  else if (error.status >= 500) state("off", "not ready");
  const shown = h("span", { class: "wait", "aria-hidden": "true" });
  fill($("#problem"), h("div", { class: `problem ${error.passing ? "passing" : ""}` },
    h("p", null, h("b", null, `${ADVICE[error.status] ?? (error.status >= 500 ? "The server failed." : "The request was refused.")} `), error.message,
      error.id && error.status >= 500 && h("small", null, ` Request ${error.id}.`)), shown,
    [401, 403].includes(error.status) && h("button", { type: "button", onclick: askKey }, "Enter key"),
    again && h("button", { type: "button", onclick: retry }, "Try again"), h("button", { type: "button", class: "icon", "aria-label": "Dismiss", onclick: () => fill($("#problem")) }, "✕")));
  if (error.status === 401) askKey();
  if (wait && again) countdown(wait, shown);
}

function countdown(seconds, shown) {
  shown.textContent = `Trying again in ${seconds} s`;
  problems.timer = setTimeout(() => (seconds <= 1 ? retry() : countdown(seconds - 1, shown)), 1000);
}

function askKey() {
  const dialog = $("#key-dialog");
  if (dialog.open) return;
  $("#key-input").value = key.get();
  $("#key-reason").textContent = (key.get() ? "The server did not accept the last key, or wants another. " : "") + "The key stays in this tab and is gone when the tab is closed.";
  dialog.returnValue = "cancel";
  dialog.showModal();
}

function wireKey(restart) {
  const dialog = $("#key-dialog");
  $("#key").addEventListener("click", askKey);
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "cancel") return;
    key.set(dialog.returnValue === "use" ? $("#key-input").value.trim() : "");
    say(key.get() ? "The key is set." : "The key is forgotten.");
    restart();
  });
}

function wireTheme() {
  const dark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const tell = () => $("#theme").setAttribute("aria-pressed", String(dark()));
  $("#theme").addEventListener("click", () => {
    const theme = dark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("crossfm-theme", theme);
    } catch {
      // No storage: the choice lasts as long as the page.
    }
    tell();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell);
  tell();
}

class App {
  async start() {
    try {
      const schema = await get("schema");
      this.shared ??= { schema, names: new Names(schema), problem };
      this.recommend ??= new Recommend(this.shared);
      solved();
      await this.route();
      await Promise.all([this.view("items"), this.view("dashboard")]); // at hand when the server is gone
    } catch (error) {
      problem(error, () => this.start());
    }
  }

  /** Show the view that the address names: #/, #/user/ID, #/new, #/items, #/items/ID, #/dashboard. */
  async route() {
    const [view = "", id] = location.hash.startsWith("#/") ? location.hash.slice(2).split("/") : [""];
    const name = ["items", "dashboard"].includes(view) ? view : "recommend";
    for (const section of document.querySelectorAll(".view")) section.hidden = section.id !== name;
    for (const link of document.querySelectorAll("[data-view]")) {
      if (link.dataset.view === name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.title = { items: "Items · crossfm", dashboard: "Dashboard · crossfm" }[name] ?? "crossfm";
    if (!this.recommend) return undefined;
    this.dashboard?.show(name === "dashboard");
    if (name === "items") return (await this.view(name)).go(id && decodeURIComponent(id));
    if (name === "dashboard") return (await this.view(name)).show(!$("#dashboard").hidden);
    if (view === "user" && id) return this.recommend.choose(decodeURIComponent(id));
    if (view === "new") return this.recommend.choose(null);
    return name === "recommend" && this.recommend.user === undefined ? this.first() : undefined;
  }

  /** One of the views that are fetched after the first. */
  async view(name) {
    const made = name === "items" ? (await import("./items.js")).Items : (await import("./dashboard.js")).Dashboard;
    this[name] ??= new made($(`#${name}`), this.shared);
    return this[name];
  }

  /** The first user of the list, so that a new reader sees answers and not an empty page. */
  async first() {
    const user = rows(await get(query("users", { limit: 1 })))[0];
    return this.recommend.choose(user ? String(user.id) : null);
  }

  /** Everything again with another key. */
  again() {
    if (!this.recommend) return this.start();
    solved();
    if (this.recommend.user !== undefined) this.recommend.answer = null;
    const { user } = this.recommend;
    this.recommend.user = undefined;
    return user === undefined ? this.route() : this.recommend.choose(user);
  }
}

const app = new App();
document.addEventListener("answered", (event) => {
  state("on", "live");
  if (event.detail.version) $("#version").textContent = event.detail.version;
  if ($("#problem .passing") ? !problems.again.size : event.detail.method !== "GET") solved();
});
$(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names the view, not the place on it
  $("#main").focus();
});
addEventListener("hashchange", () => app.route().catch((error) => problem(error, () => app.route())));
wireKey(() => app.again());
wireTheme();
app.start();
