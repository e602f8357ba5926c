// What I send in a call: the microphone, the camera if it is on, and the screen if I share it.

import { openCamera, openMicrophone, openScreen } from "./devices.js";

export class Media extends EventTarget {
  /** The tracks, by role; null is what is off. */
  tracks = { microphone: null, camera: null, screen: null, screenSound: null };
  /** The streams in which they travel; the others tell camera and screen apart by them. */
  camera = new MediaStream();
  screen = new MediaStream();
  muted = false;

  get streams() {
    return { camera: this.camera.id, screen: this.screen.id };
  }

  /** The stream that a role travels in. */
  streamOf(role) {
    return role === "microphone" || role === "camera" ? this.camera : this.screen;
  }

  /** Turns the microphone on, or takes the one that is chosen now. */
  async openMicrophone() {
    this.#set("microphone", await openMicrophone());
    this.mute(this.muted);
  }

  async openCamera() {
    this.#set("camera", await openCamera());
  }

  closeCamera() {
    this.#set("camera", null);
  }

  mute(muted) {
    this.muted = muted;
    if (this.tracks.microphone) {
      this.tracks.microphone.enabled = !muted;
    }
    this.dispatchEvent(new Event("change"));
  }

  async openScreen() {
    const { picture, sound } = await openScreen();
    this.#set("screen", picture);
    this.#set("screenSound", sound);
  }

  closeScreen() {
    this.#set("screen", null);
    this.#set("screenSound", null);
  }

  close() {
    Object.keys(this.tracks).forEach((role) => this.#set(role, null));
  }

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
      // A device that was unplugged, or a screen whose sharing was stopped in the browser's own bar.
      track.onended = () => {
        this.#set(role, null);
        this.dispatchEvent(new CustomEvent("lost", { detail: role }));
      };
    }
    this.dispatchEvent(new CustomEvent("track", { detail: role }));
    this.dispatchEvent(new Event("change"));
  }
}
