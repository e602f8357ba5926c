// @ts-check
// Media through the server, to and from the people of a call whom WebRTC does not reach: one recording for all of them,
// and a player for each.
//
// The server keeps one recording of a person in a call. So its picture is that of the screen while it is shared, and else
// that of the camera. Nothing needs to be agreed: of two people neither reaches the other, so both record and play.

import { messageOf } from "./api.js";
import { h } from "./dom.js";
import { Emitter } from "./emitter.js";
import { Player } from "./player.js";
import { Recorder } from "./recorder.js";

/** @import { Api } from "./api.js" */
/** @import { Media } from "./media.js" */

/** Milliseconds after which media that has stopped is no longer taken for arriving. */
const ARRIVES_FOR = 6_000;

/** @extends {Emitter<{ change: void }>} */
export class Relay extends Emitter {
  #api;
  #path;
  #media;
  /** @type {Recorder | null} */
  #recorder = null;
  /** @type {Map<string, Player>} */
  #players = new Map();
  #removeListener;
  #isRenewing = false;

  /** Why nothing can be recorded, as a sentence. */
  failure = "";

  /**
   * @param {Api} api
   * @param {string} path the media route of the call
   * @param {Media} media
   */
  constructor(api, path, media) {
    super();
    this.#api = api;
    this.#path = path;
    this.#media = media;
    this.#removeListener = media.on("track", () => this.#renew());
  }

  /** Who is relayed. */
  get names() {
    return [...this.#players.keys()];
  }

  /** What plays whose picture and sound. */
  get playing() {
    return [...this.#players].map(([name, { video }]) => ({ name, element: video }));
  }

  /**
   * What plays a person's picture and sound; null if they are not relayed.
   * @param {string} name
   */
  elementOf(name) {
    return this.#players.get(name)?.video ?? null;
  }

  /**
   * Whether a person's media arrives.
   * @param {string} name
   */
  arrives(name) {
    const player = this.#players.get(name);
    return player !== undefined && player.receivedAt > performance.now() - ARRIVES_FOR;
  }

  /**
   * Relays to and from these people.
   * @param {string[]} names
   */
  follow(names) {
    for (const [name, player] of this.#players) {
      if (!names.includes(name) || player.isStopped) {
        player.stop();
        player.video.remove();
        this.#players.delete(name);
      }
    }
    for (const name of names.filter((name) => !this.#players.has(name))) {
      const video = h("video", { playsinline: true, class: "relayed" });
      const player = new Player(video, this.#api, `${this.#path}?sender=${encodeURIComponent(name)}&`);
      player.on("received", () => this.emit("change"));
      this.#players.set(name, player);
    }
    if (names.length === 0) {
      this.#stopRecording();
    } else if (!this.#recorder) {
      this.#record();
    }
  }

  /** The server may have lost the recording's beginning. */
  reconnected() {
    this.#recorder?.repeatInit();
  }

  #record() {
    const { microphone, camera, screen, screenSound } = this.#media.tracks;
    const tracks = [microphone ?? screenSound, screen ?? camera].filter((track) => track !== null);
    if (tracks.length === 0) {
      return;
    }
    try {
      const recorder = new Recorder(new MediaStream(tracks), this.#api, this.#path);
      this.#recorder = recorder;
      this.failure = "";
      recorder.on("failed", (error) => {
        this.failure = messageOf(error);
        if (this.#recorder === recorder) {
          this.#recorder = null; // the next periodic check begins another
        }
      });
    } catch (error) {
      this.failure = messageOf(error);
    }
  }

  #stopRecording() {
    this.#recorder?.stop();
    this.#recorder = null;
  }

  /** Records other tracks, once for all changes of the same moment. A recorder cannot change its tracks. */
  #renew() {
    if (!this.#isRenewing) {
      this.#isRenewing = true;
      queueMicrotask(() => {
        this.#isRenewing = false;
        this.#stopRecording();
        if (this.#players.size > 0) {
          this.#record();
        }
      });
    }
  }

  close() {
    this.#removeListener();
    this.follow([]);
  }
}
