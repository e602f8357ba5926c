// @ts-check
// Incoming calls: a card for each, with the ways to answer it.

import { callWaitingTone, ringtone } from "../client/sound.js";
import { avatar, button, byId, h, keyedList, setButtonText } from "../dom.js";
import { listed, shown } from "../names.js";

/** @import { Store } from "../client/store.js" */
/** @import { IncomingCall } from "../client/types.js" */

/**
 * @typedef {object} RingingActions
 * @property {(id: string, video: boolean) => void} answer
 * @property {(id: string) => void} decline
 * @property {(id: string, caller: string, title: string) => void} showNotification
 * @property {(id: string) => void} closeNotification
 */

export class Ringing {
  #store;
  #actions;
  #element = byId("ringing");
  /** @type {(() => void) | null} */
  #stopTone = null;
  #isToneQuiet = false;
  /** The calls that ring, and whether each has a notification. @type {Map<string, boolean>} */
  #notified = new Map();
  /** @type {Element | null} */
  #focusBefore = null;

  /**
   * @param {Store} store
   * @param {RingingActions} actions
   */
  constructor(store, actions) {
    this.#store = store;
    this.#actions = actions;
  }

  /**
   * @param {IncomingCall[]} calls
   * @param {boolean} isOnCall on a call, another one only signals that it waits
   */
  render(calls, isOnCall) {
    const before = this.#element.children.length;
    keyedList(this.#element, calls, ({ call_id: id }) => id, (call) => this.#card(call, isOnCall));
    this.#moveFocus(before, calls.length);
    this.#playTone(calls.length > 0, isOnCall);
    this.#showNotifications(calls);
  }

  /**
   * @param {number} before
   * @param {number} now
   */
  #moveFocus(before, now) {
    const isTyping = document.activeElement?.matches("input, select, textarea, dialog *") ?? false;
    const last = this.#element.lastElementChild;
    if (now > before && !isTyping && last instanceof HTMLElement) {
      // The card gets the focus, not its button: a key meant for something else must not answer.
      this.#focusBefore ??= document.activeElement;
      last.focus();
    } else if (now === 0 && before > 0) {
      if (document.activeElement === document.body && this.#focusBefore instanceof HTMLElement) {
        this.#focusBefore.focus();
      }
      this.#focusBefore = null;
    }
  }

  /** @param {IncomingCall} call */
  #description({ initiator, channel }) {
    const members = this.#store.members(channel);
    if (!members.includes(this.#store.me ?? "")) {
      const others = members.filter((name) => name !== initiator);
      return `invites you to a call${others.length > 0 ? ` with ${listed(others)}` : ""}`;
    }
    return this.#store.isPair(channel) ? "is calling you" : `is calling ${this.#store.title(channel)}`;
  }

  /**
   * @param {IncomingCall} call
   * @param {boolean} isOnCall
   */
  #card(call, isOnCall) {
    const { call_id: id, initiator, channel } = call;
    const answer = (/** @type {boolean} */ video) => () => this.#actions.answer(id, video);
    const answerButton = button({
      icon: "phone",
      text: "Answer",
      class: "answer",
      "data-action": "answer",
      onclick: answer(false),
    });
    const element = h(
      "section",
      {
        class: "ring-card",
        role: "alertdialog",
        tabindex: "-1",
        "data-call": id,
        "data-ringing": channel,
        "aria-labelledby": `ring-${id}`,
        "aria-describedby": `ring-text-${id}`,
      },
      avatar(initiator, "large pulse"),
      h(
        "div",
        { class: "grow" },
        h("h2", { id: `ring-${id}`, title: initiator }, shown(initiator)),
        h("p", { class: "quiet", id: `ring-text-${id}` }, this.#description(call)),
      ),
      h(
        "div",
        { class: "row" },
        answerButton,
        button({
          icon: "video",
          label: "Answer with video",
          class: "answer",
          "data-action": "answer-video",
          onclick: answer(true),
        }),
        button({
          icon: "hangup",
          label: "Decline",
          class: "danger",
          "data-action": "decline",
          onclick: () => this.#actions.decline(id),
        }),
      ),
    );
    return { element, render: () => setButtonText(answerButton, isOnCall ? "Hang up and answer" : "Answer") };
  }

  /**
   * @param {boolean} isRinging
   * @param {boolean} isQuiet
   */
  #playTone(isRinging, isQuiet) {
    if (!isRinging || isQuiet !== this.#isToneQuiet) {
      this.#stopTone?.();
      this.#stopTone = null;
    }
    if (isRinging && !this.#stopTone) {
      this.#isToneQuiet = isQuiet;
      this.#stopTone = isQuiet ? callWaitingTone() : ringtone();
      if (navigator.userActivation?.hasBeenActive) {
        navigator.vibrate?.([300, 150, 300]);
      }
    }
  }

  /**
   * A call that began to ring while the page was in the background has a notification.
   * @param {IncomingCall[]} calls
   */
  #showNotifications(calls) {
    const ids = new Set(calls.map(({ call_id: id }) => id));
    for (const [id, isShown] of this.#notified) {
      if (!ids.has(id)) {
        this.#notified.delete(id);
        if (isShown) {
          this.#actions.closeNotification(id);
        }
      }
    }
    for (const { call_id: id, initiator, channel } of calls.filter((call) => !this.#notified.has(call.call_id))) {
      const isShown = !document.hasFocus();
      this.#notified.set(id, isShown);
      if (isShown) {
        this.#actions.showNotification(id, shown(initiator), this.#store.title(channel));
      }
    }
  }
}
