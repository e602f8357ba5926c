// @ts-check
// The REST API of one server: requests, and errors with a sentence for people.
//
// A cluster has several addresses. A request that an address does not answer is sent to the next one, if it can do no harm
// there: it reads, it has a key, or the address has said that nothing was done. The address that answers is kept.
//
// With a token, requests carry it and no cookie. Without one, the browser adds the cookie of the page's own server, and
// the headers Sec-Fetch-Site and Origin, by which the server rejects forged requests of other sites. For a browser
// without them, a POST or DELETE has a Content-Type even without a body.
//
// An action with a key is carried out once, however often it is sent. So one whose answer is lost is sent again.

import { Addresses } from "./addresses.js";
import { Emitter } from "./emitter.js";
import { Tokens } from "./tokens.js";

/** @import { ServerAddresses } from "./addresses.js" */
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

/** The address does not answer, or says that it cannot now. Another one may. */
class AddressGone extends ServerGone {}

/** The statuses of a server that cannot answer now. Those of 502 and 504 may also come from a proxy in front of it. */
const UNAVAILABLE = new Set([502, 503, 504]);

/** Actions that would do something twice, or be refused, if they were sent again without a key. */
const ONCE = /^\/(calls|screenshare)\/[^/]+\/(dismiss|gone|invite|reject|remove|screenshare|signal)$/;

/** @param {unknown} error */
export const messageOf = (error) => (error instanceof Error ? error.message : String(error));

/** For small requests whose answer a call waits for, in milliseconds. */
export const SHORT_TIMEOUT = 6_000;

/** How long, in milliseconds, an address may take to begin a stream, or to answer if there is another one to ask. */
const ANSWER_MAX = 10_000;

/**
 * @typedef {object} RequestOptions
 * @property {boolean} [keepalive] finish the request even if the page is closed
 * @property {number} [timeout] in milliseconds
 * @property {string} [key] an idempotency key, for a caller that repeats an action with the same body
 */

/** `moved`: another address answers than before. @extends {Emitter<{ signedOut: void, renewed: void, moved: void, error: unknown }>} */
export class Api extends Emitter {
  #addresses;
  #tokens;
  /** Without tokens: what requests carry to other addresses than the first, whose cookie does not count there. @type {string | null} */
  #pageToken = null;
  /** How far the server's clock is ahead of this device's, in seconds, by the header `Date` of its last answer. */
  #clockLead = 0;

  /**
   * @param {object} options
   * @param {ServerAddresses} options.server the address that the API's paths are below, or those of a cluster
   * @param {TokenSource} [options.token] without it, the page's own cookie
   */
  constructor({ server, token }) {
    super();
    this.#addresses = new Addresses(server);
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
    return this.#request("POST", path, { ...sent, key: newKey(), isRepeated: true });
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
  open(path, signal) {
    return this.#overAddresses({ isSafe: true }, (address) => this.#openAt(address, path, signal));
  }

  /**
   * @param {URL} address
   * @param {string} path
   * @param {AbortSignal} signal
   */
  async #openAt(address, path, signal) {
    const stream = new AbortController();
    const timer = setTimeout(() => stream.abort(), ANSWER_MAX);
    signal.addEventListener("abort", () => stream.abort());
    if (signal.aborted) {
      stream.abort();
    }
    try {
      const init = () => ({ signal: stream.signal, headers: { accept: "text/event-stream" } });
      const response = await this.#fetch(address, path, init);
      if (!response.ok || !response.body) {
        throw this.#failure("GET", path, response, await response.json().catch(() => null));
      }
      return response.body;
    } catch (error) {
      throw signal.aborted ? new ServerGone(false, error) : error;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Adds the addresses that the server has besides those known, as the answer of GET /me names them.
   * @param {{ client_addresses?: string[], page_token?: string | null }} me
   */
  learnAddresses({ client_addresses: origins = [], page_token: pageToken = null }) {
    this.#pageToken = pageToken ?? this.#pageToken;
    if (this.#tokens.isGiven || this.#pageToken !== null) {
      origins.forEach((origin) => this.#addresses.add(new URL(this.#addresses.first.pathname, origin)));
    }
  }

  /** The session is over. Without tokens, a person signs in at the page's own address. */
  forgetAddresses() {
    if (!this.#tokens.isGiven) {
      this.#pageToken = null;
      this.#addresses.reset();
    }
  }

  /** Makes the next address the one for the next request: the event stream from this one is dead. */
  leaveAddress() {
    this.#addresses.leave(this.#addresses.current);
  }

  /**
   * @param {"GET" | "POST" | "DELETE"} method
   * @param {string} path
   * @param {RequestOptions & { body?: BodyInit, type?: string, isRepeated?: boolean }} options `isRepeated`: if the answer
   *   of the only address is lost, it is asked once more
   * @returns {Promise<any>} the JSON of the answer
   */
  #request(method, path, { body, type = "application/json", keepalive = false, timeout = 20_000, key, isRepeated }) {
    /** @type {Record<string, string>} */
    const headers = method === "GET" ? {} : { "content-type": type };
    if (key !== undefined) {
      headers["idempotency-key"] = key;
    }
    const isSafe = method === "GET" || key !== undefined;
    const wait = isSafe && this.#addresses.count > 1 ? Math.min(timeout, ANSWER_MAX) : timeout;
    const init = () => ({ method, keepalive, headers, body, signal: AbortSignal.timeout(wait) });
    return this.#overAddresses({ isSafe, isRepeated }, (address) => this.#requestAt(address, path, init));
  }

  /**
   * Sends a request to one address after the other until one answers, each one once.
   * @template T
   * @param {{ isSafe: boolean, isRepeated?: boolean }} options `isSafe`: it may arrive twice
   * @param {(address: URL) => Promise<T>} send
   * @returns {Promise<T>}
   */
  async #overAddresses({ isSafe, isRepeated = false }, send) {
    const { count } = this.#addresses;
    let address = this.#addresses.current;
    let mayHaveArrived = false;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await send(address);
      } catch (error) {
        if (!(error instanceof AddressGone)) {
          throw error;
        }
        address = this.#addresses.leave(address);
        mayHaveArrived ||= error.mayHaveArrived;
        const isLost = error.mayHaveArrived && !isTimeout(error.cause);
        const hasNext = attempt < count ? isSafe || !mayHaveArrived : isRepeated && isLost && attempt === 1;
        if (!hasNext) {
          throw new ServerGone(mayHaveArrived, error.cause);
        }
      }
    }
  }

  /**
   * @param {URL} address
   * @param {string} path
   * @param {() => RequestInit & { method: string, headers: Record<string, string> }} init
   * @returns {Promise<any>} the JSON of the answer
   */
  async #requestAt(address, path, init) {
    const response = await this.#fetch(address, path, init);
    const { method } = init();
    let answer;
    try {
      answer = await response.json();
    } catch (error) {
      if (response.ok && !(error instanceof SyntaxError)) {
        throw new AddressGone(method !== "GET", error); // the connection broke within the answer
      }
      answer = null;
    }
    if (response.ok) {
      return answer;
    }
    throw this.#failure(method, path, response, answer);
  }

  /**
   * Sends a request, and again with a fresh token if its token is out of date.
   * @param {URL} address
   * @param {string} path
   * @param {() => RequestInit & { headers: Record<string, string> }} init
   */
  async #fetch(address, path, init) {
    const token = await this.#token();
    const response = await this.#fetchWith(token, address, path, init());
    if (response.status !== 401 || !this.#tokens.canRenew) {
      return response;
    }
    return this.#fetchWith(await this.#token(token), address, path, init());
  }

  /**
   * @param {string | null} token
   * @param {URL} address
   * @param {string} path
   * @param {RequestInit & { headers: Record<string, string> }} init
   */
  async #fetchWith(token, address, path, init) {
    const bearer = token ?? (address === this.#addresses.first ? null : this.#pageToken);
    const headers = bearer === null ? init.headers : { ...init.headers, authorization: `Bearer ${bearer}` };
    /** @type {Response} */
    let response;
    try {
      response = await fetch(new URL(path.slice(1), address).href, {
        ...init,
        cache: "no-store",
        credentials: bearer === null ? "same-origin" : "omit",
        headers,
      });
    } catch (error) {
      throw new AddressGone((init.method ?? "GET") !== "GET", error);
    }
    this.#noteServerClock(response);
    if (!UNAVAILABLE.has(response.status) && this.#addresses.noteAnswer(address)) {
      this.emit("moved");
    }
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
   * @param {string} method
   * @param {string} path
   * @param {Response} response
   * @param {any} answer
   */
  #failure(method, path, { status }, answer) {
    if (UNAVAILABLE.has(status)) {
      return new AddressGone(status !== 503 && method !== "GET"); // 503 says that nothing was done
    }
    if (BUSY.has(answer?.code)) {
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
 * A part of a pause, so that clients which lost their server at the same moment do not come back at the same moment.
 * @param {number} milliseconds
 */
export const withJitter = (milliseconds) => milliseconds * (0.5 + Math.random() / 2);

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
      await pause(withJitter(wait));
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
