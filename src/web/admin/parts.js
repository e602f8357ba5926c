// @ts-check
// Parts of the page for admins that several sections use.

import { askInDialog, button, h } from "../dom.js";

/**
 * What the page shows below its navigation.
 * @typedef {object} Section
 * @property {HTMLElement} element
 * @property {() => void} [stop] called when another section replaces it
 */

/**
 * A section with a heading, and beside it what can be done there.
 * @param {string} title
 * @param {HTMLElement[]} actions
 * @param {...Node} content
 */
export const sectionElement = (title, actions, ...content) =>
  h("section", { "aria-labelledby": "section-title" },
    h("div", { class: "row" }, h("h2", { id: "section-title", class: "grow" }, title), actions), content);

/**
 * Asks before a change that cannot be undone.
 * @param {string} title
 * @param {string} text what happens
 * @param {string} action the text of the button
 */
export async function isConfirmed(title, text, action) {
  const buttons = [{ value: "cancel", text: "Cancel" }, { value: "confirm", text: action, class: "danger" }];
  return (await askInDialog({ id: "confirm", title, body: [h("p", {}, text)], buttons })) === "confirm";
}

/**
 * A row with a button.
 * @param {HTMLElement[]} text
 * @param {{ text: string, label: string, onclick: () => void } & import("../client/dom.js").Properties} action
 */
export const rowWithAction = (text, { label, ...action }) =>
  h("li", {}, h("div", { class: "grow" }, text), button({ class: "small", "aria-label": label, ...action }));
