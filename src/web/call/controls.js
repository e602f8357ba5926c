// @ts-check
// The buttons below a call. What does not fit into the row is in the menu "More".

import { canShareScreen } from "../client/devices.js";
import { REACTIONS } from "../client/conversation.js";
import { cameraToggle, microphoneToggle, renderToggle, screenToggle } from "../client/toggles.js";
import { button, h, setButtonText, setProperties, setText } from "../dom.js";
import { fitting } from "./fitting.js";

/** @import { Call } from "../client/call.js" */
/** @import { CallState } from "../client/types.js" */
/** @import { CallActions } from "../views/call.js" */

/** Those that stay in the row longest are first. */
const ORDER = ["mute", "camera", "chat-button", "screen", "hand", "people-button", "reactions-button"];

/** Pixels that a button needs, with its text below the icon and without text. */
const WIDE = 84;
const NARROW = 46;

/** Pixels between two buttons. */
const GAP = 6;

/** @typedef {Omit<CallActions, "callAgain" | "close">} ControlActions */

export class Controls {
  #mute;
  #camera;
  #screen;
  #hand;
  #chat;
  #people;
  #reactions;
  #leave;
  #more = button({ icon: "more", text: "More", id: "more", class: "control", popovertarget: "more-menu" });
  #moreMenu;
  #unread = h("span", { class: "badge", hidden: true });
  #layout;
  #full;
  #observer;
  /** Those that can move into the menu, in the order of the row. @type {HTMLButtonElement[]} */
  #movable;

  /** @param {ControlActions} actions */
  constructor(actions) {
    this.#mute = control("mute", "microphone", "Mic", { "aria-label": "Microphone", onclick: actions.toggleMute });
    this.#camera = control("camera", "video", "Camera", { onclick: actions.toggleCamera });
    const { toggleScreen } = actions;
    this.#screen = control("screen", "screen", "Share", { "aria-label": "Share screen", onclick: toggleScreen });
    this.#hand = control("hand", "hand", "Hand", { "aria-label": "Raise hand", onclick: actions.toggleHand });
    this.#chat = control("chat-button", "chat", "Chat", { onclick: actions.toggleChat });
    this.#chat.append(this.#unread);
    this.#people = control("people-button", "people", "People", { onclick: actions.showPeople });
    this.#reactions = control("reactions-button", "smile", "React", { popovertarget: "reactions" });
    this.#leave = control("leave", "hangup", "Leave", { class: "control danger", onclick: actions.leave });
    this.#layout = item("layout-button", "speaker", "Speaker view", actions.toggleLayout);
    this.#full = item("fullscreen", "expand", "Fullscreen", actions.toggleFullscreen);
    this.#full.hidden = !document.fullscreenEnabled;
    this.#screen.hidden = !canShareScreen();
    this.#movable = [this.#mute, this.#camera, this.#screen, this.#hand, this.#reactions, this.#chat, this.#people];
    const reactions = h("div", { id: "reactions", class: "popup reactions", popover: "auto", role: "group",
      "aria-label": "Reactions" });
    REACTIONS.forEach((reaction) => reactions.append(button({
      text: reaction, class: "plain", "data-reaction": reaction, "aria-label": `React with ${reaction}`,
      onclick: () => {
        reactions.hidePopover();
        actions.react(reaction);
      },
    })));
    this.#moreMenu = h(
      "div",
      { id: "more-menu", class: "popup menu", popover: "auto", role: "group", "aria-label": "More" },
      this.#layout, this.#full, item("call-devices", "devices", "Devices", actions.chooseDevices),
      item("show-shortcuts", "keyboard", "Keyboard shortcuts", actions.showShortcuts),
    );
    this.#moreMenu.addEventListener("click", (event) => {
      if (event.target instanceof Element && event.target.closest("button")) {
        this.#moreMenu.hidePopover();
      }
    });
    this.element = h("div", { class: "controls", role: "group", "aria-label": "Call" },
      this.#movable, this.#more, this.#leave, this.#moreMenu, reactions);
    this.#observer = new ResizeObserver(() => this.#fit());
    this.#observer.observe(this.element);
  }

  /** The buttons that need a call, while there is none. @param {boolean} isDisabled */
  setDisabled(isDisabled) {
    [...this.#movable, this.#more].forEach((one) => (one.disabled = isDisabled));
  }

  /** @param {string} text */
  setLeaveText(text) {
    setButtonText(this.#leave, text);
  }

  /** Puts as many buttons into the row as fit. */
  #fit() {
    const { clientWidth: width } = this.element;
    if (width === 0 || this.element.closest(".small")) {
      return;
    }
    const isNarrow = width < 480 || innerHeight < 480;
    this.element.classList.toggle("icons", isNarrow);
    const shown = this.#movable.filter(({ hidden }) => !hidden);
    const inRow = fitting({ width, size: isNarrow ? NARROW : WIDE, gap: GAP, fixed: 2,
      ids: shown.map(({ id }) => id), order: ORDER });
    for (const one of shown) {
      const parent = inRow.has(one.id) ? this.element : this.#moreMenu;
      if (one.parentElement !== parent) {
        parent.insertBefore(one, parent === this.element ? this.#nextInRow(one) : this.#layout);
      }
    }
  }

  /** @param {HTMLButtonElement} one */
  #nextInRow(one) {
    const later = this.#movable.slice(this.#movable.indexOf(one) + 1);
    return later.find(({ parentElement }) => parentElement === this.element) ?? this.#more;
  }

  /**
   * @param {Call} call
   * @param {CallState} state
   * @param {{ isChatOpen: boolean, unread: number, layout: string }} view
   */
  render(call, state, { isChatOpen, unread, layout }) {
    const { media, conversation, me } = call;
    renderToggle(this.#mute, microphoneToggle(media), "m, or hold Space");
    renderToggle(this.#camera, cameraToggle(media), "v");
    renderToggle(this.#screen, screenToggle(call), "s");
    const isUp = conversation.hands.has(me);
    renderToggle(this.#hand, { isOn: isUp, icon: "hand", hint: isUp ? "Lower your hand" : "Raise your hand" }, "h");
    renderToggle(this.#chat, { isOn: isChatOpen, icon: "chat", hint: isChatOpen ? "Close chat" : "Open chat" }, "c");
    setProperties(this.#chat, { "aria-label": unread > 0 ? `Chat, ${unread} unread` : "Chat" });
    setText(this.#unread, unread > 99 ? "99+" : String(unread));
    this.#unread.hidden = unread === 0;
    this.#more.classList.toggle("has-unread", unread > 0 && this.#chat.parentElement === this.#moreMenu);
    setButtonText(this.#layout, layout === "grid" ? "Speaker view" : "Grid view");
    setButtonText(this.#full, document.fullscreenElement ? "Exit fullscreen" : "Fullscreen");
    this.#screen.disabled = state.state !== "active";
  }

  stop() {
    this.#observer.disconnect();
  }
}

const KEYS = /** @type {Record<string, string>} */ (
  { mute: "m", camera: "v", screen: "s", hand: "h", "chat-button": "c" });

/**
 * A button of the row.
 * @param {string} id
 * @param {string} icon
 * @param {string} text
 * @param {import("../client/dom.js").Properties} more
 */
const control = (id, icon, text, more) =>
  button({ icon, text, id, class: "control", "aria-keyshortcuts": KEYS[id], ...more });

/**
 * A button of the menu.
 * @param {string} id
 * @param {string} icon
 * @param {string} text
 * @param {() => void} onclick
 */
const item = (id, icon, text, onclick) => button({ icon, text, id, class: "control", onclick });
