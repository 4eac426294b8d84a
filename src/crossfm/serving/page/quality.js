// Cards about what goes out and what comes in: scores and where they come from, and checks of the data.
import { table } from "./cards.js";
import { histogram } from "./charts.js";
import { h } from "./dom.js";
import { count, number, percent } from "./format.js";

const middle = (each, text) => `half of them from ${text(each.p25)} to ${text(each.p75)}`;

/** Histograms of scores, chances and the items' own part. */
export function scores({ score, probability, popularity, own_share: own }) {
  const bars = (title, each, text, note) => each && h("figure", { class: "chart" }, h("figcaption", null, h("h3", null, title), h("span", { class: "legend" }, "median ", h("b", null, text(each.p50)))),
    histogram(each, text, title), h("p", { class: "note" }, `${count(each.count)}, ${middle(each, text)}.`, note));
  const drawn = [bars("Final scores", score, number), bars("Calibrated chances", probability, (x) => percent(x, x < 0.1 ? 1 : 0)),
    bars("Own part of the items", own, percent, own && ` Mean ${percent(own.mean)} of what lifts the shown items above the average one, in recall's score; the rest are pairs with the query. Near 100 % everybody gets the same list.`),
    !score && bars("Popularity, where nothing was known", popularity, number)].filter(Boolean);
  return drawn.length ? h("div", { class: "small three" }, drawn) : h("p", { class: "none" }, "No answers yet");
}

const WORDS = {
  "unknown users": ["users whom nobody knows", "requests with a user"],
  "unknown items": ["events for items that are not in the catalogue", "events"],
  "events in the future": ["events more than 5 minutes ahead of the server's clock", "events"],
  "old events": ["events older than 30 days", "events"],
  "items without attributes": ["items without any attribute", "items"],
  "context missing": ["without a value", "requests"],
  "context never met": ["a value that training never met", "requests"],
  "context drift": ["how far values moved from training (PSI)", "known values"],
};
const VERDICT = { ok: "ok", look: "look at this", "too few": "too few to tell" };

/** One line for each check, those that ask for a look first. */
export function checks({ checks: lines, seconds }) {
  const order = (line) => ["look", "ok", "too few"].indexOf(line.verdict);
  const show = (line, x) => (x == null ? "–" : line.check === "context drift" ? number(x) : percent(x, x > 0 && x < 0.1 ? 1 : 0));
  const row = (line) => {
    const [text, of] = WORDS[line.check] ?? [line.check, ""];
    return [[line.column && h("b", null, `${line.column}: `), text], h("span", { class: { look: "bad", ok: "good" }[line.verdict] ?? "soft" }, VERDICT[line.verdict] ?? line.verdict), show(line, line.share), show(line, line.limit), `${count(line.of)} ${of}`];
  };
  const looks = lines.filter((line) => line.verdict === "look").length;
  return [h("p", { class: looks ? "verdict bad" : "verdict good" }, looks ? `${looks} of ${lines.length} checks ask for a look.` : "Nothing asks for a look."),
    table("Checks of the data", ["what", "verdict", "#share", "#limit", "#of"], [...lines].sort((a, b) => order(a) - order(b)).map(row)),
    h("p", { class: "note" }, `Requests and events of the last ${Math.round(seconds / 60)} minutes.`)];
}
