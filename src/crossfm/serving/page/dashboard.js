// The view of the server: load and times, the funnel, scores, coverage, checks, the map, versions, experiments, health.
import { get, post } from "./api.js";
import { card, changed, table, tile } from "./cards.js";
import { funnelBars, interval, lineChart } from "./charts.js";
import { Compare } from "./compare.js";
import { fill, h, say } from "./dom.js";
import { ago, bytes, clock, count, ms, number, percent } from "./format.js";
import { ItemMap } from "./map.js";
import { checks, scores } from "./quality.js";

const EVERY = 5; // seconds between two looks
const STAGES = ["total", "query", "recall", "rank", "rerank"];
const rate = (x) => (x >= 100 ? x.toFixed(0) : x >= 1 ? x.toFixed(1).replace(/\.0$/, "") : Number(x.toFixed(2)).toString());

export class Dashboard {
  constructor(root, { schema, names, problem }) {
    Object.assign(this, { root, schema, names, problem, titles: new Map(), shown: false });
    this.tiles = h("dl", { class: "tiles", id: "tiles" });
    this.charts = new Map(["load", "coverage", ...STAGES].map((name) => [name, h("figure", { class: name === "load" || name === "total" ? "chart card" : "chart", id: `chart-${name}` })]));
    const figure = (name) => this.charts.get(name);
    this.boxes = Object.fromEntries(["stages", "funnel-mean", "index", "scores", "coverage", "checks", "map", "models", "compare", "experiments", "health", "routes"].map((name) => [name, h("div", { id: `${name}-body` }, h("p", { class: "none" }, "Loading"))]));
    const box = this.boxes;
    fill(root, this.tiles, h("div", { class: "two" }, figure("load"), figure("total")),
      card("stages", "Stages", h("div", { class: "small" }, STAGES.slice(1).map(figure)), box.stages),
      h("div", { class: "two" }, card("funnel-mean", "Funnel", box["funnel-mean"]), card("index", "Index", box.index)),
      card("scores", "Scores of the last hour", box.scores),
      h("div", { class: "two" }, card("coverage", "Coverage", figure("coverage"), box.coverage), card("health", "Health", box.health)),
      card("checks", "Data checks", box.checks), card("map", "Item map", box.map),
      card("models", "Model versions", box.models), card("compare", "Two versions side by side", box.compare), card("experiments", "Experiments", box.experiments), card("routes", "Requests", box.routes));
    this.compare = new Compare(box.compare, { names, problem });
    this.map = new ItemMap(box.map, { schema, names, problem });
    document.addEventListener("visibilitychange", () => this.tick());
    addEventListener("resize", () => this.shown && this.stats && this.drawCharts(this.stats));
  }

  show(shown) {
    if (shown === this.shown) return;
    this.shown = shown;
    this.tick();
  }

  /** Look now and again later, while somebody can see it. */
  async tick() {
    clearTimeout(this.timer);
    if (!this.shown || document.hidden) return;
    this.timer = setTimeout(() => this.tick(), EVERY * 1000);
    try {
      const stats = await get("stats");
      this.draw(stats);
      await this.health(stats);
    } catch (error) {
      this.problem(error, () => this.tick());
    }
  }

  draw(stats) {
    if (!this.shown) return; // the answer came after the reader had left: there is no width to draw in
    this.drawTiles(stats);
    this.drawCharts(stats);
    this.drawStages(stats);
    this.drawFunnel(stats.funnel ?? {});
    this.drawIndex(stats.index ?? {});
    this.drawCoverage(stats.coverage ?? {});
    if (stats.scores && changed(this.boxes.scores, stats.scores)) fill(this.boxes.scores, scores(stats.scores));
    if (stats.quality && changed(this.boxes.checks, stats.quality.checks)) fill(this.boxes.checks, checks(stats.quality));
    this.map.show(stats.version);
    this.models(stats.models ?? {});
    this.experiments(stats.experiments ?? []);
    if (changed(this.boxes.routes, stats.routes)) {
      fill(this.boxes.routes, table("Requests by route", ["route", "#count", "#failed", "#p50", "#p99"],
        (stats.routes ?? []).map((row) => [row.route, count(row.count), count(row.errors), ms(row.p50), ms(row.p99)])));
    }
  }

  drawTiles(stats) {
    const stage = (stats.stages ?? []).find((row) => row.stage === "total") ?? {};
    const failed = (stats.qps?.errors ?? []).slice(-12).reduce((sum, x) => sum + x, 0);
    const recent = (stats.qps?.series ?? []).slice(-12);
    const mean = recent.length ? recent.reduce((sum, x) => sum + x, 0) / recent.length : null;
    const recall = stats.index?.recall ?? {};
    const counts = stats.counts ?? {};
    fill(this.tiles, tile("Requests a second", mean == null ? "–" : rate(mean), "last minute"),
      tile("Answer, median", ms(stage.p50), stage.p99 == null ? "" : `p99 ${ms(stage.p99)}`),
      tile("Refused or failed", failed ? rate((failed * (stats.qps?.step_seconds ?? 5)) / 1) : "0", "last minute", failed > 0),
      tile("Index recall", recall.value == null ? "exact" : percent(recall.value, 1), recall.target == null ? "" : `target ${percent(recall.target, 0)}`, recall.value < recall.target),
      tile("Coverage", percent(stats.coverage?.share, 1), `${count(stats.coverage?.distinct_items)} items shown`),
      tile("Items", count(stats.index?.n_items ?? counts.model_items), `${count(counts.model_users)} users in the model`),
      tile("Events stored", count(counts.events), counts.impressions == null ? "" : `${count(counts.impressions)} impressions`),
      tile("Memory", bytes(stats.memory_bytes), `up ${duration(stats.uptime_seconds)}`));
  }

  drawCharts(stats) {
    this.stats = stats;
    this.drawLoad(stats);
    const { begin, step_seconds: step = 60, answers = [], stages = {}, coverage = [], gini = [] } = stats.course ?? {};
    const times = answers.map((_, i) => begin + i * step);
    for (const stage of STAGES) {
      const { p50 = [], p99 = [] } = stages[stage] ?? {};
      lineChart(this.charts.get(stage), { title: stage === "total" ? "Answer, all stages" : stage, times: p50.length ? times : [], lines: [{ name: "p50", values: p50 }, { name: "p99", values: p99 }], unit: ms });
    }
    const lines = [{ name: "coverage", values: coverage, unit: (x) => percent(x, 1) }, { name: "Gini", values: gini }];
    lineChart(this.charts.get("coverage"), { title: "By the minute", times, lines, unit: number });
  }

  drawLoad({ qps }) {
    if (!qps) return;
    const times = qps.series.map((_, i) => qps.end - (qps.series.length - 1 - i) * qps.step_seconds);
    const lines = [{ name: "all", values: qps.series }];
    if (qps.errors) lines.push({ name: "refused or failed", values: qps.errors });
    lineChart(this.charts.get("load"), { title: "Requests a second", times, lines, unit: rate });
  }

  drawStages(stats) {
    if (!changed(this.boxes.stages, stats.stages)) return;
    const ordered = [...(stats.stages ?? [])].sort((a, b) => place(a.stage) - place(b.stage));
    fill(this.boxes.stages, table("Times of the stages", ["stage", "#a second", "#mean", "#p50", "#p95", "#p99"],
      ordered.map((row) => [row.stage, rate((row.recent ?? 0) / (stats.window_seconds ?? 300)), ms(row.mean), ms(row.p50), ms(row.p95), ms(row.p99)])),
    h("p", { class: "note" }, `Quantiles of the last ${Math.round((stats.window_seconds ?? 300) / 60)} minutes; the charts show each minute that the server remembers, up to four hours.`));
  }

  drawFunnel(funnel) {
    if (!changed(this.boxes["funnel-mean"], funnel)) return;
    const steps = ["catalogue", "allowed", "recalled", "ranked", "returned"].filter((name) => funnel[name] != null).map((name) => ({ label: name, value: funnel[name], text: count(Math.round(funnel[name])) }));
    fill(this.boxes["funnel-mean"], steps.length ? [funnelBars(steps), h("p", { class: "note" }, `Means of ${count(funnel.answers)} answers, on a logarithmic scale.`,
      funnel.known == null ? "" : ` ${percent(funnel.known)} were for users that the model or the history knows.`)] : h("p", { class: "none" }, "No answers yet"));
  }

  drawIndex(index) {
    if (!changed(this.boxes.index, index)) return;
    const { recall, ...plain } = index;
    const pairs = [["kind", index.kind === "exact" ? "exact: every item is compared" : index.kind], ["items", count(index.n_items)], ["numbers an item", count(index.dim)], ["size", bytes(index.bytes)]];
    if (recall) pairs.push(["measured recall", `${percent(recall.value, 2)} of the true best${recall.k == null ? "" : ` ${recall.k}`}`], ["target", percent(recall.target, 0)], ["probes", recall.probes == null ? null : count(recall.probes)]);
    for (const [name, x] of Object.entries(plain)) if (!["kind", "n_items", "dim", "bytes"].includes(name) && typeof x !== "object") pairs.push([name, String(x)]);
    fill(this.boxes.index, h("dl", null, pairs.filter(([, text]) => text && text !== "–").map(([name, text]) => [h("dt", null, name), h("dd", null, text)])));
  }

  async drawCoverage(coverage) {
    if (!changed(this.boxes.coverage, coverage)) return;
    const top = (coverage.top ?? []).slice(0, 5);
    await Promise.all(top.map((row) => this.title(row.item)));
    const most = Math.max(...top.map((row) => row.share), 1e-9);
    fill(this.boxes.coverage, h("p", { class: "big" }, percent(coverage.share, 1), h("small", null, ` of the catalogue in the last ${count(coverage.answers)} answers`)),
      coverage.gini != null && h("p", { class: "note" }, `Gini ${number(coverage.gini)}: 0 when the shown items are shown alike, near 1 when a few fill the lists.`),
      top.length > 0 && [h("h3", null, "Shown most"), h("ol", { class: "bars" }, top.map((row) => h("li", null, h("span", { class: "label", title: this.titles.get(row.item) }, this.titles.get(row.item)),
        h("span", { class: "track" }, h("i", { class: "plus", style: { width: `${(100 * row.share) / most}%` } })), h("span", { class: "n" }, percent(row.share)))))]);
  }

  /** The title of an item, asked once. */
  async title(item) {
    if (this.titles.has(item)) return;
    this.titles.set(item, String(item));
    const row = await get(`items/${encodeURIComponent(item)}`).catch(() => null);
    if (row) this.titles.set(item, this.names.title(row));
  }

  async health({ store, draining, models }) {
    const look = async (path) => {
      const begin = performance.now();
      const text = await get(`../health/${path}`).then(() => "yes", (error) => error.message);
      return [path, text === "yes" ? `yes, in ${ms(performance.now() - begin)}` : text, text === "yes"];
    };
    const checks = await Promise.all([look("live"), look("ready")]);
    fill(this.boxes.health, h("dl", null, checks.map(([name, text, good]) => [h("dt", null, name), h("dd", { class: good ? "good" : "bad" }, text)]), h("dt", null, "store"), h("dd", { class: store === "ok" ? "good" : "bad" }, store ?? "–"), h("dt", null, "worker"), h("dd", null, draining ? "is about to end" : "takes requests"),
      models?.refused?.length > 0 && [h("dt", null, "refused"), h("dd", { class: "bad" }, models.refused.map((row) => `${row.version}: ${row.reason}`).join("; "))],
      h("dt", null, "looked at"), h("dd", null, clock(Date.now() / 1000))));
  }

  models(answer) {
    this.compare.draw(answer);
    if (!changed(this.boxes.models, answer)) return;
    const now = answer.current;
    const line = (row) => [row.version, ago(row.created) || "–", row.n_items == null ? "–" : count(row.n_items), quality(row), row.version === now ? h("b", { class: "good" }, "answers")
      : row.error ? h("span", { title: row.error }, "damaged") : h("button", { type: "button", onclick: () => this.change("models/activate", { version: row.version }) }, "Activate", h("span", { class: "sr" }, ` ${row.version}`))];
    fill(this.boxes.models, table("Model versions", ["version", "made", "#items", "measured", "#"], (answer.versions ?? []).map(line)),
      h("p", { class: "buttons" }, h("button", { type: "button", disabled: !answer.previous, onclick: () => this.change("models/rollback") }, answer.previous ? `Roll back to ${answer.previous}` : "Roll back")));
  }

  async change(path, body) {
    try {
      const { version } = await post(path, body);
      say(`Version ${version} answers now.`);
      this.models(await get("models"));
    } catch (error) {
      this.problem(error);
    }
  }

  experiments(list) {
    if (!changed(this.boxes.experiments, list)) return;
    fill(this.boxes.experiments, list.length ? list.map(experiment) : h("p", { class: "none" }, "No experiment is running; the server's settings name them."));
  }
}

/** Up to two measures that the bundle brings along. */
function quality({ metrics }) {
  const plain = Object.entries(metrics ?? {}).filter(([, x]) => typeof x === "number");
  return plain.slice(0, 2).map(([name, x]) => `${name} ${number(x, 3)}`).join(", ") || "–";
}

/** What a variant sets, in words. */
const settings = ({ name, weight, ...rest }) => Object.entries(rest).filter(([, x]) => x != null).map(([key, x]) => `${key} ${x}`).join(", ") || "as asked";

/** One experiment: a row a variant, the share of users with an event and its interval on a common scale. */
function experiment(each) {
  const outcome = new Map((each.outcome ?? []).map((row) => [row.variant, row]));
  const ends = [...outcome.values()].flatMap((row) => [row.low, row.high]);
  const pad = 0.06 * (Math.max(...ends) - Math.min(...ends) || 1);
  const [low, high] = [Math.min(...ends) - pad, Math.max(...ends) + pad];
  const line = (variant) => {
    const row = outcome.get(variant.name);
    return [variant.name, settings(variant), ...(row ? [count(row.users), percent(row.rate, 1), `${percent(row.low, 1)} to ${percent(row.high, 1)}`, interval(row, low, high)] : ["0", "–", "–", ""])];
  };
  return [h("h3", null, each.name), table(`Experiment ${each.name}`, ["variant", "sets", "#users", `#with a ${each.event}`, "#95 % interval", "#"], each.variants.map(line)),
    h("p", { class: "note" }, `${percent(each.share)} of the users take part; events count within ${duration(each.window_seconds)} of the first list.`)];
}

const place = (stage) => (STAGES.indexOf(stage) + STAGES.length - 1) % STAGES.length + (STAGES.includes(stage) ? 0 : 9);

function duration(seconds) {
  if (seconds == null) return "–";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
}
