// @ts-check
// Whether people can be reached: a dot at the face, of a shape for each state, and its words.

import { avatar, h } from "../dom.js";

/** @import { Store } from "../client/store.js" */

/** @typedef {"online" | "on-call" | "quiet" | "offline"} Presence */

/** @type {Record<Presence, string>} */
export const PRESENCE_WORDS = { online: "Online", "on-call": "On a call", quiet: "Do not disturb", offline: "Offline" };

/** A disc, a diamond, a disc with a bar, and a ring: the shape alone tells them apart. @type {Record<Presence, string>} */
const SHAPES = {
  online: "M6 1a5 5 0 1 1 0 10a5 5 0 0 1 0-10z",
  "on-call": "M6 0l6 6-6 6-6-6z",
  quiet: "M6 1a5 5 0 1 1 0 10a5 5 0 0 1 0-10zM3 5v2h6V5z",
  offline: "M6 1a5 5 0 1 1 0 10a5 5 0 0 1 0-10zM6 3a3 3 0 1 0 0 6a3 3 0 0 0 0-6z",
};

const SVG = "http://www.w3.org/2000/svg";

/**
 * Stands in for Store.presenceOf.
 * @param {Store} store
 * @param {string} name
 * @returns {Presence | null}
 */
export const presenceOf = (store, name) => (store.presence(name) === "on a call" ? "on-call" : null);

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
  /** @param {Presence | null} presence */
  const render = (presence) => {
    element.dataset.dot = presence ?? "";
    if (presence) {
      path.setAttribute("d", SHAPES[presence]);
      element.append(svg);
    } else {
      svg.remove();
    }
  };
  return { element, render };
}

/**
 * What one should know before a call rings for a person; empty if nothing keeps it from ringing.
 * @param {Presence | null} presence
 * @param {string} shown
 */
export function warningOf(presence, shown) {
  if (presence === "on-call") {
    return `${shown} is on another call.`;
  }
  return presence === "quiet" ? `${shown} does not want to be disturbed. The call will not ring.` : "";
}
