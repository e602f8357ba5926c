// @ts-check
// The view of a call: tiles, chat, status, and the buttons. It covers the page, or is a bar at its lower edge.

import { Absent } from "../client/absent.js";
import { ringbackTone } from "../client/sound.js";
import { Tiles, statusOf } from "../client/tiles.js";
import { Waiting } from "../client/waiting.js";
import { Announcer } from "../call/announcer.js";
import { ChatPanel } from "../call/chat_panel.js";
import { Controls } from "../call/controls.js";
import { ended } from "../call/ended.js";
import { offlineNotice, sharingNotice } from "../call/notices.js";
import { preference, setPreference } from "../call/preferences.js";
import { Shortcuts, showShortcuts } from "../call/shortcuts.js";
import { showTileMenu } from "../call/tile_menu.js";
import { avatar, button, formatDuration, h, notify, setIcon, setProperties, setText } from "../dom.js";
import { shown } from "../names.js";

/** @import { Call } from "../client/call.js" */
/** @import { CallState } from "../client/types.js" */
/** @import { Action } from "../call/shortcuts.js" */

/**
 * @typedef {object} ViewActions what the view asks its controller for
 * @property {() => void} toggleMute
 * @property {() => void} toggleCamera
 * @property {() => void} toggleScreen
 * @property {() => void} showPeople
 * @property {() => void} chooseDevices
 * @property {() => void} leave
 * @property {(isTalking: boolean) => void} talk unmutes while a key is held
 * @property {((isSmall: boolean) => void) | null} resize makes the view a bar, or large again; null where nothing is
 *   below it
 * @property {(() => void) | null} callAgain null for guests, who are on one call
 * @property {() => void} close
 */

/**
 * @typedef {object} OwnActions what the view does for its buttons
 * @property {() => void} toggleHand
 * @property {() => void} toggleChat
 * @property {() => void} toggleLayout
 * @property {() => void} toggleFullscreen
 * @property {() => void} showShortcuts
 * @property {(reaction: string) => void} react
 */

/** @typedef {ViewActions & OwnActions} CallActions */

export class CallView {
  #title;
  #actions;
  /** @type {Call | null} */
  #call = null;
  #timer;
  /** @type {(() => void) | null} */
  #stopRingback = null;
  #isSmall = false;

  #status = h("p", { class: "quiet", role: "status", "data-call-status": true });
  #duration = h("span", { class: "duration", "data-duration": true, role: "timer", "aria-live": "off" });
  #offline = h("p", { class: "notice", role: "status", hidden: true, "data-call-offline": true });
  #sharing = h("p", { class: "notice", role: "status", hidden: true, "data-sharing": true });
  #mutedHint = h("p", { class: "muted-hint", role: "status", hidden: true, "data-muted-hint": true },
    "You are muted. Nobody hears you.");
  #progress;
  #tiles = new Tiles({
    onBlocked: () => (this.#soundOn.hidden = false),
    showMenu: (tile) => showTileMenu(tile, this.#tiles),
  });
  #absent = new Absent();
  #waiting = new Waiting((sentence) => notify(sentence, { urgent: true }));
  #announcer = new Announcer();
  /** @type {ChatPanel | null} */
  #chat = null;
  #main;
  #soundOn;
  #resize;
  #controls;
  #shortcuts;

  /**
   * @param {string} title
   * @param {ViewActions} actions
   */
  constructor(title, actions) {
    this.#title = title;
    this.#actions = actions;
    this.#controls = new Controls({
      ...actions,
      toggleHand: () => this.#do("hand"),
      toggleChat: () => this.#do("chat"),
      toggleLayout: () => this.#do("layout"),
      toggleFullscreen: () => this.#toggleFullscreen(),
      showShortcuts,
      react: (reaction) => this.#call?.conversation.react(reaction),
    });
    this.#shortcuts = new Shortcuts({
      isActive: () => !this.#isSmall && this.#call !== null && !this.#call.over,
      onAction: (action) => this.#do(action),
      onTalk: (isTalking) => actions.talk(isTalking),
    });
    const soundOn = { icon: "sound", text: "Turn on sound", id: "sound-on", class: "primary", hidden: true };
    this.#soundOn = button({ ...soundOn, onclick: () => this.#playAll() });
    const resize = { icon: "shrink", label: "Back to the lobby", id: "resize-call", class: "plain" };
    this.#resize = button({ ...resize, onclick: () => this.resize(!this.#isSmall), hidden: !actions.resize });
    this.#tiles.setLayout(preference("call-layout") === "speaker" ? "speaker" : "grid");
    this.#progress = h("div", { class: "waiting" }, avatar(title, "huge pulse"));
    this.#main = h("div", { class: "call-main" }, this.#progress, this.#tiles.element, this.#mutedHint);
    this.element = h(
      "section",
      { class: "call", id: "call", "aria-labelledby": "call-title", tabindex: "-1", "data-view": "call" },
      h("header", {}, this.#resize, h("div", { class: "grow" }, h("h2", { id: "call-title" }, title), this.#status),
        this.#duration),
      this.#offline,
      this.#sharing,
      this.#soundOn,
      this.#waiting.element,
      this.#absent.element,
      this.#main,
      this.#controls.element,
      this.#announcer.element,
    );
    this.element.dataset.phase = "preparing";
    this.#timer = setInterval(() => this.#render(), 1000);
  }

  get isSmall() {
    return this.#isSmall;
  }

  /**
   * Shows what happens before there is a call.
   * @param {string} sentence
   */
  showProgress(sentence) {
    setText(this.#status, sentence);
    this.#controls.setLeaveText("Cancel");
    this.#controls.setDisabled(true);
  }

  /** @param {Call} call */
  attach(call) {
    this.#call = call;
    this.element.dataset.call = call.id;
    this.#progress.remove();
    this.#controls.setDisabled(false);
    this.#chat = new ChatPanel(call.conversation, call.me, () => this.#render());
    this.#main.append(this.#chat.element);
    this.#announcer.follow(call, () => this.#chat?.isOpen === true || this.#isSmall);
    call.on("change", () => this.#render());
    call.on("notice", (sentence) => notify(sentence));
    call.conversation.on("message", ({ from, text }) =>
      this.#isSmall && notify(`${shown(from)}: ${text.slice(0, 200)}`));
    call.conversation.on("reaction", ({ name, reaction }) => this.#tiles.showReaction(name, reaction));
    this.#render();
  }

  // ---- what keys and buttons do

  /** @param {Action} action */
  #do(action) {
    const conversation = this.#call?.conversation;
    const { toggleMute, toggleCamera, toggleScreen } = this.#actions;
    if (action === "mute") {
      toggleMute();
    } else if (action === "camera") {
      toggleCamera();
    } else if (action === "screen" && this.#call?.state?.state === "active") {
      toggleScreen();
    } else if (action === "hand") {
      conversation?.raiseHand(!conversation.hands.has(this.#call?.me ?? ""));
    } else if (action === "chat") {
      this.#toggleChat();
    } else if (action === "layout") {
      this.#toggleLayout();
    } else if (action === "help") {
      showShortcuts();
    } else if (action === "shrink") {
      this.#closeInnermost();
    }
  }

  #toggleChat() {
    if (this.#chat?.isOpen) {
      this.#chat.close();
      this.element.focus();
    } else {
      this.#chat?.open();
    }
  }

  #toggleLayout() {
    const layout = this.#tiles.layout === "grid" ? "speaker" : "grid";
    this.#tiles.setLayout(layout);
    setPreference("call-layout", layout);
    this.#render();
  }

  #toggleFullscreen() {
    // The whole page, so that dialogs and toasts are on it.
    const { fullscreenElement, documentElement } = document;
    (fullscreenElement ? document.exitFullscreen() : documentElement.requestFullscreen()).catch(() => {});
  }

  #closeInnermost() {
    if (this.#chat?.isOpen) {
      this.#toggleChat();
    } else {
      this.resize(true);
    }
  }

  /**
   * Makes the view a bar, or large again.
   * @param {boolean} isSmall
   */
  resize(isSmall) {
    if (!this.#actions.resize || this.#isSmall === isSmall) {
      return;
    }
    this.#isSmall = isSmall;
    this.#chat?.close(); // a bar has no place for it
    this.element.classList.toggle("small", isSmall);
    const label = isSmall ? "Return to the call" : "Back to the lobby";
    setProperties(this.#resize, { "aria-label": label, title: label });
    setIcon(this.#resize, isSmall ? "expand" : "shrink");
    this.#actions.resize(isSmall);
  }

  // ---- rendering

  #render() {
    const call = this.#call;
    if (!call || call.over || !call.state) {
      return;
    }
    const { state, me } = call;
    const isMyRingingCall = state.state === "ringing" && state.initiator === me;
    this.element.dataset.phase = state.state;
    this.#playRingback(isMyRingingCall);
    setText(this.#status, statusOf(state, call.client.names));
    setText(this.#duration, state.answered_ts ? formatDuration(Date.now() / 1000 - state.answered_ts) : "");
    this.#renderNotices(call, state);
    this.#absent.render(state, call.client.names);
    this.#tiles.render(call, state);
    this.#waiting.render(call);
    const { isOpen: isChatOpen = false, unread = 0 } = this.#chat ?? {};
    this.#controls.render(call, state, { isChatOpen, unread, layout: this.#tiles.layout });
    this.#controls.setLeaveText(isMyRingingCall ? "Cancel" : "Leave");
  }

  /**
   * @param {Call} call
   * @param {CallState} state
   */
  #renderNotices(call, { screenshare_user: sharer }) {
    const offline = offlineNotice(call);
    this.#offline.hidden = offline === "";
    setText(this.#offline, offline);
    this.#sharing.hidden = !sharer;
    setText(this.#sharing, sharer ? sharingNotice(sharer, call.me) : "");
    this.#mutedHint.hidden = !call.speaksMuted;
  }

  /** @param {boolean} isRinging */
  #playRingback(isRinging) {
    if (isRinging) {
      this.#stopRingback ??= ringbackTone();
    } else {
      this.#stopRingback?.();
      this.#stopRingback = null;
    }
  }

  #playAll() {
    this.#soundOn.hidden = true;
    this.#tiles.play();
  }

  useChosenSpeaker() {
    this.#tiles.useChosenSpeaker();
  }

  // ---- the end

  /**
   * Shows why the call is over, and what can be done now.
   * @param {string} reason
   */
  showEnd(reason, hasFailed = false) {
    this.stop();
    this.element.dataset.phase = "ended";
    const { callAgain, close } = this.#actions;
    const duration = this.#duration.textContent ?? "";
    this.element.replaceChildren(ended({ title: this.#title, reason, hasFailed, duration, callAgain, close }));
    this.element.querySelector("button")?.focus();
  }

  /** Stops sounds, media, keys and timers. */
  stop() {
    this.#playRingback(false);
    clearInterval(this.#timer);
    this.#shortcuts.stop();
    this.#controls.stop();
    this.#tiles.stop();
    if (document.fullscreenElement) {
      document.exitFullscreen().catch(() => {});
    }
  }
}
