// @ts-check
// Push: keeps a stream of GET /events open while somebody is signed in.
//
// The stream is read with `fetch`, which can send a token and reports the status of a refusal. A stream that breaks, or
// in which nothing arrives, is replaced by one that resumes after the last event (`?after=`), at the next address if need be:
// the members of a cluster number their events alike. If the log does not reach
// back that far, the server sends a snapshot. One that needs another token or another query is replaced without a gap:
// it delivers until the next one is open, and events that come twice are dropped.

import { Refused, withJitter } from "./api.js";
import { EventParser } from "./event_parser.js";

/** @import { Api } from "./api.js" */
/** @import { ParsedEvent } from "./event_parser.js" */
/** @import { ServerEvent } from "./types.js" */

/** The server sends a comment each 15 seconds. After this silence, in milliseconds, a connection is dead. */
const SILENCE_MAX = 40_000;
const CHECK_INTERVAL = 5_000;

const RETRY_FIRST = 200;
const RETRY_MAX = 4_000;

export class Events {
  #api;
  #onEvent;
  #onConnection;
  /** The stream that delivers. @type {AbortController | null} */
  #current = null;
  /** The stream being opened, which will replace it. @type {AbortController | null} */
  #next = null;
  /** The pause before the next attempt. @type {ReturnType<typeof setTimeout> | null} */
  #pause = null;
  /** What `open` has started. @type {AbortController | null} */
  #opening = null;
  /** When something last arrived. The clock of the day counts a machine's sleep, too. */
  #heardAt = 0;
  /** @type {string | null} */
  #lastEventId = null;
  /** What the client was told last. @type {boolean | null} */
  #isConnected = null;
  /** The call and the share of this window, as a query. */
  #names = "";
  /** It grows until a stream opens: the server can refuse one stream too many. */
  #retryWait = RETRY_FIRST;

  /**
   * @param {Api} api
   * @param {(event: ServerEvent) => void} onEvent
   * @param {(connected: boolean) => void} onConnection
   */
  constructor(api, onEvent, onConnection) {
    this.#api = api;
    this.#onEvent = onEvent;
    this.#onConnection = onConnection;
    api.on("renewed", () => this.#current && this.#connect());
    // The address of this stream may be dead without a sign of it.
    api.on("moved", () => this.#current && !this.#next && this.#connect());
  }

  open() {
    this.#abort();
    this.#opening?.abort();
    this.#opening = new AbortController();
    const { signal } = this.#opening;
    // A network change breaks the connection silently.
    addEventListener("online", () => (this.#pause === null ? this.reconnect() : this.#connect()), { signal });
    addEventListener("offline", () => this.reconnect(), { signal });
    document.addEventListener("visibilitychange", () => this.#pause !== null && this.#connect(), { signal });
    // A page that was left may be kept whole, for Back. Its stream would take a connection, and prove presence.
    addEventListener("pagehide", () => this.#abort(), { signal });
    addEventListener("pageshow", ({ persisted }) => persisted && this.#connect(), { signal });
    const timer = setInterval(() => this.#checkSilence(), CHECK_INTERVAL);
    signal.addEventListener("abort", () => clearInterval(timer));
    this.#connect();
  }

  /** Closes the stream; the next one names nothing, and starts with a snapshot. */
  close() {
    this.#opening?.abort();
    this.#opening = null;
    this.#abort();
    this.#isConnected = null;
    this.#lastEventId = null;
    this.#names = "";
  }

  /**
   * Names the call that this window is on, and the screen that it shares. Only a stream that names them proves presence
   * there. If the names change, another stream continues after the last event.
   * @param {{ call?: string | null, share?: string | null }} names
   */
  name({ call, share }) {
    const names = new URLSearchParams({ ...(call && { call }), ...(share && { share }) }).toString();
    if (names !== this.#names) {
      this.#names = names;
      if (this.#current || this.#next) {
        this.#connect();
      }
    }
  }

  /** Replaces the stream, which broke or turned out to be dead. */
  reconnect() {
    if (this.#current) {
      this.#retry();
    }
  }

  #checkSilence() {
    if (this.#current && Date.now() - this.#heardAt > SILENCE_MAX) {
      this.#api.leaveAddress();
      this.reconnect();
    }
  }

  // ---- streams

  async #connect() {
    this.#next?.abort();
    this.#clearPause();
    const stream = new AbortController();
    this.#next = stream;
    try {
      const body = await this.#api.open(this.#path(), stream.signal);
      if (!stream.signal.aborted) {
        this.#takeOver(stream);
        await this.#read(stream, body);
      }
    } catch (error) {
      if (error instanceof Refused && error.status === 401 && !stream.signal.aborted) {
        this.close(); // `signedOut` has reported it
      }
    }
    if (!stream.signal.aborted) {
      this.#onEnd(stream);
    }
  }

  #path() {
    const after = this.#lastEventId === null ? "" : `after=${this.#lastEventId}`;
    const query = [this.#names, after].filter((part) => part !== "").join("&");
    return query === "" ? "/events" : `/events?${query}`;
  }

  /** @param {AbortController} stream */
  #takeOver(stream) {
    this.#current?.abort();
    this.#current = stream;
    this.#next = null;
    this.#heardAt = Date.now();
    this.#retryWait = RETRY_FIRST;
    this.#report(true);
  }

  /**
   * @param {AbortController} stream
   * @param {ReadableStream<Uint8Array>} body
   */
  async #read(stream, body) {
    const reader = body.getReader();
    const parser = new EventParser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || stream.signal.aborted) {
        return;
      }
      this.#heardAt = Date.now();
      for (const event of parser.push(value)) {
        if (!stream.signal.aborted) {
          this.#deliver(event);
        }
      }
    }
  }

  /** @param {ParsedEvent} event */
  #deliver({ name, id, data }) {
    const isUnnumbered = name === "presence" || name === "directory";
    const isKnown = this.#lastEventId !== null && Number(id) <= Number(this.#lastEventId);
    if (name === "snapshot" || isUnnumbered || !isKnown) {
      this.#lastEventId = isUnnumbered ? this.#lastEventId : id;
      this.#onEvent(/** @type {ServerEvent} */ ({ name, data: JSON.parse(data) }));
    }
  }

  /**
   * A stream has ended, or was not answered.
   * @param {AbortController} stream
   */
  #onEnd(stream) {
    if (stream === this.#current && this.#next) {
      this.#current = null; // the next one takes over
    } else {
      this.#retry();
    }
  }

  #retry() {
    this.#abort();
    this.#report(false);
    this.#pause = setTimeout(() => this.#connect(), withJitter(this.#retryWait));
    this.#retryWait = Math.min(this.#retryWait * 1.6, RETRY_MAX);
  }

  #clearPause() {
    clearTimeout(this.#pause ?? undefined);
    this.#pause = null;
  }

  #abort() {
    this.#clearPause();
    this.#current?.abort();
    this.#next?.abort();
    this.#current = null;
    this.#next = null;
  }

  /** @param {boolean} isConnected */
  #report(isConnected) {
    if (this.#isConnected !== isConnected) {
      this.#isConnected = isConnected;
      this.#onConnection(isConnected);
    }
  }
}
