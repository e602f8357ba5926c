// @ts-check
// The chat of a call: messages between those who are on it now. Nobody keeps them.

import { TEXT_MAX } from "../client/conversation.js";
import { button, formatTime, h, keyedList, setText } from "../dom.js";
import { listed, shown } from "../names.js";
import { partsOf } from "./links.js";

/** @import { ChatMessage, Conversation } from "../client/conversation.js" */

export class ChatPanel {
  #conversation;
  #me;
  #onChange;
  #list = h("div", { class: "messages", role: "log", "aria-label": "Messages", tabindex: "0" });
  #text = h("textarea",
    { id: "chat-text", rows: "2", maxlength: String(TEXT_MAX), placeholder: "Message to everyone here" });
  #isOpen = false;

  /** Messages that came while the panel was closed. */
  unread = 0;

  /**
   * @param {Conversation} conversation
   * @param {string} me
   * @param {() => void} onChange the panel was opened or closed, or `unread` has changed
   */
  constructor(conversation, me, onChange) {
    this.#conversation = conversation;
    this.#me = me;
    this.#onChange = onChange;
    const close = { icon: "close", label: "Close chat", class: "plain", id: "close-chat", onclick: () => this.close() };
    this.#text.onkeydown = (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.#send();
      }
    };
    const onsubmit = (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      this.#send();
    };
    this.element = h(
      "aside",
      { class: "chat", id: "chat-panel", "aria-labelledby": "chat-title", hidden: true },
      h("header", {}, h("h3", { id: "chat-title", class: "grow" }, "Chat"), button(close)),
      h("p", { class: "quiet" }, "Only those who are on the call now get your messages. They are not kept."),
      this.#list,
      h("form", { onsubmit }, h("label", { for: "chat-text", class: "visually-hidden" }, "Message"), this.#text,
        button({ icon: "send", label: "Send", class: "primary", id: "chat-send", type: "submit" })),
    );
    conversation.on("message", (message) => this.#onMessage(message));
  }

  get isOpen() {
    return this.#isOpen;
  }

  open() {
    this.#isOpen = true;
    this.unread = 0;
    this.element.hidden = false;
    this.#scrollDown();
    this.#text.focus();
    this.#onChange();
  }

  close() {
    this.#isOpen = false;
    this.element.hidden = true;
    this.#onChange();
  }

  #send() {
    this.#conversation.say(this.#text.value);
    this.#text.value = "";
    this.#text.focus();
  }

  /** @param {ChatMessage} message */
  #onMessage({ from }) {
    // Those who read further up stay there.
    const wasDown = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 40;
    keyedList(this.#list, this.#conversation.messages, ({ number }) => String(number), (one) => this.#row(one));
    if (wasDown || from === this.#me) {
      this.#scrollDown();
    }
    if (!this.#isOpen && from !== this.#me) {
      this.unread += 1;
      this.#onChange();
    }
  }

  /** @param {ChatMessage} message */
  #row({ from, text, ts, unreached }) {
    const body = h("p", { class: "message-text" }, partsOf(text).map(({ text: part, address }) =>
      address ? h("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, part) : part));
    const warning = h("p", { class: "message-unreached" });
    if (unreached.length > 0) {
      setText(warning, `Not delivered to ${listed(unreached)}: no direct connection.`);
    }
    const element = h(
      "div",
      { "data-message": from, class: from === this.#me ? "mine" : "" },
      h("p", { class: "message-from" }, h("strong", {}, from === this.#me ? "You" : shown(from)),
        h("time", {}, formatTime(ts / 1000))),
      body,
      unreached.length > 0 && warning,
    );
    return { element };
  }

  #scrollDown() {
    this.#list.scrollTop = this.#list.scrollHeight;
  }
}
