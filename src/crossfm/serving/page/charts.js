// Small charts in SVG: lines over time, bars of a funnel, intervals of an experiment.
import { fill, h } from "./dom.js";
import { clock } from "./format.js";

const [LEFT, BOTTOM, TOP] = [50, 20, 8];

/** A round number at or above `x`: 1, 2 or 5 times a power of ten. */
export function ceiling(x) {
  if (!(x > 0)) return 1;
  const unit = 10 ** Math.floor(Math.log10(x));
  return [1, 2, 5, 10].map((step) => step * unit).find((step) => step >= x * (1 - 1e-9));
}

const known = (x) => x != null && Number.isFinite(x);

/** The path of a line; a missing value leaves a gap. */
function path(values, x, y) {
  let pen = "M";
  return values.map((value, i) => {
    if (!known(value)) {
      pen = "M";
      return "";
    }
    const step = `${pen}${x(i).toFixed(1)} ${y(value).toFixed(1)}${pen === "M" ? "h0" : ""}`; // h0: one alone is a dot
    pen = "L";
    return step;
  }).join("");
}

/**
 * Lines over time with a readout under the pointer (or moved by the arrow keys).
 * @param {HTMLElement} figure  redrawn in place, so that the page does not move
 * @param {{title: string, times: number[], lines: Array<{name: string, values: number[]}>, unit: (x: number) => string}} data
 */
export function lineChart(figure, { title, times, lines, unit }) {
  const W = figure.clientWidth - 2 * parseFloat(getComputedStyle(figure).paddingLeft) || 420;
  const H = W > 320 ? 150 : 110;
  const top = ceiling(Math.max(0, ...lines.flatMap((line) => line.values.filter(known))));
  const x = (i) => LEFT + (i * (W - LEFT - 8)) / Math.max(1, times.length - 1);
  const y = (value) => H - BOTTOM - (value * (H - BOTTOM - TOP)) / top;
  const grid = [0, 0.5, 1].map((share) => [
    h("line", { class: "grid", x1: LEFT, x2: W - 8, y1: y(top * share), y2: y(top * share) }),
    h("text", { x: LEFT - 6, y: y(top * share) + 4, "text-anchor": "end" }, unit(top * share).replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, ""))]);
  const ends = times.length > 1 ? [[0, "start"], [times.length - 1, "end"]].map(([i, anchor]) => h("text", { x: x(i), y: H - 4, "text-anchor": anchor }, clock(times[i]))) : [];
  const cursor = h("line", { class: "cursor", y1: TOP, y2: H - BOTTOM, x1: -9, x2: -9 });
  const told = (line, x) => (known(x) ? (line.unit ?? unit)(x) : "–"); // a line may have a unit of its own
  const last = lines.map((line) => [...line.values].reverse().find(known));
  const texts = lines.map((line, i) => h("b", null, told(line, last[i])));
  const when = h("span", { class: "when" }, "now");
  let at = times.length - 1;
  const read = (i) => {
    at = Math.max(0, Math.min(times.length - 1, i));
    cursor.setAttribute("x1", x(at));
    cursor.setAttribute("x2", x(at));
    when.textContent = clock(times[at]);
    lines.forEach((line, j) => (texts[j].textContent = told(line, line.values[at])));
  };
  const leave = () => {
    read(times.length - 1);
    cursor.setAttribute("x1", -9);
    cursor.setAttribute("x2", -9);
    when.textContent = "now";
    lines.forEach((line, j) => (texts[j].textContent = told(line, last[j])));
  };
  const svg = h("svg", {
    width: W, height: H, role: "img", tabindex: 0, "aria-label": `${title}: ${lines.map((line, i) => `${line.name} ${known(last[i]) ? told(line, last[i]) : "no data"}`).join(", ")}`,
    onpointermove: (event) => {
      const box = svg.getBoundingClientRect();
      read(Math.round((event.clientX - box.left - LEFT) / ((W - LEFT - 8) / Math.max(1, times.length - 1))));
    },
    onpointerleave: leave,
    onblur: leave,
    onkeydown: (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step && times.length) read(at + step);
    },
  }, grid, ends, lines.map((line, i) => h("path", { class: `line l${i}`, d: path(line.values, x, y) })), cursor);
  const legend = h("span", { class: "legend" }, lines.map((line, i) => h("span", { class: `l${i}` }, h("i"), `${line.name} `, texts[i])), when);
  const focused = figure.contains(document.activeElement);
  fill(figure, h("figcaption", null, h("h3", null, title), legend), times.length ? svg : h("p", { class: "none" }, "No requests yet"));
  if (focused) svg.focus({ preventScroll: true });
}

/** Bars of how many values are in each part of a range; the readout is the line under it. */
export function histogram({ p10, p90, bars: { low, high, counts } }, unit, title) {
  const [W, H] = [300, 96]; // drawn as wide as there is room
  const most = Math.max(...counts, 1);
  const wide = W / counts.length;
  const bar = (n, i) => h("rect", { x: i * wide + 0.5, width: wide - 1, y: H - (n * H) / most, height: (n * H) / most }, h("title", null, `${unit(low + (i * (high - low)) / counts.length)} to ${unit(low + ((i + 1) * (high - low)) / counts.length)}: ${n}`));
  return h("div", { class: "histogram", role: "img", "aria-label": `${title}: a tenth below ${unit(p10)}, a tenth above ${unit(p90)}` },
    h("svg", { viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", "aria-hidden": "true" }, counts.map(bar)), h("span", { class: "ends" }, h("span", null, unit(low)), h("span", null, unit(high))));
}

/** Bars of what is left after each step; lengths are logarithmic, or ten of a million could not be seen. */
export function funnelBars(steps) {
  const most = Math.log10(1 + Math.max(...steps.map((step) => step.value), 1));
  return h("ol", { class: "bars" }, steps.map((step) => h("li", null, h("span", { class: "label" }, step.label),
    h("span", { class: "track" }, h("i", { class: "plus", style: { width: `${(100 * Math.log10(1 + step.value)) / most}%` } })), h("span", { class: "n" }, step.text))));
}

/** One row of an interval plot between `low` and `high`: a line for the interval, a dot for the estimate. */
export function interval({ rate, low, high }, from, to) {
  const share = (value) => `${Math.max(0, Math.min(100, (100 * (value - from)) / (to - from || 1)))}%`;
  return h("span", { class: "interval" },
    h("i", { class: "span", style: { left: share(low), width: `calc(${share(high)} - ${share(low)})` } }), h("i", { class: "dot", style: { left: share(rate) } }));
}

