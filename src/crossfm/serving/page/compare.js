// The card that compares two versions: what their bundles tell, and the same request answered by both.
import { post } from "./api.js";
import { beside } from "./beside.js";
import { changed, choice, table, userField } from "./cards.js";
import { fill, h } from "./dom.js";
import { ago, bytes, count, number, signed } from "./format.js";

/** Metrics as [name, number]; those that hold others have their names joined. */
function flat(metrics, before = "") {
  return Object.entries(metrics ?? {}).flatMap(([name, x]) => (x && typeof x === "object" ? flat(x, `${before}${name} `) : typeof x === "number" ? [[before + name, x]] : []));
}

const digits = (x) => (Number.isInteger(x) ? 0 : Math.abs(x) >= 100 ? 1 : 4);

export class Compare {
  constructor(box, { names, problem }) {
    Object.assign(this, { box, names, problem, chosen: [null, null] });
    this.choices = h("div", { class: "pair" });
    this.facts = h("div");
    this.lists = h("div", { id: "compare-lists", "aria-live": "polite" });
    this.ask = userField("compare-user", "The same request to both, for user", "Ask both", (user) => this.both(user));
    fill(box, this.choices, this.facts, this.ask, this.lists);
  }

  draw({ current, previous, versions = [] }) {
    const whole = versions.filter((row) => !row.error);
    if (!changed(this.box, [current, previous, whole])) return;
    this.versions = new Map(whole.map((row) => [row.version, row]));
    this.box.parentElement.hidden = whole.length < 2;
    if (whole.length < 2) return;
    const there = (version) => this.versions.has(version);
    const [old, fresh] = this.chosen;
    if (!there(fresh)) this.chosen[1] = current;
    if (!there(old) || old === this.chosen[1]) this.chosen[0] = there(previous) && previous !== this.chosen[1] ? previous : whole.find((row) => row.version !== this.chosen[1]).version;
    const pairs = whole.map((row) => [row.version, row.version + (row.version === current ? " (answers)" : row.in_memory ? " (in memory)" : "")]);
    const side = (at, label) => choice(`compare-${at}`, label, pairs, this.chosen[at], (version) => {
      this.chosen[at] = version;
      this.tell();
    });
    fill(this.choices, side(0, "From"), side(1, "To"));
    this.tell();
  }

  tell() {
    const [old, fresh] = this.chosen.map((version) => this.versions.get(version));
    const line = (name, of, show) => [name, ...[old, fresh].map((row) => (of(row) == null ? "–" : show(of(row)))), ""];
    const numbers = (name, a, b, show) => [name, a == null ? "–" : show(a), b == null ? "–" : show(b), a == null || b == null ? "" : a === b ? "same" : signed(b - a, Math.max(digits(a), digits(b)))];
    const [was, is] = [old, fresh].map((row) => new Map(flat(row.metrics)));
    const names = [...new Set([...was.keys(), ...is.keys()])];
    fill(this.facts, table("Two versions", ["", `#${old.version}`, `#${fresh.version}`, "#difference"], [
      line("made", (row) => row.created, (x) => ago(x)), line("notes", (row) => row.notes || null, String), line("size", (row) => row.bytes, bytes),
      numbers("items", old.n_items, fresh.n_items, count), numbers("users", old.n_users, fresh.n_users, count),
      ...names.map((name) => numbers(name, was.get(name), is.get(name), (x) => number(x, digits(x))))]),
    !names.length && h("p", { class: "note" }, "These bundles bring no metrics along; write_bundle(..., metrics=...) keeps them."));
    fill(this.lists);
    const loaded = old.in_memory && fresh.in_memory && old !== fresh;
    this.ask.hidden = !loaded;
    if (!loaded && old !== fresh) fill(this.lists, h("p", { class: "note" }, "Only versions in memory can be asked: the one that answers and the one before."));
  }

  async both(user) {
    const [old, fresh] = this.chosen;
    try {
      const asked = (version) => post("recommend", { ...(user && { user }), n: 10, version });
      const [a, b] = await Promise.all([asked(old), asked(fresh)]);
      fill(this.lists, beside([old, a.items], [fresh, b.items], this.names));
    } catch (error) {
      this.problem(error);
    }
  }
}
