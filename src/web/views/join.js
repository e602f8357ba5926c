// @ts-check
// What a guest sees before and after the call: the form for the name, then why they wait or why it is over.

import { DeviceCheck } from "../call/device_check.js";
import { button, h, setText } from "../dom.js";

/** The longest display name. */
const NAME_MAX = 60;

export class JoinView {
  #form;
  #name = h("input", { id: "guest-name", name: "name", autocomplete: "name", maxlength: String(NAME_MAX), required: true });
  #status = h("p", { id: "join-status", role: "status", tabindex: "-1" });
  #error = h("p", { id: "join-error", class: "error", role: "alert" });
  #check = new DeviceCheck({ on: { microphone: true, camera: false } });
  #submit = button({ text: "Join", id: "join", class: "primary wide", type: "submit" });

  /** @param {(name: string, devices: { video: boolean, muted: boolean }) => void} join */
  constructor(join) {
    const onsubmit = (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      const { camera, microphone } = this.#check.on;
      join(this.#name.value.trim(), { video: camera, muted: !microphone });
    };
    this.#form = h(
      "form",
      { onsubmit },
      h("p", { class: "quiet" }, "You have been invited to a call. Say who you are; somebody on the call may have to let you in."),
      h("label", { for: "guest-name" }, "Your name"),
      this.#name,
      this.#check.element,
      this.#submit,
    );
    const logo = h("img", { src: "web/icon.svg", alt: "", width: "56", height: "56" });
    const card = h("div", { class: "card" }, logo, h("h1", {}, "Calls"), this.#form, this.#status, this.#error);
    this.element = h("main", { class: "sign-in", "data-view": "join" }, card);
  }

  /** @param {string} [error] */
  showForm(error = "") {
    this.#form.hidden = false;
    setText(this.#status, "");
    setText(this.#error, error);
    this.#name.focus();
    this.#check.start();
  }

  /**
   * Shows a sentence instead of the form.
   * @param {string} sentence
   */
  show(sentence) {
    this.#form.hidden = true;
    this.#check.stop();
    setText(this.#error, "");
    setText(this.#status, sentence);
  }

  get status() {
    return this.#status;
  }
}
