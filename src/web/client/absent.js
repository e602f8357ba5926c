// @ts-check
// The people who were called and are not on the call, with what became of it.

import { face, h, keyedList, setProperties, setText } from "./dom.js";

/** @import { Names } from "./names.js" */
/** @import { CallState, Participant } from "./types.js" */

/** @type {Record<string, string>} */
const WORDS = {
  ringing: "ringing",
  declined: "declined",
  unanswered: "no answer",
  busy: "busy",
  quiet: "do not disturb",
};

/**
 * Why a participant is absent: `ringing`, or a reason. Null for those on the call, and for those who were on it.
 * @param {Participant} participant
 */
export function absenceOf({ state, absence }) {
  if (state === "pending") {
    return "ringing";
  }
  return state === "rejected" ? (absence ?? "unanswered") : null;
}

/** A row of names. */
export class Absent {
  element = h("ul", { class: "absent", "aria-label": "Called", hidden: true });

  /**
   * @param {CallState} state
   * @param {Names} names
   */
  render({ participants }, names) {
    const absent = participants.filter((participant) => absenceOf(participant) !== null);
    keyedList(this.element, absent, ({ username }) => username, ({ username }) => this.#row(username, names));
    this.element.hidden = absent.length === 0;
  }

  /**
   * @param {string} username
   * @param {Names} names
   */
  #row(username, names) {
    const shown = names.shown(username);
    const word = h("span", { class: "absent-word" });
    const element = h("li", { "data-absent": username }, face(username, shown, "small"),
      h("span", { class: "absent-name", title: username }, shown), word);
    /** @param {Participant} participant */
    const render = (participant) => {
      const absence = absenceOf(participant) ?? "";
      setProperties(element, { "data-absence": absence });
      setText(word, WORDS[absence] ?? "");
    };
    return { element, render };
  }
}
