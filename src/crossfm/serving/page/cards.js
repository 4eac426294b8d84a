// What the cards of the dashboard are made of.
import { h } from "./dom.js";

/** Redraw only what differs from the last time, so that focus and selections stay. */
export function changed(el, data) {
  const text = JSON.stringify(data ?? null);
  if (el.dataset.shown === text) return false;
  el.dataset.shown = text;
  return true;
}

export function tile(label, text, hint, bad) {
  return h("div", { class: bad ? "tile bad" : "tile" }, h("dt", null, label), h("dd", null, text), hint && h("dd", { class: "hint" }, hint));
}

export const card = (id, title, ...inside) => h("section", { class: "card", id, "aria-labelledby": `${id}-title` }, h("h2", { id: `${id}-title` }, title), inside);

/** A table with a caption for screen readers; columns whose heads begin with # are numbers and stand right. */
export function table(caption, heads, lines) {
  return h("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: 0 }, h("table", null, h("caption", { class: "sr" }, caption),
    h("thead", null, h("tr", null, heads.map((head) => h("th", { scope: "col", class: head.startsWith("#") ? "n" : null }, head.replace("#", ""))))),
    h("tbody", null, lines.map((line) => h("tr", null, line.map((cell, i) => (i === 0 ? h("th", { scope: "row" }, cell) : h("td", { class: heads[i].startsWith("#") ? "n" : null }, cell))))))));
}

/** A choice among [value, text] pairs. */
export function choice(id, label, pairs, value, chosen) {
  const select = h("select", { id, onchange: () => chosen(select.value) }, pairs.map(([x, text]) => h("option", { value: x }, text)));
  select.value = value;
  return h("div", { class: "field" }, h("label", { for: id }, label), select);
}

/** A field for a user's id with a button; Enter presses it. */
export function userField(id, label, button, go) {
  const input = h("input", { id, type: "text", placeholder: "id", autocomplete: "off", spellcheck: "false" });
  return h("form", { class: "ask", onsubmit: (event) => {
    event.preventDefault();
    go(input.value.trim());
  } }, h("div", { class: "field" }, h("label", { for: id }, label), input), h("button", { type: "submit" }, button));
}
