// @ts-check
// Do not disturb: what the page shows of it, and the buttons that turn it on and off.

import { messageOf, onServerClock, post } from "../api.js";
import { icon } from "../client/icons.js";
import { button, formatTime, h, notify, outcomeLine, setText, showDialog } from "../dom.js";

/** @import { Store } from "../client/store.js" */

const HOUR = 3600;

/** The longest time that the server takes: until the person turns it off. */
const YEAR = 365 * 24 * HOUR;

/** The hour at which "until tomorrow" ends. */
const MORNING = 8;

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

/** Seconds from `now` until tomorrow morning. */
export function untilTomorrow(now = new Date()) {
  const morning = new Date(now.getFullYear(), now.getMonth(), now.getDate() + 1, MORNING);
  return Math.ceil((morning.getTime() - now.getTime()) / 1000);
}

/**
 * @param {Store} store
 * @param {number} seconds 0 turns it off
 */
async function setQuiet(store, seconds) {
  store.quietUntil = (await post("/quiet", { seconds })).quiet_until;
  store.changed();
}

/**
 * A line that is there while no call rings, with the way out.
 * @param {Store} store
 * @param {HTMLElement} fallback gets the focus when the line goes
 */
export function quietLine(store, fallback) {
  const text = h("span", { class: "grow", id: "quiet-now" });
  const turnOff = () => setQuiet(store, 0).catch((error) => notify(messageOf(error), { urgent: true }));
  const off = button({ text: "Turn off", id: "quiet-off", class: "small", onclick: turnOff });
  const element = h("div", { class: "quiet-line", hidden: true }, icon("quiet"), text, off);
  const render = () => {
    const hasFocus = element.contains(document.activeElement);
    setText(text, quietText(store.quietUntil));
    element.hidden = text.textContent === "";
    if (hasFocus && element.hidden) {
      fallback.focus();
    }
  };
  return { element, render };
}

/**
 * The dialog with the choices.
 * @param {Store} store
 */
export function showQuiet(store) {
  const { element: outcome, report } = outcomeLine();
  const status = h("p", { class: "quiet", role: "status", id: "quiet-status" });
  /**
   * @param {string} text
   * @param {string} name
   * @param {() => number} seconds
   */
  const choice = (text, name, seconds) =>
    button({ text, class: "wide", "data-quiet": name, onclick: () => report(() => setQuiet(store, seconds())) });
  const off = choice("Turn off", "off", () => 0);
  const render = () => {
    const text = quietText(store.quietUntil);
    off.hidden = text === "";
    setText(status, text ? `${text}. Calls do not ring for you, and are in your history.` : "Calls ring for you.");
  };
  render();
  const choices = h(
    "div",
    { class: "choices" },
    off,
    choice("For 1 hour", "hour", () => HOUR),
    choice("Until tomorrow", "tomorrow", untilTomorrow),
    choice("Until I turn it off", "always", () => YEAR),
  );
  const dialog = showDialog({ id: "quiet", title: "Do not disturb", body: [status, choices, outcome] });
  const removeListener = store.on("change", () => (store.me === null ? dialog.close() : render()));
  dialog.addEventListener("close", removeListener);
}
