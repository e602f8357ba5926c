// @ts-check
// Push: keeps a stream of GET /events open while somebody is signed in.
//
// EventSource reconnects after a broken connection, but gives up when the server answers with an error, and does not
// tell which. So each EventSource is used once. When it breaks, GET /me is retried until the server answers, and a new
// stream resumes after the last event (`?after=`). If the log does not reach back that far, the server sends a
// snapshot.

import { Refused, get } from "./api.js";

/** @import { ServerEvent } from "./types.js" */

/** @type {ServerEvent["name"][]} */
const NAMES = ["snapshot", "incoming", "call", "signal", "share"];

/** A timer this late, in milliseconds, means that the machine slept: the connection is dead. */
const TICK = 5_000;
const SLEEP_MIN = 30_000;

const RETRY_FIRST = 200;
const RETRY_MAX = 4_000;

export class Events {
  /** @type {EventSource | null} */
  #source = null;
  /** @type {string | null} */
  #lastEventId = null;
  /** Counts open() and close(): a retry of an earlier opening ends. */
  #opening = 0;
  #isOpen = false;
  /** What the page was told last. @type {boolean | null} */
  #isConnected = null;
  #isReconnecting = false;
  /** The call and the share of this window, as a query. */
  #names = "";
  /** The pause before the next attempt. It grows until a stream opens: the server can refuse one stream too many. */
  #retryWait = RETRY_FIRST;
  #retryNow = () => {};
  #onEvent;
  #onConnection;

  /**
   * @param {(event: ServerEvent) => void} onEvent
   * @param {(connected: boolean) => void} onConnection
   */
  constructor(onEvent, onConnection) {
    this.#onEvent = onEvent;
    this.#onConnection = onConnection;
    // A network change breaks the connection silently.
    addEventListener("online", () => (this.#isReconnecting ? this.#retryNow() : this.reconnect()));
    addEventListener("offline", () => this.reconnect());
    document.addEventListener("visibilitychange", () => this.#retryNow());
    let last = Date.now();
    setInterval(() => {
      const now = Date.now();
      if (now - last > SLEEP_MIN + TICK) {
        this.reconnect();
      }
      last = now;
    }, TICK);
  }

  open() {
    this.#opening += 1;
    this.#isOpen = true;
    this.#isReconnecting = false;
    this.#source?.close();
    this.#connect();
  }

  /** Closes the stream; the next one names nothing, and starts with a snapshot. */
  close() {
    this.#opening += 1;
    this.#isOpen = false;
    this.#isConnected = null;
    this.#isReconnecting = false;
    this.#lastEventId = null;
    this.#names = "";
    this.#source?.close();
    this.#source = null;
    this.#retryNow();
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
      if (this.#source) {
        this.#source.close();
        this.#connect();
      }
    }
  }

  #connect() {
    const after = this.#lastEventId === null ? "" : `after=${this.#lastEventId}`;
    const query = [this.#names, after].filter((part) => part !== "").join("&");
    const source = new EventSource(query === "" ? "/events" : `/events?${query}`);
    this.#source = source;
    source.onopen = () => {
      if (source === this.#source) {
        this.#retryWait = RETRY_FIRST;
        this.#report(true);
      }
    };
    source.onerror = () => source === this.#source && this.reconnect();
    for (const name of NAMES) {
      source.addEventListener(name, (event) => {
        if (source === this.#source) {
          this.#lastEventId = event.lastEventId;
          this.#onEvent({ name, data: JSON.parse(event.data) });
        }
      });
    }
  }

  /** @param {boolean} isConnected */
  #report(isConnected) {
    if (this.#isConnected !== isConnected) {
      this.#isConnected = isConnected;
      this.#onConnection(isConnected);
    }
  }

  /** Replaces the stream as soon as the server answers. Called when the stream broke or turned out to be dead. */
  async reconnect() {
    if (!this.#isOpen || this.#isReconnecting) {
      return;
    }
    const opening = this.#opening;
    const isCurrent = () => this.#isOpen && opening === this.#opening;
    this.#isReconnecting = true;
    this.#source?.close();
    this.#source = null;
    this.#report(false);
    while (isCurrent()) {
      await this.#retryPause(this.#retryWait + Math.random() * 100);
      this.#retryWait = Math.min(this.#retryWait * 1.6, RETRY_MAX);
      if (isCurrent() && (await this.#isServerThere())) {
        break;
      }
    }
    if (isCurrent()) {
      this.#isReconnecting = false;
      this.#connect();
    }
  }

  /** @param {number} milliseconds */
  #retryPause(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#retryNow = () => {
        clearTimeout(timer);
        resolve(undefined);
      };
    });
  }

  async #isServerThere() {
    try {
      await get("/me", { timeout: 5_000 });
      return true;
    } catch (error) {
      if (error instanceof Refused && error.status === 401) {
        this.close(); // `whenSignedOut` has reported it
      }
      return false;
    }
  }
}
