// @ts-check
// Plays relayed media: feeds a MediaSource with the init segment and the clusters after it.

import { Refused, ServerGone, pause } from "./api.js";
import { Emitter } from "./emitter.js";

/** @import { Api } from "./api.js" */
/** @import { MediaAnswer } from "./types.js" */

/** Milliseconds between reads. */
const POLL_INTERVAL = 400;

/** After an answer with this many bytes of media there are probably more, so the next read follows at once. */
const FULL_ANSWER = 512 * 1024;

/** Seconds behind the newest cluster after which playback skips ahead, and seconds of played media that are kept. */
const LAG_MAX = 3;
const KEPT_BEHIND = 20;

/** So many seconds before a gap, playback has come to it. */
const GAP_NEAR = 0.1;

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
  #api;
  #path;
  /** @type {SourceBuffer | null} */
  #buffer = null;
  /** The init segment being played, in base64. @type {string | null} */
  #init = null;
  #cursor = -1;

  isStopped = false;
  /** Bytes received, and when the last of them arrived, by `performance.now()`. */
  received = 0;
  receivedAt = -Infinity;

  /**
   * Plays until the share ends, or until `stop`.
   * @param {HTMLVideoElement} video
   * @param {Api} api
   * @param {string} path a media route with its query, except for `after`
   */
  constructor(video, api, path) {
    super();
    this.video = video;
    this.#api = api;
    this.#path = path;
    video.addEventListener("waiting", this.#skipGap);
    this.#run();
  }

  async #run() {
    while (!this.isStopped) {
      const before = this.received;
      try {
        /** @type {MediaAnswer} */
        const answer = await this.#api.get(`${this.#path}after=${this.#cursor}`);
        await this.#play(answer);
        if (answer.active === false && !this.isStopped) {
          this.isStopped = true;
          this.emit("end");
        }
      } catch (error) {
        if (error instanceof Refused) {
          this.stop();
        } else if (!(error instanceof ServerGone) && !this.isStopped) {
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
    if (!init || this.isStopped) {
      return;
    }
    // A new recording may be of another type.
    const isSame = init === this.#init && !this.video.error;
    let buffer = (isSame && this.#buffer) || (await this.#begin(type, init));
    for (const { seq, data } of chunks) {
      const bytes = decode(data);
      this.#cursor = seq;
      try {
        await append(buffer, bytes);
        this.received += bytes.length;
      } catch {
        // It is left of an earlier recording, which had other tracks.
        buffer = await this.#begin(type, init);
      }
    }
    if (chunks.length > 0 && !this.isStopped) {
      this.receivedAt = performance.now();
      this.#catchUp(buffer);
      this.emit("received");
    }
  }

  /**
   * @param {string} type
   * @param {string} init
   */
  async #begin(type, init) {
    const buffer = await this.#open(type);
    await append(buffer, decode(init));
    this.#buffer = buffer;
    this.#init = init;
    return buffer;
  }

  /** @param {string} type */
  async #open(type) {
    // An iPhone has this one alone.
    const Source = globalThis.MediaSource ?? Reflect.get(globalThis, "ManagedMediaSource");
    if (!Source?.isTypeSupported(type)) {
      throw new Error(`This browser cannot play ${type}.`);
    }
    this.video.disableRemotePlayback = true;
    /** @type {MediaSource} */
    const source = new Source();
    const opened = new Promise((resolve) => source.addEventListener("sourceopen", resolve, { once: true }));
    URL.revokeObjectURL(this.video.src);
    this.video.src = URL.createObjectURL(source);
    await opened;
    const buffer = source.addSourceBuffer(type);
    // Clusters are played back to back, whatever was dropped between them.
    buffer.mode = "sequence";
    return buffer;
  }

  /**
   * Jumps over a gap: the duration of the last frame of a cluster is a guess, and Firefox waits for what is missing.
   */
  #skipGap = () => {
    const { buffered, currentTime } = this.video;
    for (let index = 1; index < buffered.length; index += 1) {
      const [end, next] = [buffered.end(index - 1), buffered.start(index)];
      if (currentTime > end - GAP_NEAR && currentTime < next) {
        this.video.currentTime = next;
      }
    }
  };

  /** @param {SourceBuffer} buffer */
  #catchUp(buffer) {
    const video = this.video;
    const { buffered, currentTime } = video;
    if (buffered.length === 0) {
      return;
    }
    const begin = buffered.start(0);
    const end = buffered.end(buffered.length - 1);
    if (currentTime < begin || end - currentTime > LAG_MAX) {
      video.currentTime = Math.max(begin, end - 0.5);
    } else if (video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA) {
      this.#skipGap();
    }
    if (video.paused) {
      video.play().catch((error) => {
        // With sound, a browser may ask for a click first; muted, never.
        if (error.name === "NotAllowedError") {
          video.muted = true;
          video.play().catch(() => {});
        }
      });
    }
    if (currentTime - begin > 2 * KEPT_BEHIND && !buffer.updating) {
      buffer.remove(0, currentTime - KEPT_BEHIND);
    }
  }

  stop() {
    this.isStopped = true;
    this.video.removeEventListener("waiting", this.#skipGap);
    URL.revokeObjectURL(this.video.src);
    this.video.removeAttribute("src");
    this.video.load();
  }
}
