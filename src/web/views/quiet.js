// @ts-check
// Do not disturb: what the page shows of it, and the buttons that turn it on and off.

import { onServerClock, post } from "../api.js";
import { button, formatTime, h, outcomeLine, setText } from "../dom.js";

/** @import { Store } from "../client/store.js" */

const HOUR = 3600;

/** The longest time that the server takes: until somebody turns it off. */
const YEAR = 365 * 24 * HOUR;

/**
 * Empty while calls ring.
 * @param {number | null} until
 */
export function quietText(until) {
  const left = (until ?? 0) - onServerClock(Date.now());
  if (until === null || left <= 0) {
    return "";
  }
  return left > YEAR / 2 ? "Do not disturb" : `Do not disturb until ${formatTime(until)}`;
}

/**
 * A part of the dialog of a person's account.
 * @param {Store} store
 */
export function quietSection(store) {
  const { element: outcome, report } = outcomeLine();
  const status = h("p", { class: "quiet", role: "status", id: "quiet-status" });
  /**
   * @param {string} text
   * @param {number} seconds
   */
  const choice = (text, seconds) => {
    const set = async () => {
      store.quietUntil = (await post("/quiet", { seconds })).quiet_until;
      store.changed();
    };
    return button({ text, class: "small", "data-quiet": seconds, onclick: () => report(set) });
  };
  const off = choice("Turn off", 0);
  const render = () => {
    const text = quietText(store.quietUntil);
    off.disabled = text === "";
    setText(status, text ? `${text}. Calls do not ring for you, and are in your history.` : "Calls ring for you.");
  };
  render();
  const buttons = h("div", { class: "row" }, choice("For 1 hour", HOUR), choice("Until I turn it off", YEAR), off);
  return { element: h("section", {}, h("h3", {}, "Do not disturb"), status, buttons, outcome), render };
}
