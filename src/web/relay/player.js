// Plays what somebody sends by way of the server: MediaSource is fed with the init segment and the clusters after it.

import { Refused, ServerGone, get, pause } from "../api.js";

/** How often the server is asked for more, in milliseconds. */
const PERIOD = 400;

/** Further behind than this, in seconds, playing jumps to what is new; so much is kept of what has been played. */
const BEHIND = 3;
const KEPT = 20;

const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

export class Player extends EventTarget {
  #video;
  #path;
  #buffer = null;
  #init = null;
  #after = -1;
  #stopped = false;

  /** Bytes that were played. */
  received = 0;

  /** Plays `path`, a media route with its query but for `after`, in a video element. */
  constructor(video, path) {
    super();
    this.#video = video;
    this.#path = path;
    this.#run();
  }

  async #run() {
    while (!this.#stopped) {
      try {
        const news = await get(`${this.#path}after=${this.#after}`);
        await this.#take(news);
        if (news.active === false) {
          this.#stopped = true;
          this.dispatchEvent(new Event("end"));
        }
      } catch (error) {
        if (error instanceof Refused) {
          this.stop();
          this.dispatchEvent(new CustomEvent("failed", { detail: error }));
        } else if (!(error instanceof ServerGone) && !this.#stopped) {
          console.warn("What was relayed cannot be played:", error);
        }
      }
      await pause(PERIOD);
    }
  }

  async #take({ mime_type: type, init, chunks }) {
    if (!init || this.#stopped) {
      return;
    }
    if (init !== this.#init) {
      // A recording that was begun anew, perhaps of another kind.
      await this.#open(type);
      this.#init = init;
      await this.#append(bytesOf(init));
    }
    for (const { seq, data } of chunks) {
      const bytes = bytesOf(data);
      await this.#append(bytes);
      this.#after = seq;
      this.received += bytes.length;
    }
    if (chunks.length > 0) {
      this.#keepUp();
      this.dispatchEvent(new Event("received"));
    }
  }

  async #open(type) {
    if (!MediaSource.isTypeSupported(type)) {
      throw new Error(`This browser cannot play ${type}.`);
    }
    const source = new MediaSource();
    const opened = new Promise((resolve) => source.addEventListener("sourceopen", resolve, { once: true }));
    URL.revokeObjectURL(this.#video.src);
    this.#video.src = URL.createObjectURL(source);
    await opened;
    this.#buffer = source.addSourceBuffer(type);
    // Clusters are put one behind the other, whatever was dropped between them.
    this.#buffer.mode = "sequence";
  }

  #append(bytes) {
    return new Promise((resolve, reject) => {
      this.#buffer.addEventListener("updateend", resolve, { once: true });
      this.#buffer.addEventListener("error", () => reject(new Error("The browser cannot read the recording.")), { once: true });
      this.#buffer.appendBuffer(bytes);
    });
  }

  #keepUp() {
    const { buffered } = this.#video;
    if (buffered.length === 0) {
      return;
    }
    const end = buffered.end(buffered.length - 1);
    const at = this.#video.currentTime;
    if (at < buffered.start(0) || end - at > BEHIND) {
      this.#video.currentTime = Math.max(buffered.start(0), end - 0.5);
    }
    if (this.#video.paused) {
      this.#video.play().catch(() => {
        // With sound, a browser may want a click first; without, never.
        this.#video.muted = true;
        this.#video.play().catch(() => {});
      });
    }
    if (at - buffered.start(0) > 2 * KEPT && !this.#buffer.updating) {
      this.#buffer.remove(0, at - KEPT);
    }
  }

  stop() {
    this.#stopped = true;
    URL.revokeObjectURL(this.#video.src);
    this.#video.removeAttribute("src");
    this.#video.load();
  }
}
