// @ts-check
// The guests who wait for a call, with buttons to admit and dismiss them.

import { messageOf } from "./api.js";
import { button, h, keyedList, setText } from "./dom.js";

/** @import { Call } from "./call.js" */

export class Waiting {
  #list = h("ul", { "aria-label": "Guests who wait", tabindex: "-1" });
  #announced = h("p", { class: "visually-hidden", role: "status" });
  #onError;
  element = h("div", { class: "guests", "data-waiting": true }, this.#announced, this.#list);

  /** @param {(sentence: string) => void} onError */
  constructor(onError) {
    this.#onError = onError;
    this.#list.hidden = true;
  }

  /** @param {Call} call */
  render(call) {
    // Guests let nobody in.
    const waiting = call.client.isGuest ? [] : call.waiting;
    keyedList(this.#list, waiting, ({ username }) => username, (guest) => this.#row(call, guest));
    this.#list.hidden = waiting.length === 0;
    setText(this.#announced, waiting.map(({ display_name: name }) => `${name} wants to join.`).join(" "));
  }

  /**
   * @param {Call} call
   * @param {{ username: string, display_name: string }} guest
   */
  #row(call, { username, display_name: name }) {
    const report = (/** @type {Promise<unknown>} */ action) =>
      action.catch((error) => this.#onError(messageOf(error)));
    const admit = { text: "Admit", class: "primary small", "aria-label": `Admit ${name}`, "data-action": "admit" };
    const dismiss = { text: "Dismiss", class: "small", "aria-label": `Dismiss ${name}`, "data-action": "dismiss" };
    const element = h(
      "li",
      { "data-guest": name },
      h("span", { class: "grow" }, `${name} wants to join`),
      button({ ...admit, onclick: () => report(call.admit(username)) }),
      button({ ...dismiss, onclick: () => report(call.dismiss(username)) }),
    );
    return { element };
  }
}
