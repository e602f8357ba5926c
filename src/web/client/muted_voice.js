// @ts-check
// Whether a person speaks while muted. A muted track is silent for this page, too, so a copy of it is measured, which is
// sent to nobody.

import { Speaking } from "./speaking.js";

/** @import { Media } from "./media.js" */

export class MutedVoice {
  #onChange;
  /** @type {MediaStreamTrack | null} */
  #track = null;
  /** @type {MediaStreamTrack | null} */
  #copy = null;
  /** @type {Speaking | null} */
  #speaking = null;

  /** @param {(isSpeaking: boolean) => void} onChange */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  /** @param {Pick<Media, "muted" | "tracks">} media */
  follow({ muted, tracks: { microphone } }) {
    const track = muted && microphone?.readyState === "live" ? microphone : null;
    if (track === this.#track) {
      return;
    }
    this.close();
    if (track) {
      this.#track = track;
      this.#copy = track.clone();
      this.#copy.enabled = true;
      this.#speaking = new Speaking((_, isSpeaking) => this.#onChange(isSpeaking));
      this.#speaking.listen("", new MediaStream([this.#copy]));
    }
  }

  /** Stops measuring, and stops the copy. */
  close() {
    this.#speaking?.close();
    this.#copy?.stop();
    this.#track = this.#copy = this.#speaking = null;
  }
}
