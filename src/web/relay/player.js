// @ts-check
// Plays relayed media: feeds a MediaSource with the init segment and the clusters after it.

import { Refused, ServerGone, get, pause } from "../api.js";
import { Emitter } from "../client/emitter.js";

/** @import { MediaAnswer } from "../client/types.js" */

/** Milliseconds between reads. */
const POLL_INTERVAL = 400;

/** After an answer with this many bytes of media there are probably more, so the next read follows at once. */
const FULL_ANSWER = 512 * 1024;

/** Seconds behind the newest cluster after which playback skips ahead, and seconds of played media that are kept. */
const LAG_MAX = 3;
const KEPT_BEHIND = 20;

/** @param {string} base64 */
const decode = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

/**
 * Appends bytes to a SourceBuffer.
 * @param {SourceBuffer} buffer
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @returns {Promise<void>} rejects if the browser cannot read them
 */
export function append(buffer, bytes) {
  const listeners = new AbortController();
  /** @type {Promise<void>} */
  const appended = new Promise((resolve, reject) => {
    const { signal } = listeners;
    const fail = () => reject(new Error("The browser cannot read the recording."));
    buffer.addEventListener("updateend", () => resolve(), { signal });
    buffer.addEventListener("error", fail, { signal });
    buffer.appendBuffer(bytes);
  });
  return appended.finally(() => listeners.abort());
}

/** @extends {Emitter<{ received: void, end: void }>} */
export class Player extends Emitter {
  #video;
  #path;
  /** @type {SourceBuffer | null} */
  #buffer = null;
  /** The init segment being played, in base64. @type {string | null} */
  #init = null;
  #cursor = -1;
  #isStopped = false;

  /** Bytes received. */
  received = 0;

  /**
   * Plays until the share ends, or until `stop`.
   * @param {HTMLVideoElement} video
   * @param {string} path a media route with its query, except for `after`
   */
  constructor(video, path) {
    super();
    this.#video = video;
    this.#path = path;
    this.#run();
  }

  async #run() {
    while (!this.#isStopped) {
      const before = this.received;
      try {
        /** @type {MediaAnswer} */
        const answer = await get(`${this.#path}after=${this.#cursor}`);
        await this.#play(answer);
        if (answer.active === false && !this.#isStopped) {
          this.#isStopped = true;
          this.emit("end");
        }
      } catch (error) {
        if (error instanceof Refused) {
          this.stop();
        } else if (!(error instanceof ServerGone) && !this.#isStopped) {
          console.warn("Relayed media cannot be played:", error);
        }
      }
      if (this.received - before < FULL_ANSWER) {
        await pause(POLL_INTERVAL);
      }
    }
  }

  /** @param {MediaAnswer} answer */
  async #play({ mime_type: type, init, chunks }) {
    if (!init || this.#isStopped) {
      return;
    }
    let buffer = this.#buffer;
    if (!buffer || init !== this.#init) {
      // A new recording, perhaps of another type.
      buffer = await this.#open(type);
      this.#buffer = buffer;
      this.#init = init;
      await append(buffer, decode(init));
    }
    for (const { seq, data } of chunks) {
      const bytes = decode(data);
      await append(buffer, bytes);
      this.#cursor = seq;
      this.received += bytes.length;
    }
    if (chunks.length > 0) {
      this.#catchUp(buffer);
      this.emit("received");
    }
  }

  /** @param {string} type */
  async #open(type) {
    if (!MediaSource.isTypeSupported(type)) {
      throw new Error(`This browser cannot play ${type}.`);
    }
    const source = new MediaSource();
    const opened = new Promise((resolve) => source.addEventListener("sourceopen", resolve, { once: true }));
    URL.revokeObjectURL(this.#video.src);
    this.#video.src = URL.createObjectURL(source);
    await opened;
    const buffer = source.addSourceBuffer(type);
    // Clusters are played back to back, whatever was dropped between them.
    buffer.mode = "sequence";
    return buffer;
  }

  /** @param {SourceBuffer} buffer */
  #catchUp(buffer) {
    const video = this.#video;
    const { buffered, currentTime } = video;
    if (buffered.length === 0) {
      return;
    }
    const begin = buffered.start(0);
    const end = buffered.end(buffered.length - 1);
    if (currentTime < begin || end - currentTime > LAG_MAX) {
      video.currentTime = Math.max(begin, end - 0.5);
    }
    if (video.paused) {
      video.play().catch(() => {
        // With sound, a browser may ask for a click first; muted, never.
        video.muted = true;
        video.play().catch(() => {});
      });
    }
    if (currentTime - begin > 2 * KEPT_BEHIND && !buffer.updating) {
      buffer.remove(0, currentTime - KEPT_BEHIND);
    }
  }

  stop() {
    this.#isStopped = true;
    URL.revokeObjectURL(this.#video.src);
    this.#video.removeAttribute("src");
    this.#video.load();
  }
}
