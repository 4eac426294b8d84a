// The two lists: rows, lines between them, what moved since the last answer, and how it is shown.
import { $, calm, fill, h } from "./dom.js";
import { columns, number, percent, signed } from "./format.js";

/** Compare two answers' items: places gained by each item (null for a new one), and what is gone. */
export function changes(before, now) {
  const old = new Map(before.map((row) => [String(row.item), row.rank]));
  const moves = new Map(now.map((row) => {
    const rank = old.get(String(row.item));
    return [String(row.item), rank === undefined ? null : rank - row.rank];
  }));
  return { moves, gone: before.filter((row) => !moves.has(String(row.item))) };
}

/** The changes in words, without the item that was clicked; an empty text where nothing moved. */
export function inWords({ moves, gone }, names, now, clicked) {
  const left = gone.filter((row) => row !== clicked);
  const gains = [...moves.values()];
  const fresh = now.filter((row) => moves.get(String(row.item)) === null).map((row) => names.title(row));
  const up = gains.filter((gain) => gain > 0).length;
  const down = gains.filter((gain) => gain < 0).length;
  const some = (list) => list.slice(0, 2).join(", ") + (list.length > 2 ? ` and ${list.length - 2} more` : "");
  const parts = [];
  if (fresh.length) parts.push(`New: ${some(fresh)}.`);
  if (up || down) parts.push(`${[up && `${up} up`, down && `${down} down`].filter(Boolean).join(", ")}.`);
  if (left.length) parts.push(`Gone: ${some(left.map((row) => names.title(row)))}.`);
  return parts.join(" ");
}

function moveMark(gain) {
  if (gain === null) return h("span", { class: "move new" }, "new");
  if (!gain) return h("span", { class: "move" });
  return h("span", { class: `move ${gain > 0 ? "up" : "down"}` },
    h("span", { "aria-hidden": "true" }, `${gain > 0 ? "▲" : "▼"}${Math.abs(gain)}`),
    h("span", { class: "sr" }, `${gain > 0 ? "up" : "down"} ${Math.abs(gain)}`));
}

/** What the parts of one sign add up to. */
const sideOf = (why, sign) => (why ?? []).reduce((sum, part) => sum + Math.max(0, part.value * sign), 0);

/** The parts of a score as a strip, on one scale for all rows: losses to the left of the mark, gains to the right. */
function strip(why, { plus, minus }) {
  const bar = (part) => h("i", { style: { "flex-grow": String(Math.abs(part.value)) }, title: `${columns(part.columns)} ${signed(part.value)}` });
  const gap = (most, sign) => h("i", { class: "gap", style: { "flex-grow": String(Math.max(0, most - sideOf(why, sign))) } });
  return h("span", { class: "strip" },
    minus > 0 && h("span", { class: "minus", style: { flex: `${minus} 0 0` } }, gap(minus, -1), why.filter((part) => part.value < 0).map(bar)),
    h("span", { class: "plus", style: { flex: `${plus || 1} 0 0` } }, why.filter((part) => part.value > 0).map(bar), gap(plus, 1)));
}

function row(entry, names, { gain, score, from, extra, final }) {
  const title = names.title(entry);
  const line = names.line(entry);
  return h("li", { "data-item": String(entry.item), class: gain === null ? "fresh" : null },
    h("button", { type: "button", class: "pick", title: `${title}\nRecords a click` },
      h("span", { class: "rank" }, h("b", null, String(entry.rank)), final && moveMark(gain)),
      h("span", { class: "what" }, h("b", null, title), h("small", null, from && h("em", null, from), line)),
      h("span", { class: "score" }, number(score), extra)),
    final && h("button", { type: "button", class: "why", "aria-label": `Why ${title}`, "aria-controls": "inspector", "aria-expanded": "false", title: "Why, and similar items" }, "Why"));
}

function recallRow(entry, names) {
  const score = entry.recall_score ?? entry.score;
  return row({ ...entry, rank: entry.recall_rank ?? entry.rank }, names, { score, gain: undefined });
}

function finalRow(entry, names, gain, scale) {
  const chance = entry.probability == null ? null : h("span", { class: "chance" }, percent(entry.probability));
  const from = entry.recall_rank == null ? entry.source : `recall ${entry.recall_rank}`;
  return row(entry, names, {
    gain, from, final: true, score: entry.score, extra: entry.why?.length ? strip(entry.why, scale) : chance,
  });
}

const places = (list) => new Map([...list.children].map((el) => [el.dataset.item, el.offsetTop]));

/** Put new rows into a list and let those that stay glide from where they were. */
function swap(list, rows, animated) {
  const before = places(list);
  const focus = list.contains(document.activeElement) && {
    item: document.activeElement.closest("li").dataset.item,
    at: [...list.children].indexOf(document.activeElement.closest("li")),
    kind: document.activeElement.className,
  };
  fill(list, rows);
  if (focus) {
    const again = [...list.children].find((el) => el.dataset.item === focus.item) ?? list.children[Math.min(focus.at, list.children.length - 1)];
    again?.querySelector(`.${focus.kind}`)?.focus({ preventScroll: true });
  }
  if (!animated || calm()) return;
  for (const el of list.children) {
    const old = before.get(el.dataset.item);
    if (old === undefined) el.animate([{ opacity: 0, transform: "translateX(14px)" }, { opacity: 1, transform: "none" }], { duration: 380, easing: "ease-out" });
    else if (old !== el.offsetTop) el.animate([{ transform: `translateY(${old - el.offsetTop}px)` }, { transform: "none" }], { duration: 420, easing: "cubic-bezier(.2,.7,.2,1)" });
  }
}

function curve(from, to, width) {
  return `M0 ${from}C${width * 0.55} ${from} ${width * 0.45} ${to} ${width} ${to}`;
}

/** Lines from each item's place in the recall list to its place in the final list. */
function drawLinks(box, recalled, items, still) {
  const list = $("#recall-list");
  const size = list.firstElementChild?.offsetHeight ?? 56;
  const width = box.clientWidth || 56;
  const at = new Map(recalled.map((row, i) => [String(row.item), i]));
  const middle = (i) => i * size + size / 2;
  const lines = items.map((row, i) => {
    const from = at.get(String(row.item));
    const kind = from === undefined || from > i ? "up" : from < i ? "down" : "same";
    const place = row.recall_rank ?? null;
    if (from === undefined) {
      return h("g", { class: "far", "data-item": String(row.item) },
        h("path", { d: `M${width * 0.62} ${middle(i)}H${width}` }), h("text", { x: width * 0.56, y: middle(i) + 4 }, place === null ? "+" : String(place)));
    }
    return h("path", { class: kind, "data-item": String(row.item), d: curve(middle(from), middle(i), width) });
  });
  const height = Math.max(recalled.length, items.length) * size;
  const svg = h("svg", { width, height, viewBox: `0 0 ${width} ${height}` }, lines);
  if (!still) svg.animate([{ opacity: 0 }, { opacity: 1 }], { duration: 500, easing: "ease-in" });
  fill(box, svg);
}

/** Draw an answer; `moves` as from `changes`, null for the first answer of a user; `still` for the same answer again. */
export function drawLists(answer, names, moves, still = false) {
  const recalled = answer.recalled ?? [];
  const most = (sign) => Math.max(0, ...answer.items.map((entry) => sideOf(entry.why, sign)));
  const scale = { plus: most(1), minus: most(-1) };
  const gain = (entry) => (moves ? moves.get(String(entry.item)) : undefined);
  const none = h("li", { class: "none" }, "No items are left. Loosen the filters, or let in what was seen.");
  const kept = new Set(answer.items.map((entry) => String(entry.item)));
  swap($("#recall-list"), recalled.map((entry) => recallRow(entry, names)), Boolean(moves));
  swap($("#final-list"), answer.items.length ? answer.items.map((entry) => finalRow(entry, names, gain(entry), scale)) : [none], Boolean(moves));
  for (const el of $("#recall-list").children) el.classList.toggle("dropped", !kept.has(el.dataset.item));
  drawLinks($("#links"), recalled, answer.items, still || calm());
}

/** Light up an item in both lists and its line while it is pointed at or focused. */
export function highlights(root) {
  const mark = (event) => {
    const over = ["focusout", "pointerleave"].includes(event.type) ? event.relatedTarget : event.target;
    const item = over?.closest?.("#lists li[data-item]")?.dataset.item;
    for (const el of root.querySelectorAll("[data-item]")) el.classList.toggle("lit", el.dataset.item === item);
    root.classList.toggle("some-lit", item !== undefined);
  };
  for (const kind of ["pointerover", "pointerleave", "focusin", "focusout"]) root.addEventListener(kind, mark);
}

/** Up and down move from row to row inside a list. */
export function arrows(list) {
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const button = event.target.closest("button");
    const next = step && button && (step > 0 ? button.closest("li").nextElementSibling : button.closest("li").previousElementSibling);
    if (!next) return;
    event.preventDefault();
    next.querySelector(`.${button.className}`)?.focus();
  });
}
