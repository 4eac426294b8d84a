// Elements from data. Text goes in as text nodes only: nothing here, or anywhere on the page, parses HTML.

export const $ = (selector, root = document) => root.querySelector(selector);

const SVG = new Set(["svg", "path", "line", "text", "circle", "rect", "g", "polyline", "title"]);

/** An element: `on...` are listeners, `style` an object (CSSOM, so a strict policy allows it), the rest attributes. */
export function h(tag, props, ...children) {
  const el = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, x] of Object.entries(value)) el.style.setProperty(key, x);
    else if (name === "value" || name === "checked" || name === "indeterminate") el[name] = value;
    else el.setAttribute(name, value === true ? "" : value);
  }
  el.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return el;
}

export const fill = (el, ...children) => {
  el.replaceChildren(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return el;
};

/** Say something to screen readers, politely. */
export function say(text) {
  $("#live").textContent = text;
}

export function debounce(run, wait) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(...args), wait);
  };
}

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export function skeleton(rows) {
  return Array.from({ length: rows }, () => h("li", { class: "skeleton", "aria-hidden": "true" }));
}

/** Left and right, home and end, move among the tabs of `list`; `show(name)` draws the one that is chosen. */
export function tabs(list, show) {
  const buttons = [...list.querySelectorAll("[role=tab]")];
  const choose = (button, focus) => {
    for (const other of buttons) {
      other.setAttribute("aria-selected", String(other === button));
      other.tabIndex = other === button ? 0 : -1;
    }
    if (focus) button.focus();
    show(button.dataset.tab);
  };
  list.addEventListener("click", (event) => {
    const button = event.target.closest("[role=tab]");
    if (button) choose(button);
  });
  list.addEventListener("keydown", (event) => {
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    choose(buttons[(to + buttons.length) % buttons.length], true);
  });
}
