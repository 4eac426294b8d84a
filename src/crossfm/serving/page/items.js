// The view of the catalogue: search, look at an item, change or add one, take one out.
import { Latest, call, get, post, query, rows } from "./api.js";
import { userField } from "./cards.js";
import { inOrder, inputFor } from "./controls.js";
import { debounce, fill, h, say, skeleton } from "./dom.js";
import { count } from "./format.js";
import { Inspector, reasons } from "./inspector.js";

const PAGE = 20;

export class Items {
  constructor(root, { schema, names, problem }) {
    Object.assign(this, { root, schema, names, problem, offset: 0, loads: new Latest() });
    this.input = h("input", { id: "item-search", type: "search", placeholder: "Title or id", autocomplete: "off", oninput: debounce(() => this.load(0), 150) });
    this.list = h("ol", { class: "plain", id: "item-list" }, skeleton(8));
    this.pager = h("p", { class: "buttons" });
    this.panel = h("section", { class: "card", id: "item-panel", "aria-live": "polite" }, h("p", { class: "none" }, "Choose an item, or add one."));
    fill(root, h("section", { class: "card" }, h("div", { class: "head" }, h("h2", null, "Items"), h("button", { type: "button", class: "main", onclick: () => this.edit(null) }, "New item")),
      h("div", { class: "field" }, h("label", { for: "item-search" }, "Search"), this.input), this.list, this.pager), this.panel);
  }

  /** The list, and the item that the address names. */
  async go(id) {
    const loads = this.load();
    if (id) await get(`items/${encodeURIComponent(id)}`).then((item) => this.show(item)).catch((error) => this.problem(error, () => this.go(id)));
    return loads;
  }

  async load(offset = this.offset) {
    this.offset = offset;
    try {
      const path = query("items", { search: this.input.value.trim(), limit: PAGE, offset });
      const answer = await this.loads.run((signal) => get(path, { signal }));
      if (answer) this.draw(rows(answer));
    } catch (error) {
      this.problem(error, () => this.load());
    }
  }

  draw(found) {
    const { names } = this;
    fill(this.list, found.length ? found.map((item) => h("li", null, h("button", { type: "button", class: "open", onclick: () => this.show(item) },
      h("span", { class: "what" }, h("b", null, names.title(item)), h("small", null, names.line({ attributes: Object.fromEntries(names.details(item)) })))))) : h("li", { class: "none" }, "Nothing found."));
    const turn = (text, offset, off) => h("button", { type: "button", disabled: off, onclick: () => this.load(offset) }, text);
    fill(this.pager, turn("Previous", Math.max(0, this.offset - PAGE), this.offset === 0), turn("Next", this.offset + PAGE, found.length < PAGE));
    say(`${found.length} items`);
  }

  show(item) {
    const { names } = this;
    const similar = h("div", null, h("ol", { class: "plain" }, skeleton(4)));
    const why = h("div", { id: "item-why", "aria-live": "polite" });
    fill(this.panel, h("div", { class: "head" }, h("h2", { tabindex: -1 }, names.title(item)), h("span", { class: "buttons" },
      h("button", { type: "button", onclick: () => this.edit(item) }, "Edit"), h("button", { type: "button", class: "danger", onclick: (event) => this.remove(item, event.target) }, "Delete"))),
      h("dl", null, h("dt", null, "id"), h("dd", null, String(names.id(item))), names.details(item).map(([name, text]) => [h("dt", null, name), h("dd", null, text)]), this.lately(item)),
      h("h3", null, "What its score is made of"), userField("why-user", "For user", "Show", (user) => this.why(item, user, why)), why,
      h("h3", null, "Similar"), similar);
    this.panel.querySelector("h2").focus({ preventScroll: true });
    if (this.panel.getBoundingClientRect().top > innerHeight * 0.7) this.panel.scrollIntoView();
    const opened = { context: { names }, open: (row) => get(`items/${encodeURIComponent(row.item)}`).then((found) => this.show(found)).catch((error) => this.problem(error)) };
    Inspector.prototype.similar.call(opened, { item: names.id(item) }).then((drawn) => fill(similar, drawn))
      .catch(() => fill(similar, h("p", { class: "none" }, "Not loaded.")));
  }

  /** How often it was shown and chosen, once the server has looked. */
  lately(item) {
    const place = h("div", { class: "pairs" });
    get(`items/${encodeURIComponent(this.names.id(item))}/lately`).then((late) => {
      const types = Object.entries(late.types).map(([type, n]) => `${count(n)} ${type}`).join(", ") || "none";
      fill(place, h("dt", null, "shown"), h("dd", null, `in ${count(late.shown)} of the latest ${count(late.answers)} answers`), h("dt", null, "events"), h("dd", null, `${types}, of the latest ${count(late.events)}`));
    }).catch(() => place.remove());
    return place;
  }

  /** The exact parts of its score for a user, or for nobody. */
  async why(item, user, box) {
    try {
      const why = await post("explain", { item: this.names.id(item), ...(user && { user }) });
      fill(box, reasons(why, this.names, this.schema.ranker));
    } catch (error) {
      this.problem(error);
    }
  }

  /** A form with the columns of the schema, filled in for an item that is there. */
  edit(item) {
    const attributes = { ...(item?.attributes ?? {}) };
    delete attributes[this.schema.item]; // the id stands in the address
    const id = h("input", { id: "edit-id", required: true, value: item ? String(this.names.id(item)) : "", readonly: Boolean(item), autocomplete: "off" });
    const columns = (this.schema.item_columns ?? []).filter((column) => column.name !== this.schema.item);
    const plain = (column) => (column.kind === "multi" || column.name === this.schema.title ? { ...column, values: null } : column);
    const field = (column) => {
      const input = inputFor(`edit-${column.name}`, plain(column), (x) => (x === null ? delete attributes[column.name] : (attributes[column.name] = x)));
      const now = attributes[column.name];
      if (now != null) input.value = input.tagName === "SELECT" ? String(inOrder(column.values).map(String).indexOf(String(now))) : Array.isArray(now) ? now.join(", ") : String(now);
      if (column.kind === "multi") input.placeholder = "several, with commas";
      return h("div", { class: "field" }, h("label", { for: input.id }, column.name), input);
    };
    const title = this.schema.title && !columns.some((column) => column.name === this.schema.title) ? [{ name: this.schema.title, kind: "categorical", values: null }] : [];
    fill(this.panel, h("form", { onsubmit: (event) => {
      event.preventDefault();
      this.save(id.value.trim(), attributes);
    } }, h("h2", null, item ? `Edit ${this.names.title(item)}` : "New item"), h("div", { class: "grid" }, h("div", { class: "field" }, h("label", { for: "edit-id" }, "id"), id), [...title, ...columns].map(field)),
      h("p", { class: "note" }, "The item's vector is computed at once from what is given here; nothing is trained again."), h("p", { class: "buttons" }, h("button", { type: "submit", class: "main" }, "Save"))));
    (item ? this.panel.querySelectorAll("input, select")[1] ?? id : id).focus();
  }

  async save(id, attributes) {
    try {
      await call("PUT", `items/${encodeURIComponent(id)}`, { attributes });
      this.show(await get(`items/${encodeURIComponent(id)}`));
      say("Saved");
      await this.load();
    } catch (error) {
      this.problem(error, () => this.save(id, attributes));
    }
  }

  /** The first press asks, the second deletes. */
  async remove(item, button) {
    if (!button.dataset.sure) {
      button.dataset.sure = "yes";
      button.textContent = "Really delete?";
      return;
    }
    try {
      await call("DELETE", `items/${encodeURIComponent(this.names.id(item))}`);
      fill(this.panel, h("p", { class: "none" }, `${this.names.title(item)} is deleted: it is in no list from now on.`));
      await this.load();
    } catch (error) {
      this.problem(error);
    }
  }
}
