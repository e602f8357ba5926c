// @ts-check
// A dialog with a list that may be long: the list scrolls, and the buttons stay in view.

import { button, h, rememberFocus } from "../dom.js";

/** @import { Child } from "../client/dom.js" */

/**
 * @param {string} id
 * @param {string} title
 * @param {(Child | Child[])[]} body one of the elements scrolls
 * @param {(HTMLButtonElement | false)[]} buttons beside the one that closes it
 * @param {string} [close] the label of the button that closes it
 */
export function showTallDialog(id, title, body, buttons, close = "Cancel") {
  const restoreFocus = rememberFocus();
  const closeButton = { icon: "close", label: close, class: "plain", "data-answer": "done", onclick: () => dialog.close() };
  const dialog = h(
    "dialog",
    { id, class: "dialog tall", "aria-labelledby": `${id}-title` },
    h("div", { class: "dialog-head" }, h("h2", { id: `${id}-title`, class: "grow" }, title), button(closeButton)),
    ...body,
    h("div", { class: "row end" }, buttons),
  );
  dialog.addEventListener("close", () => {
    dialog.remove();
    restoreFocus();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
