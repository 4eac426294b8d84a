// The card with the items on a plane: colours by attribute, a readout, and where a user's query points.
import { get, post } from "./api.js";
import { choice, userField } from "./cards.js";
import { fill, h, say } from "./dom.js";
import { count, percent } from "./format.js";

const COLOURS = 8; // the most frequent values; the others share one
const POINTS = 2000;
const PAD = 14;

export class ItemMap {
  constructor(box, { names, problem }) {
    Object.assign(this, { box, names, problem, at: -1, only: -1, column: 0, found: [], arrow: null });
    new ResizeObserver(() => box.clientWidth !== this.width && requestAnimationFrame(() => this.draw())).observe(box);
    new MutationObserver(() => this.draw()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Load the map of a version, once. */
  async show(version) {
    if (this.version === version) return;
    this.version = version;
    try {
      const { clientWidth: width } = this.box;
      this.data = await get(`map?limit=${width < 500 ? POINTS / 4 : POINTS}`);
    } catch (error) {
      this.version = null;
      fill(this.box, h("p", { class: "none" }, error.message));
      return;
    }
    Object.assign(this, { at: -1, only: -1, column: 0, found: [], arrow: null });
    this.build();
  }

  build() {
    const { items, explained, columns, n_items: all } = this.data;
    this.canvas = h("canvas", { id: "map-canvas", tabindex: 0, role: "application", "aria-label": `Map of ${items.length} items. Arrow keys go to the nearest item in a direction, Enter opens it.`, "aria-describedby": "map-readout",
      onpointermove: (event) => this.point(event), onpointerleave: () => this.choose(-1), onclick: (event) => this.point(event, true), onkeydown: (event) => this.key(event) });
    this.legend = h("div", { class: "swatches", role: "group", "aria-label": "Show only" });
    this.readout = h("p", { id: "map-readout", class: "readout", "aria-live": "polite" });
    const colour = columns.length > 0 && choice("map-colour", "Colour by", columns.map((column, i) => [String(i), column.name]), "0", (i) => {
      Object.assign(this, { column: Number(i), only: -1 });
      this.swatches();
      this.draw();
    });
    fill(this.box, h("div", { class: "tools" }, colour, userField("map-user", "Where this user's query points", "Show", (user) => this.user(user))), this.legend, this.canvas, this.readout,
      h("p", { class: "note" }, `The ${count(items.length)} most popular of ${count(all)} items by what pairs them with a query, without their own scores. Across: ${percent(explained[0])} of how they differ, up: ${percent(explained[1])}; what is near here may be far in the other directions.`));
    this.swatches();
    this.tell();
    this.draw();
  }

  swatches() {
    const { columns, items } = this.data;
    const column = columns[this.column];
    this.groups = items.map((_, i) => Math.min(column?.codes[i][0] ?? COLOURS, COLOURS));
    const names = column ? column.values.slice(0, COLOURS) : [];
    const rest = this.groups.some((group) => group === COLOURS);
    const button = (name, code) => h("button", { type: "button", class: `swatch c${code}`, "aria-pressed": "false", onclick: (event) => {
      this.only = this.only === code ? -1 : code;
      for (const each of this.legend.children) each.setAttribute("aria-pressed", String(each === event.currentTarget && this.only >= 0));
      this.draw();
    } }, h("i"), name);
    fill(this.legend, names.map(button), rest && button(column ? "others or none" : "items", COLOURS));
  }

  /** Whether an item has the value that alone is shown. */
  shown(i) {
    if (this.only < 0) return true;
    return this.only === COLOURS ? this.groups[i] === COLOURS : this.data.columns[this.column].codes[i].includes(this.only);
  }

  place(i) {
    const { x, y } = this.data;
    return [this.middle[0] + x[i] * this.scale, this.middle[1] - y[i] * this.scale];
  }

  /** As large as there is room; both directions have one scale, and the picture is cut to where items are. */
  frame() {
    const { x, y } = this.data;
    const [left, right, low, high] = [Math.min(...x), Math.max(...x), Math.min(...y), Math.max(...y)];
    const W = (this.width = this.box.clientWidth);
    const most = Math.min(560, innerHeight * 0.75);
    this.scale = Math.min((W - 2 * PAD) / (right - left || 1), (most - 2 * PAD) / (high - low || 1));
    const H = Math.max(180, (high - low) * this.scale + 2 * PAD);
    this.middle = [W / 2 - ((left + right) / 2) * this.scale, H / 2 + ((low + high) / 2) * this.scale];
    const ratio = devicePixelRatio || 1;
    Object.assign(this.canvas, { width: W * ratio, height: H * ratio });
    Object.assign(this.canvas.style, { width: `${W}px`, height: `${H}px` });
    const pen = this.canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, W, H);
    return pen;
  }

  draw() {
    if (!this.data || !this.canvas?.isConnected || !this.box.clientWidth) return;
    const pen = this.frame();
    const style = getComputedStyle(this.box);
    const probe = h("i", { class: "swatch" });
    this.box.append(probe);
    const colours = Array.from({ length: COLOURS + 1 }, (_, code) => {
      probe.className = `swatch c${code}`;
      return getComputedStyle(probe).color;
    });
    probe.remove();
    const dot = (i, radius) => {
      const [x, y] = this.place(i);
      pen.beginPath();
      pen.arc(x, y, radius, 0, 7);
    };
    const { items } = this.data;
    const size = items.length > 800 ? 2.6 : 3.6;
    for (let i = items.length - 1; i >= 0; i -= 1) { // popular ones on top
      const on = this.shown(i);
      pen.globalAlpha = on ? 0.85 : 0.12;
      pen.fillStyle = colours[this.groups[i]];
      dot(i, on ? size : size * 0.8);
      pen.fill();
    }
    pen.globalAlpha = 1;
    pen.strokeStyle = style.color;
    pen.lineWidth = 1.6;
    for (const i of this.found) {
      dot(i, size + 3);
      pen.stroke();
    }
    if (this.arrow) this.drawArrow(pen);
    if (this.at >= 0) {
      dot(this.at, size + 3);
      pen.lineWidth = 2.5;
      pen.stroke();
    }
  }

  /** From the middle of all items to the edge of the picture. */
  drawArrow(pen) {
    const [x, y] = this.arrow;
    const [from, to] = this.middle;
    const { clientWidth: W, clientHeight: H } = this.canvas;
    const room = (at, step, size) => (step > 0 ? (size - PAD - at) / step : step < 0 ? (at - PAD) / -step : Infinity);
    const length = Math.max(20, Math.min(room(from, x, W), room(to, -y, H), this.scale));
    const tip = [from + x * length, to - y * length];
    pen.lineWidth = 2;
    pen.beginPath();
    pen.moveTo(from, to);
    pen.lineTo(...tip);
    for (const turn of [2.6, -2.6]) {
      pen.moveTo(...tip);
      pen.lineTo(tip[0] + 11 * Math.cos(Math.atan2(-y, x) + turn), tip[1] + 11 * Math.sin(Math.atan2(-y, x) + turn));
    }
    pen.stroke();
  }

  point(event, open = false) {
    const { left, top } = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - left, event.clientY - top];
    let [best, near] = [-1, 16 ** 2];
    this.data.items.forEach((_, i) => {
      if (!this.shown(i)) return;
      const [a, b] = this.place(i);
      const away = (a - x) ** 2 + (b - y) ** 2;
      if (away < near) [best, near] = [i, away];
    });
    if (open && best >= 0 && best === this.at && event.pointerType !== "touch") return this.open();
    return this.choose(best);
  }

  /** Arrow keys go to the nearest item on that side; Enter opens it. */
  key(event) {
    const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Enter" && this.at >= 0) return this.open();
    if (!step) return undefined;
    event.preventDefault();
    if (this.at < 0) return this.choose(this.data.items.findIndex((_, i) => this.shown(i)));
    const [x, y] = this.place(this.at);
    let [best, least] = [this.at, Infinity];
    this.data.items.forEach((_, i) => {
      const [a, b] = this.place(i);
      const along = (a - x) * step[0] + (b - y) * step[1];
      const across = Math.abs((a - x) * step[1] + (b - y) * step[0]);
      if (i !== this.at && this.shown(i) && along > 0.5 && across <= along && along + 2 * across < least) [best, least] = [i, along + 2 * across];
    });
    return this.choose(best);
  }

  choose(i) {
    if (i === this.at || (i < 0 && document.activeElement === this.canvas)) return;
    this.at = i;
    this.tell();
    this.draw();
  }

  tell() {
    const { items, titles, columns } = this.data;
    const { at } = this;
    if (at < 0) {
      fill(this.readout, this.told ?? "Point at an item, or use the arrow keys.");
      return;
    }
    const values = columns.map(({ values: names, codes }) => codes[at].map((code) => names[code]).join(", ")).filter(Boolean);
    fill(this.readout, h("a", { href: `#/items/${encodeURIComponent(items[at])}` }, titles[at]), values.length > 0 && h("small", null, ` ${values.slice(0, 3).join(" · ")}`));
  }

  open() {
    location.hash = `#/items/${encodeURIComponent(this.data.items[this.at])}`;
  }

  /** The direction of a user's query, and rings around what is recommended; asked of a named version, so it is not logged as shown. */
  async user(user) {
    Object.assign(this, { found: [], arrow: null, told: null });
    if (user) {
      try {
        const [way, answer] = await Promise.all([post("map/query", { user }), post("recommend", { user, n: 20, version: this.version })]);
        const places = new Map(this.data.items.map((item, i) => [String(item), i]));
        this.found = answer.items.map((row) => places.get(String(row.item))).filter((i) => i !== undefined);
        if (way.x != null && way.share > 0) this.arrow = [way.x, way.y];
        this.told = this.arrow ? `${user}: ${percent(way.share)} of the query's length lies on this plane. Rings: ${this.found.length} of the ${answer.items.length} items recommended now; where they do not lie along the arrow, their own scores or another stage decide.` : `Nothing is known about ${user}. Rings: popular items, recommended now.`;
      } catch (error) {
        this.problem(error);
      }
    }
    this.at = -1;
    this.tell();
    this.draw();
    if (this.told) say(this.told);
  }
}
