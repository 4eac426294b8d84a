// Two versions beside each other: the same request answered by both, and what differs.
import { Latest, get, post } from "./api.js";
import { changes } from "./lists.js";
import { fill, h } from "./dom.js";
import { number, percent } from "./format.js";

/** How alike two lists are, and both of them; `one` and `other` are [label, items]. */
export function beside([label, items], [otherLabel, others], names) {
  const { moves, gone } = changes(items, others); // from the first list to the second
  const shared = others.filter((row) => moves.get(String(row.item)) !== null).length;
  const same = others.filter((row) => moves.get(String(row.item)) === 0).length;
  const left = new Set(gone.map((row) => String(row.item)));
  const mark = (gain) => (gain === null ? h("span", { class: "move new" }, "only here") : gain ? h("span", { class: `move ${gain > 0 ? "up" : "down"}` }, `${gain > 0 ? "▲" : "▼"}${Math.abs(gain)}`) : null);
  const list = (title, rows, tell) => h("section", null, h("h3", null, title), h("ol", { class: "plain tight" }, rows.map((row) => h("li", { "data-item": String(row.item), class: tell(row)?.textContent === "only here" ? "fresh" : null },
    h("span", { class: "at" }, String(row.rank)), h("b", { title: names.title(row) }, names.title(row)), tell(row), h("span", { class: "n" }, number(row.score))))));
  const most = Math.max(items.length, others.length);
  return [h("p", { class: "overlap" }, h("b", null, `${shared} of ${most} in both`), ` (${percent(most ? shared / most : 1)}), ${same} at the same place.`),
    h("div", { class: "two close" }, list(label, items, (row) => (left.has(String(row.item)) ? mark(null) : null)), list(otherLabel, others, (row) => mark(moves.get(String(row.item)))))];
}

/** Under the lists of a request: what another version in memory would answer. */
export class Beside {
  constructor(box, names) {
    Object.assign(this, { box, names, version: "", asks: new Latest() });
    this.select = h("select", { id: "other-version", onchange: () => {
      this.version = this.select.value;
      this.refresh();
    } });
    this.field = h("div", { class: "field line" }, h("label", { for: "other-version" }, "Beside it, version"), this.select);
    this.drawn = h("div", { id: "beside-lists", "aria-live": "polite" });
    fill(box, this.field, this.drawn);
    box.hidden = true;
  }

  /** Offer the other versions in memory, if there are any. */
  async offer() {
    const { current, versions } = await get("models").catch(() => ({ versions: [] }));
    const others = versions.filter((row) => row.in_memory && row.version !== current).map((row) => row.version);
    if (!others.includes(this.version)) this.version = "";
    fill(this.select, h("option", { value: "" }, "none"), others.map((version) => h("option", { value: version }, version)));
    this.select.value = this.version;
    this.box.hidden = !others.length;
  }

  /** Another answer was drawn; `body` is what was asked. */
  async show(answer, body) {
    Object.assign(this, { answer, body });
    return this.refresh();
  }

  async refresh() {
    if (!this.version || !this.answer) return fill(this.drawn);
    try {
      const other = await this.asks.run((signal) => post("recommend", { ...this.body, explain: false, version: this.version }, { signal }));
      if (other) fill(this.drawn, beside([this.answer.version, this.answer.items], [other.version, other.items], this.names));
    } catch (error) {
      fill(this.drawn, h("p", { class: "none" }, error.message)); // a version with other columns, or one that is gone
      if (error.status === 404) this.offer();
    }
    return undefined;
  }
}
