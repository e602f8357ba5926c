// @ts-check
// Whether people can be reached: a dot at the face, of a shape for each state, and its words.

import { avatar, h } from "../dom.js";

/** @import { PresenceState } from "../client/types.js" */

/** @type {Record<PresenceState, string>} */
export const PRESENCE_WORDS = { online: "Online", "on-call": "On a call", quiet: "Do not disturb", offline: "Offline" };

/** A disc, a diamond, a disc with a bar, and a ring: the shape alone tells them apart. @type {Record<PresenceState, string>} */
const SHAPES = {
  online: "M6 1a5 5 0 1 1 0 10a5 5 0 0 1 0-10z",
  "on-call": "M6 0l6 6-6 6-6-6z",
  quiet: "M6 1a5 5 0 1 1 0 10a5 5 0 0 1 0-10zM3 5v2h6V5z",
  offline: "M6 1a5 5 0 1 1 0 10a5 5 0 0 1 0-10zM6 3a3 3 0 1 0 0 6a3 3 0 0 0 0-6z",
};

const SVG = "http://www.w3.org/2000/svg";

/**
 * A face with a dot, which screen readers do not see: the words stand beside it.
 * @param {string} name
 */
export function faceWithPresence(name, classes = "") {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 12 12");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("presence-dot");
  svg.append(path);
  const element = h("span", { class: "face" }, avatar(name, classes));
  element.append(svg);
  /** @param {PresenceState} presence */
  const render = (presence) => {
    element.dataset.dot = presence;
    path.setAttribute("d", SHAPES[presence]);
  };
  return { element, render };
}

/**
 * The words for a state in which a call may not be answered; empty otherwise.
 * @param {PresenceState} presence
 */
export const unavailableText = (presence) =>
  presence === "on-call" || presence === "quiet" ? PRESENCE_WORDS[presence] : "";

/**
 * What one should know before a call rings for a person; empty if nothing keeps it from ringing.
 * @param {PresenceState} presence
 * @param {string} shown
 */
export function warningOf(presence, shown) {
  if (presence === "on-call") {
    return `${shown} is on another call.`;
  }
  return presence === "quiet" ? `${shown} does not want to be disturbed. The call will not ring.` : "";
}
