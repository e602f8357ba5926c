// Sends a stream by way of the server: MediaRecorder records it, and each cluster of the recording is uploaded.

import { insist, postBytes } from "../api.js";
import { Splitter } from "./webm.js";

/** How often the recording is looked at, in milliseconds; a cluster begins with each key frame. */
const SLICE = 250;
const KEY_FRAMES = 1_000;

const TYPES = {
  video: ["video/webm;codecs=vp8,opus", "video/webm;codecs=vp9,opus", "video/webm"],
  audio: ["audio/webm;codecs=opus", "audio/webm"],
};

export class Recorder extends EventTarget {
  #recorder;
  #path;
  #splitter = new Splitter();
  #sending = Promise.resolve();
  #stopped = false;

  /** Bytes that the server has taken. */
  sent = 0;

  /** Uploads `stream` to `path`, a media route, until it is stopped. */
  constructor(stream, path) {
    super();
    this.#path = path;
    const kind = stream.getVideoTracks().length > 0 ? "video" : "audio";
    const mimeType = TYPES[kind].find((type) => MediaRecorder.isTypeSupported(type));
    if (!mimeType) {
      throw new Error("This browser cannot record WebM, which the relay is made of.");
    }
    this.mimeType = mimeType;
    this.#recorder = new MediaRecorder(stream, {
      mimeType, videoBitsPerSecond: 900_000, audioBitsPerSecond: 48_000, videoKeyFrameIntervalDuration: KEY_FRAMES,
    });
    this.#recorder.ondataavailable = ({ data }) => this.#take(data);
    this.#recorder.start(SLICE);
  }

  /** One after the other, so that no upload overtakes another. */
  #take(data) {
    this.#sending = this.#sending.then(async () => {
      if (this.#stopped) {
        return;
      }
      const { init, clusters } = this.#splitter.push(new Uint8Array(await data.arrayBuffer()));
      if (init) {
        await this.#upload(`${this.#path}?init=1&mime=${encodeURIComponent(this.mimeType)}`, init);
      }
      for (const cluster of clusters) {
        await this.#upload(this.#path, cluster);
      }
    }).catch((error) => {
      if (!this.#stopped) {
        this.stop();
        this.dispatchEvent(new CustomEvent("failed", { detail: error }));
      }
    });
  }

  async #upload(path, bytes) {
    await insist(() => postBytes(path, bytes), () => !this.#stopped);
    this.sent += bytes.length;
    this.dispatchEvent(new Event("sent"));
  }

  stop() {
    if (!this.#stopped) {
      this.#stopped = true;
      this.#recorder.ondataavailable = null;
      if (this.#recorder.state !== "inactive") {
        this.#recorder.stop();
      }
    }
  }
}
