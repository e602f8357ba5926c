// @ts-check
// The REST API: requests, and errors with a sentence for people.
//
// The browser adds the session cookie, and the headers Sec-Fetch-Site and Origin, by which the server rejects forged
// requests of other sites. For a browser without them, a POST or DELETE has a Content-Type even without a body.

/** The server refused: `status` and `code` are for programs, `message` is a sentence for people. */
export class Refused extends Error {
  /**
   * @param {number} status
   * @param {{ error?: string, code?: string, call_id?: string } | null} body
   */
  constructor(status, body) {
    super(body?.error ?? `The server answered with status ${status}.`);
    this.status = status;
    this.code = body?.code ?? "unknown";
    this.body = body ?? {};
  }
}

/** The codes of 429 that end as soon as this person's other requests do. */
const BUSY = new Set(["too_much_unread", "too_much_uploading"]);

/** The server cannot be reached, or asks for a retry (503, and 429 while other requests are under way). */
export class ServerGone extends Error {
  /** @param {boolean} mayHaveArrived whether the request may have changed something: only its answer is missing */
  constructor(mayHaveArrived) {
    super("The server cannot be reached.");
    this.mayHaveArrived = mayHaveArrived;
  }
}

/** @param {unknown} error */
export const messageOf = (error) => (error instanceof Error ? error.message : String(error));

/** Runs whenever the server answers that nobody is signed in. */
let onSignedOut = () => {};

/** @param {() => void} listener */
export function whenSignedOut(listener) {
  onSignedOut = listener;
}

/** How far the server's clock is ahead of this device's, in seconds, by the header `Date` of its last answer. */
let serverClockLead = 0;

/**
 * A moment of this device's clock in seconds of the server's.
 * @param {number} time in milliseconds
 */
export const onServerClock = (time) => time / 1000 + serverClockLead;

/** @param {Response} response */
function noteServerClock({ headers }) {
  const date = Date.parse(headers.get("date") ?? "");
  if (!Number.isNaN(date)) {
    serverClockLead = (date - Date.now()) / 1000;
  }
}

/**
 * @typedef {object} RequestOptions
 * @property {boolean} [keepalive] finish the request even if the page is closed
 * @property {number} [timeout] in milliseconds
 */

/**
 * @param {"GET" | "POST" | "DELETE"} method
 * @param {string} path
 * @param {RequestOptions & { body?: BodyInit, type?: string }} options
 * @returns {Promise<any>} the JSON of the answer
 */
async function request(method, path, { body, type = "application/json", keepalive = false, timeout = 20_000 }) {
  /** @type {Response} */
  let response;
  try {
    response = await fetch(path, {
      method,
      keepalive,
      cache: "no-store",
      headers: method === "GET" ? {} : { "content-type": type },
      body,
      signal: AbortSignal.timeout(timeout),
    });
  } catch {
    throw new ServerGone(method !== "GET");
  }
  noteServerClock(response);
  let answer;
  try {
    answer = await response.json();
  } catch (error) {
    if (response.ok && !(error instanceof SyntaxError)) {
      throw new ServerGone(method !== "GET"); // the connection broke within the answer
    }
    answer = null;
  }
  if (response.ok) {
    return answer;
  }
  if (response.status === 503 || BUSY.has(answer?.code)) {
    throw new ServerGone(false);
  }
  if (response.status === 401 && path !== "/login") {
    onSignedOut();
  }
  throw new Refused(response.status, answer);
}

/**
 * @param {string} path
 * @param {RequestOptions} [options]
 */
export const get = (path, options = {}) => request("GET", path, options);

/**
 * @param {string} path
 * @param {object} [body]
 * @param {RequestOptions} [options]
 */
export const post = (path, body = {}, options = {}) =>
  request("POST", path, { ...options, body: JSON.stringify(body) });

/**
 * Deletes what a path names.
 * @param {string} path
 */
export const remove = (path) => request("DELETE", path, {});

/**
 * Posts raw bytes, for the media routes.
 * @param {string} path
 * @param {Uint8Array<ArrayBuffer>} body
 */
export const postBytes = (path, body) => request("POST", path, { body, type: "application/octet-stream" });

/** For small requests whose answer a call waits for, in milliseconds. */
export const SHORT_TIMEOUT = 6_000;

/** @returns {Promise<RTCIceServer[]>} */
export async function fetchIceServers() {
  const { ice_servers: servers } = await get("/calls/ice", { timeout: SHORT_TIMEOUT });
  return servers;
}

/** @param {number} milliseconds */
export const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * Retries `action` while the server is gone and `isWanted()` holds, with pauses that grow from a quarter of a second to
 * four. A refusal is thrown at once.
 * @template T
 * @param {() => Promise<T>} action
 * @param {() => boolean} isWanted
 * @returns {Promise<T>}
 */
export async function retryWhileOffline(action, isWanted) {
  let mayHaveArrived = false;
  for (let wait = 250; ; wait = Math.min(wait * 2, 4_000)) {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof ServerGone)) {
        throw error;
      }
      mayHaveArrived ||= error.mayHaveArrived;
    }
    if (isWanted()) {
      await pause(wait);
    }
    if (!isWanted()) {
      throw new ServerGone(mayHaveArrived);
    }
  }
}

/**
 * For {@link retryWhileOffline}: true for so many milliseconds from now.
 * @param {number} milliseconds
 */
export function within(milliseconds) {
  const deadline = performance.now() + milliseconds;
  return () => performance.now() < deadline;
}
