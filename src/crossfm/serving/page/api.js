// Talks to the HTTP API that serves this page; every failure becomes an ApiError that says what to do.

const BASE = new URL("v1/", document.baseURI);
const KEY = "crossfm-key";

export class ApiError extends Error {
  constructor(message, { status = 0, type = "offline", wait = null, id = null } = {}) {
    super(message);
    Object.assign(this, { status, type, wait, id });
  }

  /** Whether asking again later may help without doing anything. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 502;
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (text) => (text ? sessionStorage.setItem(KEY, text) : sessionStorage.removeItem(KEY)),
};

async function failure(response) {
  const error = (await response.json().catch(() => null))?.error ?? {};
  const wait = Number(response.headers.get("Retry-After")) || null;
  const text = error.message ?? `${response.status} ${response.statusText}`;
  return new ApiError(error.field ? `${error.field}: ${text}` : text, {
    status: response.status, type: error.type ?? "error", wait, id: error.request_id ?? response.headers.get("X-Request-ID"),
  });
}

/** Send and return the parsed answer; AbortError passes through, everything else is an ApiError. */
export async function call(method, path, body, { signal } = {}) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key.get()) headers["X-API-Key"] = key.get();
  let response;
  try {
    response = await fetch(new URL(path, BASE), {
      method, headers, signal, cache: "no-store", body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server does not answer. Is it running, and is the network up?");
  }
  if (!response.ok) throw await failure(response);
  const version = response.headers.get("X-Model-Version");
  document.dispatchEvent(new CustomEvent("answered", { detail: { version, method } }));
  return response.status === 204 ? null : response.json();
}

export const get = (path, options) => call("GET", path, undefined, options);
export const post = (path, body, options) => call("POST", path, body, options);

/** `path` with the parameters that are not empty. */
export function query(path, parameters) {
  const text = new URLSearchParams(Object.entries(parameters).filter(([, x]) => x !== "" && x != null)).toString();
  return text ? `${path}?${text}` : path;
}

/** The rows of a listing, whatever they are called. */
export const rows = (answer) => (Array.isArray(answer) ? answer : Object.values(answer ?? {}).find(Array.isArray) ?? []);

/** Calls of one kind, of which only the last counts: an earlier one is given up when the next begins. */
export class Latest {
  async run(work) {
    this.controller?.abort();
    const mine = (this.controller = new AbortController());
    try {
      const result = await work(mine.signal);
      return mine.signal.aborted ? undefined : result;
    } catch (error) {
      if (mine.signal.aborted) return undefined;
      throw error;
    }
  }
}

/** An id for an event, so that sending it twice stores it once. */
export function eventKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (x) => x.toString(16).padStart(2, "0")).join("");
}
