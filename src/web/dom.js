// @ts-check
// What the page's views consist of, beside the elements of the library: avatars, toasts, dialogs, forms and times.

import { button, face, h, setText } from "./client/dom.js";
import { shown } from "./names.js";

/** @import { Child, Properties } from "./client/dom.js" */

export { button, h, keyedList, setButtonText, setIcon, setProperties, setText } from "./client/dom.js";

/** @param {string} name */
export const avatar = (name, classes = "") => face(name, shown(name), classes);

/**
 * An element that the page's HTML has.
 * @param {string} id
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) {
    throw new Error(`The page has no element ${id}.`);
  }
  return element;
}

/** @param {string} word */
export const capitalised = (word) => word.charAt(0).toUpperCase() + word.slice(1);

/** @returns {() => void} gives the focus back to the element that has it now */
export function rememberFocus() {
  const before = document.activeElement;
  return () => before instanceof HTMLElement && before.focus();
}

// ---- messages and dialogs

/**
 * Shows a toast. `urgent` interrupts a screen reader.
 * @param {string} sentence
 */
export function notify(sentence, { urgent = false } = {}) {
  const region = byId(urgent ? "alerts" : "notices");
  const close = button({ icon: "close", label: "Dismiss", class: "plain", onclick: () => toast.remove() });
  const toast = h(
    "div",
    { class: `toast ${urgent ? "urgent" : ""}`, "data-toast": urgent ? "alert" : "notice" },
    h("p", {}, sentence),
    close,
  );
  [...region.children].slice(0, -2).forEach((old) => old.remove());
  region.append(toast);
  setTimeout(() => toast.remove(), urgent ? 12_000 : 6_000);
}

/**
 * Shows a modal dialog.
 * @param {object} options
 * @param {string} options.id
 * @param {string} options.title
 * @param {Node[]} options.body
 * @param {({ value: string, text: string } & Properties)[]} options.buttons
 * @param {AbortSignal} [options.signal] dismisses it
 * @returns {Promise<string | null>} the value of the chosen button; null if it was dismissed
 */
export function askInDialog({ id, title, body, buttons, signal }) {
  return new Promise((resolve) => {
    const restoreFocus = rememberFocus();
    const row = buttons.map(({ value, text, ...rest }) =>
      button({ text, "data-answer": value, onclick: () => dialog.close(value), ...rest }));
    const dialog = h(
      "dialog",
      { id, class: "dialog", "aria-labelledby": `${id}-title` },
      h("h2", { id: `${id}-title` }, title),
      body,
      h("div", { class: "row end" }, row),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      restoreFocus();
      resolve(dialog.returnValue || null);
    });
    signal?.addEventListener("abort", () => dialog.close());
    document.body.append(dialog);
    dialog.showModal();
  });
}

/**
 * Shows a modal dialog that one button closes, "Done" or with the text `close`.
 * @param {object} options
 * @param {string} options.id
 * @param {string} options.title
 * @param {(Child | Child[])[]} options.body
 * @param {string} [options.close]
 * @returns {HTMLDialogElement}
 */
export function showDialog({ id, title, body, close = "Done" }) {
  const restoreFocus = rememberFocus();
  const dialog = h(
    "dialog",
    { id, class: "dialog", "aria-labelledby": `${id}-title` },
    h("h2", { id: `${id}-title` }, title),
    ...body,
    h("div", { class: "row end" }, button({ text: close, "data-answer": "done", onclick: () => dialog.close() })),
  );
  dialog.addEventListener("close", () => {
    dialog.remove();
    restoreFocus();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * A place for what became of an action. In a dialog it replaces a toast, which would lie below the dialog.
 */
export function outcomeLine() {
  const failure = h("p", { class: "error", role: "alert" });
  const success = h("p", { class: "quiet", role: "status" });
  /**
   * Shows the sentence of a failure, or `done`.
   * @param {() => Promise<unknown>} action
   */
  const report = async (action, done = "") => {
    setText(failure, "");
    setText(success, "");
    try {
      await action();
      setText(success, done);
    } catch (error) {
      setText(failure, error instanceof Error ? error.message : String(error));
    }
  };
  return { element: h("div", { class: "outcome" }, failure, success), report };
}

/**
 * A form that shows above its button what became of its action.
 * @param {object} options
 * @param {string} options.id
 * @param {(Child | Child[])[]} options.body
 * @param {string} options.submit the text of the button
 * @param {string} [options.done] a sentence after success
 * @param {() => Promise<unknown>} options.action
 */
export function actionForm({ id, body, submit, done, action }) {
  const { element: outcome, report } = outcomeLine();
  const send = button({ text: submit, type: "submit" });
  const onsubmit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    send.disabled = true;
    await report(action, done);
    send.disabled = false;
  };
  return h("form", { id, class: "action-form", onsubmit }, ...body, outcome, send);
}

/**
 * A field of a form with its label.
 * @param {string} text
 * @param {HTMLInputElement | HTMLSelectElement} control has an id
 */
export const labelled = (text, control) =>
  h("div", { class: "field" }, h("label", { for: control.id }, text), control);

// ---- times

/** @param {number} seconds */
export function formatDuration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const twoDigits = (/** @type {number} */ number) => String(number).padStart(2, "0");
  return hours > 0 ? `${hours}:${twoDigits(minutes)}:${twoDigits(rest)}` : `${minutes}:${twoDigits(rest)}`;
}

/** @param {number} seconds since the epoch */
export function formatTime(seconds) {
  const date = new Date(seconds * 1000);
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const days = Math.floor((date.getTime() - new Date().setHours(0, 0, 0, 0)) / 86_400_000);
  if (days === 0) {
    return time;
  }
  if (days === -1) {
    return `Yesterday, ${time}`;
  }
  return `${date.toLocaleDateString([], { day: "numeric", month: "short", year: "numeric" })}, ${time}`;
}
