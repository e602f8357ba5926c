// @ts-check
// What the view of a call shows when the call is over.

import { avatar, button, h } from "../dom.js";

/**
 * @param {object} options
 * @param {string} options.title
 * @param {string} options.reason why it is over
 * @param {boolean} options.hasFailed
 * @param {string} options.duration empty if nobody answered
 * @param {(() => void) | null} options.callAgain
 * @param {() => void} options.close
 */
export function ended({ title, reason, hasFailed, duration, callAgain, close }) {
  const again = { icon: "phone", text: "Call again", id: "call-again", class: "primary", onclick: callAgain };
  const buttons = [callAgain && button(again), button({ text: "Close", id: "call-close", onclick: close })];
  return h(
    "div",
    { class: "ended", "data-ended": hasFailed ? "failed" : "over" },
    avatar(title, "huge"),
    h("h2", { id: "call-title" }, title),
    h("p", { id: "call-ended-reason", role: "alert" }, reason),
    duration && h("p", { class: "quiet" }, `Duration ${duration}`),
    h("div", { class: "row center" }, buttons),
  );
}
