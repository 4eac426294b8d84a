// The view of one request: who asks, with what context, what both stages answer, and what a click changes.
import { ApiError, Latest, eventKey, get, post, query, rows } from "./api.js";
import { Beside } from "./beside.js";
import { combobox } from "./combo.js";
import { controls, visitor } from "./controls.js";
import { $, fill, h, say, skeleton } from "./dom.js";
import { ago, count, ms, person } from "./format.js";
import { Inspector } from "./inspector.js";
import { arrows, changes, drawLists, highlights, inWords } from "./lists.js";

const HISTORY = () => (matchMedia("(max-width: 759px)").matches ? 3 : 8); // items shown before "show all"
const SEED = crypto.getRandomValues(new Uint32Array(1))[0]; // of exploration and temperature: one direction and one draw for as long as the page is open
const HINT = "Move a slider, say something of the context or choose an item: what changes is told here.";

export class Recommend {
  constructor({ schema, names, problem }) {
    Object.assign(this, { schema, names, problem });
    this.user = undefined; // null: a visitor without an id
    this.session = []; // what a visitor without an id has chosen, oldest first; sent along, stored nowhere
    this.features = {};
    this.state = {};
    this.asks = new Latest();
    this.histories = new Latest();
    this.inspector = new Inspector($("#inspector"), { schema, names, problem, ask: () => ({ ...this.who(), popularity: this.state.popularity }) });
    this.beside = new Beside($("#beside"), names);
    this.wire();
    $("#recommend").classList.add("ready");
  }

  wire() {
    controls($("#controls"), this.schema, this.state, () => this.ask());
    $("#retriever").textContent = `first stage: ${this.schema.retriever ?? "fm"}`;
    $("#ranker").textContent = `second stage: ${this.schema.ranker ?? "the same"}`;
    $(".final .end").textContent = this.schema.ranker ? "score, parts of recall" : "score, largest parts";
    combobox($("#user"), $("#user-list"), (text) => this.search(text), (option) => (location.hash = `#/user/${encodeURIComponent(option.value)}`));
    $("#user").addEventListener("blur", () => ($("#user").value = this.user ?? ""));
    $("#new-visitor").addEventListener("click", () => (location.hash = "#/new"));
    $("#final-list").addEventListener("click", (event) => this.clicked(event));
    $("#recall-list").addEventListener("click", (event) => this.clicked(event));
    for (const list of [$("#final-list"), $("#recall-list")]) arrows(list);
    highlights($("#lists"));
    for (const button of document.querySelectorAll("[data-show]:is(button)")) button.addEventListener("click", () => this.display(button.dataset.show));
    const wide = matchMedia("(min-width: 760px)");
    const fold = () => ($("#adjust").open = wide.matches);
    wide.addEventListener("change", fold);
    fold();
    addEventListener("resize", () => this.answer && drawLists(this.answer, this.names, this.moves, true));
  }

  display(which) {
    $("#lists").dataset.show = which;
    for (const button of document.querySelectorAll("button[data-show]")) button.setAttribute("aria-pressed", String(button.dataset.show === which));
  }

  async search(text) {
    this.searches ??= new Latest();
    try {
      const found = rows(await this.searches.run((signal) => get(query("users", { search: text, limit: 20 }), { signal })));
      const options = found.map((user) => ({ label: String(user.id), detail: person(user, this.schema), value: String(user.id) }));
      const exact = options.findIndex((option) => option.value === text);
      if (exact > 0) options.unshift(...options.splice(exact, 1));
      return text && exact < 0 ? [...options, { label: text, detail: "ask for this id, known or not", value: text }] : options;
    } catch (error) {
      this.problem(error, () => $("#user").focus());
      throw error;
    }
  }

  /** Choose a user; null is a visitor without an id. */
  async choose(user) {
    if (user === this.user && this.answer) return undefined;
    Object.assign(this, { user, session: [], features: {}, answer: null, visit: eventKey() });
    $("#user").value = user ?? "";
    $("#new-visitor").setAttribute("aria-pressed", String(user === null));
    fill($("#about"), user === null ? visitor(this.schema, this.features, () => this.ask()) : null);
    $("#pick-note").textContent = user === null
      ? "Choosing an item adds it to this visit: it is sent along with each request, and stored only where an experiment counts visits."
      : "Choosing an item stores a click of this user at once, and the next answer knows it. There is no undo here.";
    fill($("#changes"));
    for (const list of [$("#final-list"), $("#recall-list")]) fill(list, skeleton(10));
    fill($("#links"));
    fill($("#history"), skeleton(3));
    return Promise.all([this.ask(), this.history(), this.describe(), this.beside.offer()]);
  }

  async describe() {
    const { user } = this;
    if (user === null) return;
    try {
      const text = person(await get(`users/${encodeURIComponent(user)}`), this.schema);
      if (this.user === user) fill($("#about"), h("p", { class: "note" }, text));
    } catch (error) {
      const unknown = error instanceof ApiError && error.status === 404;
      if (unknown && this.user === user) fill($("#about"), h("p", { class: "note" }, "Nothing is stored about this user yet."));
      else if (!unknown) this.problem(error, () => this.describe());
    }
  }

  /** Who asks, and in which context: shared by recommendations and explanations. */
  who() {
    const body = { context: { ...this.state.context } };
    if (this.user !== null) body.user = this.user;
    else body.session = this.visit; // decides the variant of an experiment
    if (this.user === null && Object.keys(this.features).length) body.features = { ...this.features };
    if (this.session.length) body.history = this.session.map((row) => row.item);
    return body;
  }

  body() {
    const { state } = this;
    const body = { ...this.who(), n: state.n, popularity: state.popularity, diversity: state.diversity, exclude_seen: state.excludeSeen, explain: true, attributes: true };
    for (const name of ["exploration", "temperature"]) if (state[name]) Object.assign(body, { [name]: state[name], seed: SEED });
    if (state.freshness) body.freshness = state.freshness;
    if (state.candidates) body.candidates = state.candidates;
    if (Object.keys(state.where).length) body.where = { ...state.where };
    if (Object.keys(state.caps).length) body.caps = { ...state.caps };
    return body;
  }

  /** Ask for both lists; `cause` is told together with what changed, but for the item that was clicked. */
  async ask(cause = "", clicked = null) {
    if (this.user === undefined) return;
    const box = $("#lists");
    const turn = (this.turn = (this.turn ?? 0) + 1);
    box.setAttribute("aria-busy", "true");
    try {
      const body = this.body();
      const answer = await this.asks.run((signal) => post("recommend", body, { signal }));
      if (!answer) return;
      this.draw(answer, cause, clicked);
      this.beside.show(answer, body);
    } catch (error) {
      if (!this.answer) for (const list of [$("#final-list"), $("#recall-list")]) fill(list, h("li", { class: "none" }, "No answer yet."));
      this.problem(error, () => this.ask(cause, clicked));
    } finally {
      if (turn === this.turn) box.removeAttribute("aria-busy"); // not while a later question is out
    }
  }

  draw(answer, cause, clicked) {
    const before = this.answer;
    const moved = before && changes(before.items, answer.items);
    this.answer = answer;
    this.moves = moved ? moved.moves : null;
    drawLists(answer, this.names, this.moves);
    this.funnel(answer);
    const words = moved ? inWords(moved, this.names, answer.items, clicked) : "";
    const first = answer.known === false ? "Nothing is known about this user: popular items first." : HINT;
    const text = [cause, moved ? words || "The order stays the same." : first, answer.note].filter(Boolean).join(" ");
    $("#changes").textContent = text;
    $("#changes").title = text;
    say(moved ? text : `${answer.items.length} items. ${text}`);
    this.inspect(answer);
  }

  inspect(answer) {
    const same = this.inspector.row && answer.items.find((row) => String(row.item) === String(this.inspector.row.item));
    if (same) this.inspector.row = same;
    if (this.inspector.shown) this.inspector.refresh();
    else if (answer.items.length && this.inspector.wide.matches && !this.greeted) this.inspector.open(answer.items[0]);
    this.greeted = true;
  }

  funnel({ funnel = {}, timings = {}, experiment, version }) {
    const step = (name, n, time) => n != null && h("li", null, h("b", null, count(n)), h("small", null, name, time != null && h("em", null, ` ${ms(time)}`)));
    fill($("#funnel"), step("catalogue", funnel.catalogue), step("allowed", funnel.allowed), step("recalled", funnel.recalled, timings.recall),
      step("ranked", funnel.ranked, timings.rank), step("returned", funnel.returned, timings.rerank),
      timings.total != null && h("li", { class: "total" }, h("b", null, ms(timings.total)), h("small", null, "in all")),
      experiment && h("li", { class: "total" }, h("b", null, experiment.variant), h("small", null, experiment.name)));
    $("#funnel").title = version ? `answered by model ${version}` : "";
  }

  async history() {
    if (this.user === null) return this.drawHistory([...this.session].reverse());
    try {
      const path = `users/${encodeURIComponent(this.user)}/history?limit=50`;
      const answer = await this.histories.run((signal) => get(path, { signal }));
      return answer && this.drawHistory(rows(answer));
    } catch (error) {
      if (error.status === 404) return this.drawHistory([]);
      fill($("#history"), h("li", { class: "none" }, "Not loaded."));
      return this.problem(error, () => this.history());
    }
  }

  drawHistory(list, all = false) {
    const open = (row) => this.inspector.open({ ...row, item: this.names.id(row) }, { focus: true, tab: "similar" });
    const line = (row) => h("li", { "data-item": String(this.names.id(row)) }, h("button", { type: "button", class: "open", onclick: () => open(row) }, h("span", { class: "what" }, h("b", { title: this.names.title(row) }, this.names.title(row)),
      h("small", null, row.source === "model" || this.user === null ? this.names.line(row) : [row.type, ago(row.time)].filter(Boolean).join(" · ")))));
    const more = list.length > HISTORY() && !all && h("li", null, h("button", { type: "button", class: "quiet", onclick: () => this.drawHistory(list, true) }, `Show all ${list.length}`));
    const none = h("li", { class: "none" }, this.user === null ? "Nothing yet. Choose an item of a list." : "No history: this user is new.");
    fill($("#history"), list.length ? [...(all ? list : list.slice(0, HISTORY())).map(line), more] : none);
  }

  find(item) {
    return [...(this.answer?.items ?? []), ...(this.answer?.recalled ?? [])].find((row) => String(row.item) === item);
  }

  clicked(event) {
    const button = event.target.closest("button");
    const found = button && this.find(button.closest("li").dataset.item);
    if (!found) return;
    if (button.className === "why") this.inspector.open(found, { focus: true });
    else this.pick(found);
  }

  /** Tell that this visit has chosen an item: the experiment that it takes part in counts it. */
  async count(row, key) {
    const event = { session: this.visit, item: row.item, type: "click", key, request_id: this.answer.request_id };
    await post("feedback", { events: [event] }).catch((error) => this.problem(error, () => this.count(row, key)));
  }

  /** Send a click and show what it changes; a visitor without an id sends it along instead of storing it. */
  async pick(row, key = eventKey()) {
    const title = this.names.title(row);
    if (this.user === null) {
      this.session.push(row);
      this.history();
      if (this.answer.experiment) this.count(row, key);
      return this.ask(`After ${title}:`, row);
    }
    const user = this.user;
    const mark = document.querySelectorAll(`.rows [data-item="${CSS.escape(String(row.item))}"]`);
    for (const el of mark) el.classList.add("sent");
    try {
      await post("feedback", { events: [{ user, item: row.item, type: "click", key, request_id: this.answer.request_id, context: this.state.context }] });
    } catch (error) {
      for (const el of mark) el.classList.remove("sent");
      return this.problem(error, () => user === this.user && this.pick(row, key));
    }
    if (user !== this.user) return undefined;
    this.history();
    return this.ask(`Stored a click on ${title}.`, row);
  }
}
