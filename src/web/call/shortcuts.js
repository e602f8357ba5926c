// @ts-check
// The keys of a call, and the dialog that lists them.

import { h, showDialog } from "../dom.js";
import { preference, setPreference } from "./preferences.js";

/** @typedef {"mute" | "camera" | "screen" | "hand" | "chat" | "layout" | "help" | "shrink"} Action */

/** @type {Record<string, Action>} */
const ACTIONS = {
  m: "mute",
  v: "camera",
  s: "screen",
  h: "hand",
  c: "chat",
  g: "layout",
  "?": "help",
  Escape: "shrink",
};

/** Held while this person is muted. */
const TALK = " ";

/** @type {[key: string, meaning: string][]} */
const LISTED = [
  ["M", "Mute, unmute"],
  ["Space", "Talk while held"],
  ["V", "Camera on, off"],
  ["S", "Share screen, stop sharing"],
  ["H", "Raise, lower hand"],
  ["C", "Chat"],
  ["G", "Grid, speaker view"],
  ["Esc", "Close a panel; then back to the lobby, while the call continues"],
  ["?", "This list"],
];

/** Where keys are text, or belong to the element. */
const EDITABLE = "input:not([type=checkbox], [type=button]), textarea, select, [contenteditable]";

/**
 * What a key does.
 * @param {Pick<KeyboardEvent, "key" | "ctrlKey" | "altKey" | "metaKey" | "repeat" | "defaultPrevented">} event
 * @param {{ isTyping: boolean, areLettersOn: boolean }} situation
 * @returns {Action | null}
 */
export function actionOf({ key, ctrlKey, altKey, metaKey, repeat, defaultPrevented }, { isTyping, areLettersOn }) {
  if (ctrlKey || altKey || metaKey || repeat || defaultPrevented || isTyping) {
    return null;
  }
  const action = ACTIONS[key.length === 1 ? key.toLowerCase() : key] ?? null;
  return key === "Escape" || areLettersOn ? action : null;
}

const areLettersOn = () => preference("call-shortcuts") !== "off";

export class Shortcuts {
  #onAction;
  #onTalk;
  #isTalking = false;
  #listening = new AbortController();

  /**
   * @param {object} options
   * @param {() => boolean} options.isActive whether the call is in front
   * @param {(action: Action) => void} options.onAction
   * @param {(isTalking: boolean) => void} options.onTalk the key to talk is held
   */
  constructor({ isActive, onAction, onTalk }) {
    this.#onAction = onAction;
    this.#onTalk = onTalk;
    const { signal } = this.#listening;
    const onKey = (/** @type {KeyboardEvent} */ event) => isActive() && this.#onKeyDown(event);
    addEventListener("keydown", onKey, { signal });
    addEventListener("keyup", (event) => event.key === TALK && this.#stopTalking(event), { signal });
    addEventListener("blur", () => this.#stopTalking(), { signal });
  }

  /** @param {KeyboardEvent} event */
  #onKeyDown(event) {
    const target = event.target instanceof Element ? event.target : document.body;
    if (document.querySelector("dialog[open]") || isPopoverOpen()) {
      return; // the key is theirs
    }
    const isTyping = target.matches(EDITABLE) && event.key !== "Escape";
    // With the keyboard's focus on it, a button is pressed by the key.
    const isButtonKey = target.matches("button:focus-visible, a:focus-visible, summary, input");
    if (event.key === TALK && !isTyping && !isButtonKey && areLettersOn()) {
      event.preventDefault();
      if (!event.repeat) {
        this.#isTalking = true;
        this.#onTalk(true);
      }
      return;
    }
    const action = actionOf(event, { isTyping, areLettersOn: areLettersOn() });
    if (action) {
      event.preventDefault();
      this.#onAction(action);
    }
  }

  /** @param {KeyboardEvent} [event] */
  #stopTalking(event) {
    if (this.#isTalking) {
      event?.preventDefault();
      this.#isTalking = false;
      this.#onTalk(false);
    }
  }

  stop() {
    this.#stopTalking();
    this.#listening.abort();
  }
}

function isPopoverOpen() {
  return "popover" in HTMLElement.prototype && document.querySelector(":popover-open") !== null;
}

export function showShortcuts() {
  const onchange = () => setPreference("call-shortcuts", box.checked ? "on" : "off");
  const box = h("input", { type: "checkbox", id: "use-shortcuts", checked: areLettersOn(), onchange });
  const rows = LISTED.map(([key, meaning]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, meaning)));
  showDialog({
    id: "shortcuts",
    title: "Keyboard shortcuts",
    body: [
      h("dl", { class: "shortcuts" }, rows),
      h("div", { class: "check" }, box, h("label", { for: "use-shortcuts" }, "Use single keys and Space")),
    ],
  });
}
