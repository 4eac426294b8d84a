// The knobs above the lists, made from the schema: sliders, context, what a new visitor says, limits and filters.
import { debounce, fill, h } from "./dom.js";
import { value } from "./format.js";

const SLIDERS = [
  { name: "popularity", label: "Popularity", low: 0, high: 2, start: 1, ends: ["taste", "hits"] },
  { name: "diversity", label: "Diversity", low: 0, high: 1, start: 0, ends: ["by score", "varied"] },
  { name: "exploration", label: "Exploration", low: 0, high: 2, start: 0, ends: ["sure", "curious"] },
  { name: "temperature", label: "Temperature", low: 0, high: 1, start: 0, ends: ["by score", "by chance"] },
  { name: "freshness", label: "Freshness", low: 0, high: 2, start: 0, ends: ["any age", "new first"] },
];

function slider({ name, label, low, high, start, ends }, state, changed) {
  const shown = h("span", null, start.toFixed(2)); // no <output>: the slider says its value itself
  const input = h("input", {
    id: name, type: "range", min: low, max: high, step: 0.05, value: String(start),
    "aria-describedby": `${name}-ends`,
    oninput: () => {
      state[name] = Number(input.value);
      shown.textContent = state[name].toFixed(2);
      changed();
    },
  });
  input.value = String(start); // again, now that min and max are known
  return h("div", { class: "field slider" }, h("label", { for: name }, label, shown), input,
    h("span", { id: `${name}-ends`, class: "ends" }, h("span", null, ends[0]), h("span", null, ends[1])));
}

/** By number or alphabet, where a value is looked for; the schema has them by frequency. */
export const inOrder = (values) => [...values].sort((a, b) => String(a).localeCompare(String(b), "en", { numeric: true }));

/** A choice of one value of a column; the answer is null where nothing is said. */
function choice(id, column, set) {
  const values = inOrder(column.values);
  const select = h("select", { id, onchange: () => set(select.value === "" ? null : values[Number(select.value)]) },
    h("option", { value: "" }, "not said"), values.map((entry, i) => h("option", { value: String(i) }, value(entry))));
  return select;
}

/** Boxes for several values of a column, in a list that opens. */
function several(id, column, set, none = "any") {
  const chosen = new Set();
  const shown = h("span", null, none);
  const box = (entry) => h("label", null, h("input", {
    type: "checkbox",
    onchange: (event) => {
      if (event.target.checked) chosen.add(entry);
      else chosen.delete(entry);
      shown.textContent = chosen.size ? [...chosen].map(value).join(", ") : none;
      set(chosen.size ? [...chosen] : null);
    },
  }), value(entry));
  const details = h("details", {
    class: "several",
    onkeydown: (event) => {
      if (event.key !== "Escape" || !details.open) return;
      details.open = false;
      details.firstElementChild.focus();
    },
    onfocusout: (event) => {
      if (event.relatedTarget && !details.contains(event.relatedTarget)) details.open = false;
    },
  }, h("summary", { id, "aria-label": column.name }, shown), h("div", { class: "pop" }, inOrder(column.values).map(box)));
  return details;
}

function typed(id, numeric, set) {
  const input = h("input", {
    id, type: numeric ? "number" : "text", step: "any", placeholder: "not said", autocomplete: "off",
    oninput: () => set(input.value.trim() === "" ? null : numeric ? Number(input.value) : input.value.trim()),
  });
  return input;
}

/** The input that fits a column of the schema; `set` gets a value, a list, or null for nothing. */
export function inputFor(id, column, set) {
  if (column.values?.length && column.kind === "multi") return several(id, column, set, "not said");
  if (column.values?.length && column.kind !== "numeric") return choice(id, column, set);
  if (column.kind === "multi") return typed(id, false, (x) => set(x && x.split(",").map((part) => part.trim())));
  return typed(id, column.kind === "numeric", set);
}

const named = (id, label, input) => h("div", { class: "field" }, h("label", { for: id }, label), input);

function put(record, name, x, changed) {
  if (x === null || x === undefined) delete record[name];
  else record[name] = x;
  changed();
}

function fields(prefix, list, record, changed) {
  return list.map((column) => {
    const id = `${prefix}-${column.name}`;
    return named(id, column.name, inputFor(id, column, (x) => put(record, column.name, x, changed)));
  });
}

const limited = (schema) => (schema.item_columns ?? []).filter((column) => column.name !== schema.title);

/** Only values of a column, or a range of numbers: the form that the API's `where` has. */
function filter(column, state, changed) {
  const id = `where-${column.name}`;
  if (column.kind !== "numeric") {
    return column.values?.length > 1 && named(id, `${column.name} only`, several(id, column, (x) => put(state.where, column.name, x, changed)));
  }
  const range = {};
  const set = (end) => (x) => {
    if (x === null) delete range[end];
    else range[end] = x;
    put(state.where, column.name, Object.keys(range).length ? { ...range } : null, changed);
  };
  const from = typed(id, true, set("min"));
  const to = typed(`${id}-to`, true, set("max"));
  [from.placeholder, to.placeholder] = ["from", "to"];
  to.setAttribute("aria-label", `${column.name} to`);
  return named(id, column.name, h("span", { class: "pair" }, from, to));
}

function cap(column, state, changed) {
  if (column.kind === "numeric" || !(column.values?.length > 1)) return null;
  const id = `cap-${column.name}`;
  const input = typed(id, true, (x) => put(state.caps, column.name, x >= 1 ? Math.floor(x) : null, changed));
  input.min = 1;
  input.step = 1;
  input.placeholder = "no limit";
  return named(id, `at most per ${column.name}`, input);
}

function some(id, label, values, state, name, changed) {
  const select = h("select", { id, onchange: () => {
    state[name] = select.value === "" ? null : Number(select.value);
    changed();
  } }, values.map((x) => h("option", { value: x ?? "" }, x ?? "as set up")));
  select.value = state[name] ?? "";
  return named(id, label, select);
}

const fresh = () => ({
  popularity: 1, diversity: 0, exploration: 0, temperature: 0, freshness: 0, n: 10, candidates: null, excludeSeen: true, context: {}, where: {}, caps: {},
});

/** How many knobs are not where they start. */
function moved(state) {
  const start = fresh();
  const plain = ["popularity", "diversity", "exploration", "temperature", "freshness", "n", "candidates", "excludeSeen"].filter((name) => state[name] !== start[name]);
  return plain.length + [state.context, state.where, state.caps].reduce((sum, record) => sum + Object.keys(record).length, 0);
}

/** Draw the knobs into `form`; `changed()` follows each move, late enough that a drag asks a few times a second. */
export function controls(form, schema, state, changed) {
  const later = debounce(changed, 90);
  const tell = () => {
    const n = moved(state);
    document.querySelector("#adjusted").textContent = n ? `${n} changed` : "";
    later();
  };
  const draw = () => {
    Object.assign(state, fresh());
    const seen = h("input", { type: "checkbox", id: "seen", checked: true, onchange: () => {
      state.excludeSeen = seen.checked;
      tell();
    } });
    const sliders = SLIDERS.filter(({ name }) => name !== "freshness" || schema.item_time);
    const context = fields("context", schema.context ?? [], state.context, tell);
    fill(form,
      h("fieldset", { class: "sliders" }, h("legend", { class: "sr" }, "Weights"), sliders.map((each) => slider(each, state, tell))),
      context.length > 0 && h("fieldset", { id: "context" }, h("legend", null, "Context"), context),
      h("details", { class: "more" }, h("summary", null, "Filters and limits"),
        h("div", { class: "grid" }, limited(schema).map((column) => filter(column, state, tell)), limited(schema).map((column) => cap(column, state, tell)),
          some("n", "length of the lists", [5, 10, 20, 50], state, "n", tell),
          some("candidates", "candidates to rank", [null, 50, 100, 300, 500, 1000], state, "candidates", tell),
          h("label", { class: "check" }, seen, "leave out what was seen"))),
      h("button", { type: "button", class: "quiet", onclick: () => {
        draw();
        tell();
      } }, "Reset"));
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  draw();
}

/** What a visitor without an id may say of himself, from the columns of the user table. */
export function visitor(schema, record, changed) {
  const list = fields("about", schema.user_columns ?? [], record, debounce(changed, 90));
  return list.length ? h("details", { class: "more" }, h("summary", null, "About the visitor"), h("div", { class: "grid" }, list)) : null;
}
