// @ts-check
// What I send in a call: the microphone, the camera if it is on, and the screen if I share it.

import { openCamera, openMicrophone, openScreen, tracksOf } from "./devices.js";
import { Emitter } from "./emitter.js";

/** @import { Role } from "./types.js" */

/** @extends {Emitter<{ change: void, track: Role, deviceLost: Role }>} */
export class Media extends Emitter {
  /** Tracks by role; null is off. @type {Record<Role, MediaStreamTrack | null>} */
  tracks = { microphone: null, camera: null, screen: null, screenSound: null };
  /** The streams that the tracks travel in; receivers tell camera and screen apart by their ids. */
  camera = new MediaStream();
  screen = new MediaStream();
  muted = false;

  get streams() {
    return { camera: this.camera.id, screen: this.screen.id };
  }

  /**
   * The stream that a role travels in.
   * @param {Role} role
   */
  streamOf(role) {
    return role === "microphone" || role === "camera" ? this.camera : this.screen;
  }

  /** Opens the chosen microphone. */
  async openMicrophone() {
    this.#set("microphone", await openMicrophone());
    this.mute(this.muted);
  }

  /** Opens the chosen camera. */
  async openCamera() {
    this.#set("camera", await openCamera());
  }

  closeCamera() {
    this.#set("camera", null);
  }

  /** @param {boolean} muted */
  mute(muted) {
    this.muted = muted;
    if (this.tracks.microphone) {
      this.tracks.microphone.enabled = !muted;
    }
    this.emit("change");
  }

  /**
   * Shares a screen.
   * @param {MediaStream} [stream] without it, the person chooses one
   */
  async openScreen(stream) {
    const { videoTrack, audioTrack } = stream ? tracksOf(stream) : await openScreen();
    this.#set("screen", videoTrack);
    this.#set("screenSound", audioTrack);
  }

  closeScreen() {
    this.#set("screen", null);
    this.#set("screenSound", null);
  }

  close() {
    for (const role of /** @type {Role[]} */ (Object.keys(this.tracks))) {
      this.#set(role, null);
    }
  }

  /**
   * @param {Role} role
   * @param {MediaStreamTrack | null} track
   */
  #set(role, track) {
    const old = this.tracks[role];
    if (old === track) {
      return;
    }
    const stream = this.streamOf(role);
    if (old) {
      old.onended = null;
      old.stop();
      stream.removeTrack(old);
    }
    this.tracks[role] = track;
    if (track) {
      stream.addTrack(track);
      // A device was unplugged, or the sharing was stopped in the browser's own bar.
      track.onended = () => {
        this.#set(role, null);
        this.emit("deviceLost", role);
      };
    }
    this.emit("track", role);
    this.emit("change");
  }
}

/**
 * What to open for a call.
 * @typedef {object} MediaOptions
 * @property {boolean} [microphone] true without it
 * @property {boolean} [camera] false without it
 * @property {boolean} [muted]
 */

/**
 * Opens what I send.
 * @param {MediaOptions} options
 * @returns {Promise<Media>} rejects with a DeviceError if a device cannot be used
 */
export async function openMedia({ microphone = true, camera = false, muted = false }) {
  const media = new Media();
  media.muted = muted;
  try {
    if (microphone) {
      await media.openMicrophone();
    }
    if (camera) {
      await media.openCamera();
    }
  } catch (error) {
    media.close();
    throw error;
  }
  return media;
}
