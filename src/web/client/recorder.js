// @ts-check
// Uploads a stream: MediaRecorder records it, and each cluster of the recording is posted.

import { ServerGone, retryWhileOffline } from "./api.js";
import { Emitter } from "./emitter.js";
import { Splitter } from "./webm.js";

/** @import { Api } from "./api.js" */

/** Milliseconds between the recorder's pieces, and between key frames, each of which begins a cluster. */
const PIECE_INTERVAL = 250;
const KEY_FRAME_INTERVAL = 1_000;

const TYPES = {
  video: ["video/webm;codecs=vp8,opus", "video/webm;codecs=vp9,opus", "video/webm"],
  audio: ["audio/webm;codecs=opus", "audio/webm"],
};

/** @extends {Emitter<{ sent: void, failed: unknown }>} */
export class Recorder extends Emitter {
  #recorder;
  #api;
  #path;
  #mimeType;
  #splitter = new Splitter();
  /** Uploads run one after the other, so that none overtakes another. */
  #sending = Promise.resolve();
  #isStopped = false;

  /** Stores the init segment. @type {(() => Promise<unknown>) | null} */
  #postInit = null;
  /** A server that was gone may have restarted, and lost the init segment. */
  #mayHaveLostInit = false;

  /** Bytes that the server has stored. */
  sent = 0;

  /**
   * Records until `stop`.
   * @param {MediaStream} stream
   * @param {Api} api
   * @param {string} path a media route
   */
  constructor(stream, api, path) {
    super();
    this.#api = api;
    this.#path = path;
    const kind = stream.getVideoTracks().length > 0 ? "video" : "audio";
    const mimeType = TYPES[kind].find((type) => globalThis.MediaRecorder?.isTypeSupported(type));
    if (!mimeType) {
      throw new Error("This browser cannot record WebM, which the relay needs.");
    }
    this.#mimeType = mimeType;
    const options = {
      mimeType,
      videoBitsPerSecond: 900_000,
      audioBitsPerSecond: 48_000,
      videoKeyFrameIntervalDuration: KEY_FRAME_INTERVAL,
    };
    this.#recorder = new MediaRecorder(stream, options);
    this.#recorder.ondataavailable = ({ data }) => this.#enqueue(data);
    this.#recorder.start(PIECE_INTERVAL);
  }

  /** @param {Blob} piece */
  #enqueue(piece) {
    this.#sending = this.#sending
      .then(() => this.#send(piece))
      .catch((error) => {
        if (!this.#isStopped) {
          this.stop();
          this.emit("failed", error);
        }
      });
  }

  /** @param {Blob} piece */
  async #send(piece) {
    if (this.#isStopped) {
      return;
    }
    const { init, clusters } = this.#splitter.push(new Uint8Array(await piece.arrayBuffer()));
    if (init) {
      const path = `${this.#path}?init=1&mime=${encodeURIComponent(this.#mimeType)}`;
      await this.#upload(path, init);
      this.#postInit = () => this.#api.postBytes(path, init);
    }
    for (const cluster of clusters) {
      await this.#upload(this.#path, cluster);
    }
  }

  /**
   * @param {string} path
   * @param {Uint8Array<ArrayBuffer>} bytes
   */
  async #upload(path, bytes) {
    await retryWhileOffline(() => this.#store(path, bytes), () => !this.#isStopped);
    this.sent += bytes.length;
    this.emit("sent");
  }

  /**
   * @param {string} path
   * @param {Uint8Array<ArrayBuffer>} bytes
   */
  async #store(path, bytes) {
    try {
      if (this.#mayHaveLostInit) {
        await this.#postInit?.();
        this.#mayHaveLostInit = false;
      }
      await this.#api.postBytes(path, bytes);
    } catch (error) {
      this.#mayHaveLostInit ||= error instanceof ServerGone;
      throw error;
    }
  }

  /** Stores the init segment again before the next cluster. */
  repeatInit() {
    this.#mayHaveLostInit = true;
  }

  stop() {
    if (!this.#isStopped) {
      this.#isStopped = true;
      this.#recorder.ondataavailable = null;
      if (this.#recorder.state !== "inactive") {
        this.#recorder.stop();
      }
    }
  }
}
