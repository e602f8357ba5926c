// @ts-check
// Says to screen readers what happens on a call: who comes and goes, raises a hand, reacts, or writes.

import { acceptedNames } from "../client/store.js";
import { h } from "../dom.js";
import { shown } from "../names.js";

/** @import { Call } from "../client/call.js" */

/** Milliseconds that a sentence stays in the region: long enough to be read. */
const SENTENCE_TIME = 8_000;

export class Announcer {
  /** @type {Set<string> | null} */
  #present = null;

  element = h("div", { class: "visually-hidden", role: "status", "data-announcer": true });

  /** @param {string} sentence */
  say(sentence) {
    // Inline, because a block would be wider than the region, which one cannot see.
    const line = h("span", {}, `${sentence} `);
    this.element.append(line);
    setTimeout(() => line.remove(), SENTENCE_TIME);
  }

  /**
   * Follows a call. The chat's panel announces messages while it is open.
   * @param {Call} call
   * @param {() => boolean} isChatOpen
   */
  follow(call, isChatOpen) {
    const { conversation, me } = call;
    call.on("change", () => this.#onChange(call));
    conversation.on("hand", ({ name, isUp }) => this.#sayOf(name, me, isUp ? "raised a hand" : "lowered the hand"));
    conversation.on("reaction", ({ name, reaction }) => this.#sayOf(name, me, `reacted: ${reaction}`));
    conversation.on("message", ({ from, text }) =>
      isChatOpen() || this.#sayOf(from, me, `wrote: ${text.slice(0, 200)}`));
  }

  /**
   * @param {string} name
   * @param {string} me who knows what they do
   * @param {string} what
   */
  #sayOf(name, me, what) {
    if (name !== me) {
      this.say(`${shown(name)} ${what}.`);
    }
  }

  /** @param {Call} call */
  #onChange({ state, me }) {
    if (!state) {
      return;
    }
    const present = new Set(acceptedNames(state));
    if (this.#present) {
      [...present].filter((name) => !this.#present?.has(name)).forEach((name) => this.#sayOf(name, me, "joined"));
      [...this.#present].filter((name) => !present.has(name)).forEach((name) => this.#sayOf(name, me, "left"));
    }
    this.#present = present;
  }
}
