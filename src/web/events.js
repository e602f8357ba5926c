// Push: the stream of GET /events, kept open for as long as somebody is signed in.
//
// EventSource reconnects by itself after a broken connection, but gives up for good when the server answers with an error, and
// never says which. So each stream is used once; when it breaks, the server is looked for, and the next stream resumes after
// the last event (`?after=`). If the log does not reach back that far, the server begins with a snapshot.

import { Refused, get, pause } from "./api.js";

const NAMES = ["snapshot", "incoming", "call", "signal", "share"];

/** A timer that comes so much too late, in milliseconds, has slept with the machine, and the connection has not survived it. */
const BEAT = 5_000;
const SLEPT = 30_000;

export class Events {
  #source = null;
  #last = null;
  #closed = true;
  #looking = false;
  #wake = () => {};
  #heard;
  #changed;

  /** `heard(name, data)` is told each event, `changed(open)` whether the stream is open. */
  constructor(heard, changed) {
    this.#heard = heard;
    this.#changed = changed;
    // Another network, or one that was away, takes the connection along without a word. And nobody waits for the end of a
    // pause when it is back.
    addEventListener("online", () => (this.#looking ? this.#wake() : this.lost()));
    addEventListener("offline", () => this.lost());
    document.addEventListener("visibilitychange", () => this.#wake());
    let beat = Date.now();
    setInterval(() => {
      const now = Date.now();
      if (now - beat > SLEPT + BEAT) {
        this.lost();
      }
      beat = now;
    }, BEAT);
  }

  open() {
    this.#closed = false;
    this.#connect();
  }

  close() {
    this.#closed = true;
    this.#last = null;
    this.#source?.close();
    this.#source = null;
    this.#wake();
  }

  #connect() {
    const source = new EventSource(this.#last === null ? "/events" : `/events?after=${this.#last}`);
    this.#source = source;
    source.onopen = () => this.#changed(true);
    source.onerror = () => source === this.#source && this.lost();
    for (const name of NAMES) {
      source.addEventListener(name, (event) => {
        if (source !== this.#source) {
          return;
        }
        this.#last = event.lastEventId;
        this.#heard(name, JSON.parse(event.data));
      });
    }
  }

  /** The stream broke, or somebody has found out that the server does not answer: looks for it until it does. */
  async lost() {
    if (this.#closed || this.#looking) {
      return;
    }
    this.#looking = true;
    this.#source?.close();
    this.#source = null;
    this.#changed(false);
    for (let wait = 200; !this.#closed; wait = Math.min(wait * 1.6, 4_000)) {
      await Promise.race([pause(wait + Math.random() * 100), new Promise((resolve) => (this.#wake = resolve))]);
      try {
        if (!this.#closed) {
          await get("/me", { timeout: 5_000 });
          break;
        }
      } catch (error) {
        // Whoever is not signed in any more has been told so by the look itself.
        if (error instanceof Refused && error.status === 401) {
          this.#closed = true;
        }
      }
    }
    this.#looking = false;
    if (!this.#closed) {
      this.#connect();
    }
  }
}
