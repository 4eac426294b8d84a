// A text field with a list of suggestions: the combobox pattern of ARIA 1.2, by keyboard and pointer.
import { debounce, fill, h, say } from "./dom.js";

/**
 * @param {HTMLInputElement} input
 * @param {HTMLElement} list  the popup
 * @param {(text: string) => Promise<Array<{label: string, detail?: string, value: any}> | undefined>} search
 * @param {(option: object) => void} choose
 */
export function combobox(input, list, search, choose) {
  let options = [];
  let active = -1;
  const set = (name, value) => input.setAttribute(name, value);
  set("role", "combobox");
  set("aria-autocomplete", "list");
  set("aria-controls", list.id);
  set("aria-expanded", "false");
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", input.placeholder);

  const close = () => {
    list.hidden = true;
    active = -1;
    set("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  };
  const mark = (at) => {
    active = at;
    [...list.children].forEach((row, i) => row.setAttribute("aria-selected", String(i === at)));
    if (at < 0) return input.removeAttribute("aria-activedescendant");
    set("aria-activedescendant", list.children[at].id);
    return list.children[at].scrollIntoView({ block: "nearest" });
  };
  const open = async () => {
    let found;
    try {
      found = await search(input.value.trim());
    } catch {
      return close(); // what went wrong is said by whoever searched
    }
    if (!found || document.activeElement !== input) return undefined;
    options = found;
    fill(list, options.map((option, i) => h("li", { id: `${list.id}-${i}`, role: "option", "aria-selected": "false" },
      h("b", null, option.label), option.detail && h("small", null, option.detail))));
    if (!options.length) fill(list, h("li", { class: "none", role: "presentation" }, "Nothing found"));
    list.hidden = false;
    set("aria-expanded", "true");
    say(options.length ? `${options.length} suggestions` : "Nothing found");
    return mark(options.length && input.value ? 0 : -1);
  };
  const take = (at) => {
    const option = options[at];
    close();
    if (option) choose(option);
  };

  const typed = debounce(open, 120);
  input.addEventListener("input", () => {
    options = []; // Enter must not take what was found for an older text
    typed();
  });
  input.addEventListener("click", () => list.hidden && open());
  input.addEventListener("focus", () => input.select());
  input.addEventListener("blur", close);
  list.addEventListener("pointerdown", (event) => {
    event.preventDefault(); // keep the focus, or the list would close before the click
  });
  list.addEventListener("click", (event) => {
    const row = event.target.closest("[role=option]");
    if (row) take([...list.children].indexOf(row));
  });
  input.addEventListener("keydown", (event) => {
    const last = options.length - 1;
    const to = { ArrowDown: active < last ? active + 1 : 0, ArrowUp: active > 0 ? active - 1 : last }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      if (list.hidden) open();
      else if (options.length) mark(to);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (!list.hidden && active >= 0 && options.length) take(active);
      else open();
    } else if (event.key === "Escape" && !list.hidden) {
      event.stopPropagation();
      close();
    }
  });
}
