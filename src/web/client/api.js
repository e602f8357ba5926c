// @ts-check
// The REST API of one server: requests, and errors with a sentence for people.
//
// With a token, requests carry it and no cookie. Without one, the browser adds the cookie of the page's own server, and
// the headers Sec-Fetch-Site and Origin, by which the server rejects forged requests of other sites. For a browser
// without them, a POST or DELETE has a Content-Type even without a body.
//
// An action with a key is carried out once, however often it is sent. So one whose answer is lost is sent again.

import { Emitter } from "./emitter.js";
import { Tokens } from "./tokens.js";

/** @import { TokenSource } from "./tokens.js" */

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
  /**
   * @param {boolean} mayHaveArrived whether the request may have changed something: only its answer is missing
   * @param {unknown} [cause]
   */
  constructor(mayHaveArrived, cause) {
    super("The server cannot be reached.", { cause });
    this.mayHaveArrived = mayHaveArrived;
  }
}

/** Actions that would do something twice, or be refused, if they were sent again without a key. */
const ONCE = /^\/(calls|screenshare)\/[^/]+\/(dismiss|gone|invite|reject|remove|screenshare|signal)$/;

/** @param {unknown} error */
export const messageOf = (error) => (error instanceof Error ? error.message : String(error));

/** For small requests whose answer a call waits for, in milliseconds. */
export const SHORT_TIMEOUT = 6_000;

/**
 * @typedef {object} RequestOptions
 * @property {boolean} [keepalive] finish the request even if the page is closed
 * @property {number} [timeout] in milliseconds
 * @property {string} [key] an idempotency key, for a caller that repeats an action with the same body
 */

/** @extends {Emitter<{ signedOut: void, renewed: void, error: unknown }>} */
export class Api extends Emitter {
  #base;
  #tokens;
  /** How far the server's clock is ahead of this device's, in seconds, by the header `Date` of its last answer. */
  #clockLead = 0;

  /**
   * @param {object} options
   * @param {string | URL} options.server the address that the API's paths are below
   * @param {TokenSource} [options.token] without it, the page's own cookie
   */
  constructor({ server, token }) {
    super();
    this.#base = new URL(server);
    if (!this.#base.pathname.endsWith("/")) {
      this.#base.pathname += "/";
    }
    this.#tokens = new Tokens(token);
    this.#tokens.on("renewed", () => this.emit("renewed"));
    this.#tokens.on("error", (error) => this.emit("error", error));
  }

  /**
   * A moment of this device's clock in seconds of the server's.
   * @param {number} time in milliseconds
   */
  onServerClock(time) {
    return time / 1000 + this.#clockLead;
  }

  /** @param {Response} response */
  #noteServerClock({ headers }) {
    const date = Date.parse(headers.get("date") ?? "");
    if (!Number.isNaN(date)) {
      this.#clockLead = (date - Date.now()) / 1000;
    }
  }

  // ---- requests

  /**
   * @param {string} path
   * @param {RequestOptions} [options]
   */
  get(path, options = {}) {
    return this.#request("GET", path, options);
  }

  /**
   * @param {string} path
   * @param {object} [body]
   * @param {RequestOptions} [options]
   */
  async post(path, body = {}, options = {}) {
    const sent = { ...options, body: JSON.stringify(body) };
    if (options.key !== undefined || !ONCE.test(path)) {
      return this.#request("POST", path, sent);
    }
    const key = newKey();
    try {
      return await this.#request("POST", path, { ...sent, key });
    } catch (error) {
      if (!(error instanceof ServerGone && error.mayHaveArrived) || isTimeout(error.cause)) {
        throw error;
      }
      return this.#request("POST", path, { ...sent, key });
    }
  }

  /**
   * Deletes what a path names.
   * @param {string} path
   */
  remove(path) {
    return this.#request("DELETE", path, {});
  }

  /**
   * Posts raw bytes, for the media routes.
   * @param {string} path
   * @param {Uint8Array<ArrayBuffer>} body
   */
  postBytes(path, body) {
    return this.#request("POST", path, { body, type: "application/octet-stream" });
  }

  /** @returns {Promise<RTCIceServer[]>} */
  async fetchIceServers() {
    const { ice_servers: servers } = await this.get("/calls/ice", { timeout: SHORT_TIMEOUT });
    return servers;
  }

  /**
   * Opens a stream. The promise resolves when the server has answered.
   * @param {string} path
   * @param {AbortSignal} signal ends it
   * @returns {Promise<ReadableStream<Uint8Array<ArrayBuffer>>>}
   */
  async open(path, signal) {
    const response = await this.#fetch(path, () => ({ signal, headers: { accept: "text/event-stream" } }));
    if (!response.ok || !response.body) {
      throw this.#failure(path, response, await response.json().catch(() => null));
    }
    return response.body;
  }

  /**
   * @param {"GET" | "POST" | "DELETE"} method
   * @param {string} path
   * @param {RequestOptions & { body?: BodyInit, type?: string }} options
   * @returns {Promise<any>} the JSON of the answer
   */
  async #request(method, path, { body, type = "application/json", keepalive = false, timeout = 20_000, key }) {
    /** @type {Record<string, string>} */
    const headers = method === "GET" ? {} : { "content-type": type };
    if (key !== undefined) {
      headers["idempotency-key"] = key;
    }
    const init = () => ({ method, keepalive, headers, body, signal: AbortSignal.timeout(timeout) });
    const response = await this.#fetch(path, init);
    let answer;
    try {
      answer = await response.json();
    } catch (error) {
      if (response.ok && !(error instanceof SyntaxError)) {
        throw new ServerGone(method !== "GET", error); // the connection broke within the answer
      }
      answer = null;
    }
    if (response.ok) {
      return answer;
    }
    throw this.#failure(path, response, answer);
  }

  /**
   * Sends a request, and again with a fresh token if its token is out of date.
   * @param {string} path
   * @param {() => RequestInit & { headers: Record<string, string> }} init
   */
  async #fetch(path, init) {
    const token = await this.#token();
    const response = await this.#fetchWith(token, path, init());
    if (response.status !== 401 || !this.#tokens.canRenew) {
      return response;
    }
    return this.#fetchWith(await this.#token(token), path, init());
  }

  /**
   * @param {string | null} token
   * @param {string} path
   * @param {RequestInit & { headers: Record<string, string> }} init
   */
  async #fetchWith(token, path, init) {
    const headers = token === null ? init.headers : { ...init.headers, authorization: `Bearer ${token}` };
    /** @type {Response} */
    let response;
    try {
      response = await fetch(new URL(path.slice(1), this.#base).href, {
        ...init,
        cache: "no-store",
        credentials: token === null ? "same-origin" : "omit",
        headers,
      });
    } catch (error) {
      throw new ServerGone((init.method ?? "GET") !== "GET", error);
    }
    this.#noteServerClock(response);
    return response;
  }

  /**
   * The present token, or one that replaces `outdated`.
   * @param {string | null} [outdated]
   */
  async #token(outdated = null) {
    /** @type {string | null} */
    let token;
    try {
      token = await this.#tokens.get(outdated);
    } catch (error) {
      this.emit("error", error);
      throw new ServerGone(false, error);
    }
    if (token === "") {
      this.emit("signedOut");
      throw new Refused(401, { error: "Nobody is signed in.", code: "unauthorized" });
    }
    return token;
  }

  /**
   * @param {string} path
   * @param {Response} response
   * @param {any} answer
   */
  #failure(path, { status }, answer) {
    if (status === 503 || BUSY.has(answer?.code)) {
      return new ServerGone(false);
    }
    if (status === 401 && path !== "/login") {
      this.emit("signedOut");
    }
    return new Refused(status, answer);
  }

  /** Stops renewing tokens. */
  close() {
    this.#tokens.close();
  }
}

/** A new idempotency key. `crypto.randomUUID` is missing in pages without TLS. */
export const newKey = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

/** @param {unknown} error */
const isTimeout = (error) => error instanceof DOMException && error.name === "TimeoutError";

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
