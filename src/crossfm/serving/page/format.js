// Numbers, times, ids and attributes as people read them.

const whole = new Intl.NumberFormat("en");

export const count = (x) => (x == null ? "–" : whole.format(x));

/** A score or contribution with `digits` decimals and a real minus sign. */
export function number(x, digits = 2) {
  return x == null || !Number.isFinite(x) ? "–" : x.toFixed(digits).replace("-", "−");
}

export const signed = (x, digits = 2) => (x >= 0 ? "+" : "") + number(x, digits);

export const percent = (x, digits = 0) => (x == null ? "–" : `${(100 * x).toFixed(digits)} %`);

/** Milliseconds with about three figures. */
export function ms(x) {
  if (x == null || !Number.isFinite(x)) return "–";
  return `${x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x === 0 || x >= 0.1 ? x.toFixed(2) : x.toFixed(3)} ms`;
}

export function bytes(x) {
  if (x == null) return "–";
  const at = x < 1e3 ? 0 : Math.min(3, Math.floor(Math.log10(x) / 3));
  return `${(x / 1000 ** at).toFixed(at ? 1 : 0)} ${["B", "kB", "MB", "GB"][at]}`;
}

const asDate = (time) => new Date(typeof time === "number" ? time * 1000 : time);

/** "3 min ago" within a day, a date before that; `time` in unix seconds or ISO text. */
export function ago(time) {
  const date = asDate(time);
  if (time == null || Number.isNaN(date.getTime())) return "";
  const seconds = (Date.now() - date) / 1000;
  if (seconds >= 0 && seconds < 60) return "just now";
  if (seconds >= 0 && seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds >= 0 && seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return date.toLocaleDateString("en", { year: "numeric", month: "short", day: "numeric" });
}

export const clock = (time) => asDate(time).toLocaleTimeString("en", { hour: "2-digit", minute: "2-digit", hour12: false });

export function value(x) {
  if (x == null || x === "") return "–";
  if (Array.isArray(x)) return x.map(value).join(", ");
  if (typeof x === "object") return Object.keys(x).map(value).join(", ");
  return String(x);
}

/** "user_id" and "user_id, genres" as words: names of columns are the reader's own, so they stay as they are. */
export const columns = (names) => names.join(" × ");

/** What the schema says about titles and which attributes stand under a title. */
export class Names {
  constructor(schema = {}) {
    this.schema = schema;
  }

  id(row) {
    return row.item ?? row.id ?? row[this.schema.item];
  }

  title(row) {
    const title = this.schema.title && (row.attributes ?? row)[this.schema.title];
    return value(title || this.id(row));
  }

  /** Attributes but title and id, in the order of the schema: [name, text] pairs. */
  details(row) {
    const attributes = row.attributes ?? row;
    const known = (this.schema.item_columns ?? []).map((column) => column.name);
    const skip = new Set([this.schema.title, this.schema.item, "id", "item"]);
    return [...new Set([...known, ...Object.keys(attributes)])]
      .filter((name) => !skip.has(name) && typeof attributes[name] !== "undefined")
      .filter((name) => attributes[name] !== null && value(attributes[name]) !== "–")
      .map((name) => [name, value(attributes[name])]);
  }

  /** One short line under a title. */
  line(row) {
    return this.details({ attributes: row.attributes ?? {} })
      .filter(([, text]) => text.length <= 60)
      .slice(0, 3)
      .map(([, text]) => text)
      .join(" · ");
  }
}

/** An id with a few features, as a user is shown. */
export function person(user, schema) {
  const features = user.features ?? {};
  const shown = (schema.user_columns ?? []).map((column) => column.name).filter((name) => features[name] != null);
  return shown.slice(0, 4).map((name) => value(features[name])).join(" · ");
}
