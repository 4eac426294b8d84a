// The panel about one item: why it has its score, what is similar, what is known of it.
import { ApiError, Latest, get, post, rows } from "./api.js";
import { $, fill, h, skeleton, tabs } from "./dom.js";
import { columns, number, signed } from "./format.js";

const SHOWN = 12; // parts with a line of their own; smaller ones share one

/** Bars that begin where the last one ended, from 0 by the bias and the parts to the score. */
export function waterfall(why) {
  const steps = [{ label: "bias", value: why.bias }];
  const big = why.parts.length > SHOWN + 1 ? why.parts.slice(0, SHOWN) : why.parts;
  const small = why.parts.slice(big.length);
  steps.push(...big.map((part) => ({ label: columns(part.columns), value: part.value })));
  if (small.length) steps.push({ label: `${small.length} smaller parts`, value: small.reduce((sum, part) => sum + part.value, 0) });
  let at = 0;
  for (const step of steps) {
    step.from = at;
    at += step.value;
    step.to = at;
  }
  const ends = steps.flatMap((step) => [step.from, step.to]);
  const [low, high] = [Math.min(0, ...ends), Math.max(0, ...ends)];
  const share = (x) => `${(100 * (x - low)) / (high - low || 1)}%`;
  const bar = (from, to, kind) => h("span", { class: "track" },
    h("i", { class: "zero", style: { left: share(0) } }),
    h("i", { class: kind, style: { left: share(Math.min(from, to)), width: `calc(${share(Math.abs(to - from) + low)} + 1px)` } }));
  const line = (step) => h("li", null, h("span", { class: "label", title: step.label }, step.label),
    bar(step.from, step.to, step.value < 0 ? "minus" : "plus"), h("span", { class: "n" }, signed(step.value, 3)));
  return { total: at, list: h("ol", { class: "fall", "aria-label": "Parts of the score" }, steps.map(line),
    h("li", { class: "total" }, h("span", { class: "label" }, "score"), bar(0, at, "sum"), h("span", { class: "n" }, number(at, 3)))) };
}

function because(list, names) {
  const most = Math.max(...list.map((row) => Math.abs(row.value)), 1e-12);
  return h("ol", { class: "because" }, list.slice(0, 5).map((row) => h("li", null,
    h("span", null, names.title(row)), h("span", { class: "track" }, h("i", { class: row.value < 0 ? "minus" : "plus", style: { width: `${(100 * Math.abs(row.value)) / most}%` } })),
    h("span", { class: "n" }, signed(row.value, 3)))));
}

/** The whole explanation, with the check that its parts add up. */
export function reasons(why, names, ranker) {
  const { total, list } = waterfall(why);
  const off = Math.abs(total - why.score);
  const adds = off <= 1e-3 * Math.max(1, Math.abs(why.score));
  return [
    list,
    h("p", { class: adds ? "adds" : "adds off" }, adds ? `The parts add up to the score, ${number(why.score, 3)}.`
      : `The parts give ${number(total, 3)}, but the score is ${number(why.score, 3)}: please report this.`),
    why.because?.length > 0 && [h("h3", null, "Because of the history"), because(why.because, names)],
    why.ranked != null && h("p", { class: "note" }, `Ranking${ranker ? ` (${ranker})` : ""} gives ${number(why.ranked, 3)}. `
      + "It is another machine, so the parts above are those of the recall score."),
  ];
}

export class Inspector {
  /** `context` has names, schema, ask() for the body of an explanation, pick(row), problem(error). */
  constructor(dialog, context) {
    Object.assign(this, { dialog, context, tab: "why", row: null, calls: new Latest() });
    this.wide = matchMedia("(min-width: 1360px)");
    this.wide.addEventListener("change", () => this.row && this.open(this.row));
    dialog.addEventListener("close", () => this.closed());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  }

  /** Show an item: beside the lists where there is room, as a sheet above them elsewhere. */
  open(row, { focus = false, tab = this.tab } = {}) {
    const { names } = this.context;
    this.row = row;
    this.tab = tab;
    this.back = focus ? document.activeElement : this.back;
    this.body = h("div", { id: "inspector-body", role: "tabpanel", "aria-labelledby": `tab-${tab}`, tabindex: 0 });
    const named = [["why", "Why"], ["similar", "Similar"], ["details", "Details"]];
    const bar = h("div", { class: "tabs", role: "tablist", "aria-label": "About this item" }, named.map(([name, label]) => h("button", {
      type: "button", role: "tab", id: `tab-${name}`, "data-tab": name, "aria-controls": "inspector-body",
      "aria-selected": String(name === tab), tabindex: name === tab ? 0 : -1 }, label)));
    tabs(bar, (name) => {
      this.tab = name;
      this.body.setAttribute("aria-labelledby", `tab-${name}`);
      this.refresh();
    });
    fill(this.dialog, h("div", { class: "head" }, h("div", null, h("h2", { id: "inspector-title" }, names.title(row)), h("small", null, names.line(row))),
      h("button", { type: "button", class: "icon close", "aria-label": "Close", onclick: () => this.close() }, "✕")), bar, this.body);
    this.show(focus);
    return this.refresh();
  }

  show(focus) {
    const modal = this.dialog.matches(":modal");
    if (this.wide.matches) {
      if (modal) this.dialog.close();
      this.dialog.setAttribute("open", "");
    } else if (!modal) {
      this.dialog.removeAttribute("open");
      if (focus) this.dialog.showModal();
    }
    if (focus) $(`#tab-${this.tab}`).focus();
  }

  close() {
    if (this.dialog.matches(":modal")) return this.dialog.close();
    this.dialog.removeAttribute("open");
    return this.closed();
  }

  /** The focus goes back to where it came from, or to the row of that item in the lists of now. */
  closed() {
    const item = this.row && CSS.escape(String(this.row.item));
    this.row = null;
    this.mark();
    const back = this.back?.isConnected ? this.back : $(`#final-list [data-item="${item}"] .why`);
    back?.focus();
  }

  /** Tell which row of the list is looked at. */
  mark() {
    for (const el of document.querySelectorAll(".rows .why")) el.setAttribute("aria-expanded", String(el.closest("li").dataset.item === String(this.row?.item)));
  }

  get shown() {
    return this.row && this.dialog.open;
  }

  /** Ask again for what is shown: the answer may depend on the history and the context. */
  async refresh() {
    this.mark();
    if (!this.shown) return;
    const { body, row, tab } = this;
    if (!body.childElementCount || body.dataset.tab !== tab) fill(body, h("ol", { class: "plain" }, skeleton(6)));
    body.dataset.tab = tab;
    body.setAttribute("aria-busy", "true");
    try {
      const drawn = await this.calls.run((signal) => this[tab](row, signal));
      if (drawn) fill(body, drawn);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      fill(body, h("p", { class: "none" }, error.message));
      if (error.passing || error.status === 401) this.context.problem(error, () => this.refresh());
    } finally {
      body.removeAttribute("aria-busy");
    }
  }

  async why(row, signal) {
    const why = await post("explain", { ...this.context.ask(), item: row.item }, { signal });
    return reasons(why, this.context.names, this.context.schema.ranker);
  }

  async similar(row, signal) {
    const { names } = this.context;
    const found = rows(await get(`items/${encodeURIComponent(row.item)}/similar?n=10`, { signal }));
    if (!found.length) return h("p", { class: "none" }, "Nothing is similar: the model does not know this item yet.");
    const most = Math.max(...found.map((each) => each.score), 1e-12);
    return h("ol", { class: "similar" }, found.map((each) => h("li", { "data-similar": String(names.id(each)) },
      h("button", { type: "button", onclick: () => this.open({ ...each, item: names.id(each) }, { focus: true, tab: "similar" }) },
        h("span", { class: "what" }, h("b", null, names.title(each)), h("small", null, names.line(each))),
        h("span", { class: "n" }, number(each.score, 2), h("span", { class: "track" }, h("i", { class: "plus", style: { width: `${Math.max(0, (100 * each.score) / most)}%` } })))))));
  }

  async details(row, signal) {
    const { names } = this.context;
    const item = await get(`items/${encodeURIComponent(row.item)}`, { signal });
    const numbers = [["rank", row.rank], ["probability", row.probability], ["recall rank", row.recall_rank], ["recall score", row.recall_score], ["came from", row.source]];
    const pairs = [["id", String(row.item)], ...names.details(item), ...numbers.filter(([, x]) => x != null).map(([name, x]) => [name, typeof x === "number" && !Number.isInteger(x) ? number(x, 4) : String(x)])];
    return h("dl", null, pairs.map(([name, text]) => [h("dt", null, name), h("dd", null, text)]));
  }
}
