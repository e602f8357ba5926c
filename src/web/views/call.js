// @ts-check
// The view of a call: tiles, status, and the buttons.

import { ringbackTone } from "../client/sound.js";
import { Tiles, muteText, statusOf } from "../client/tiles.js";
import { Waiting } from "../client/waiting.js";
import { avatar, button, formatDuration, h, keyedList, notify, setButtonText, setIcon, setProperties, setText }
  from "../dom.js";
import { shown } from "../names.js";

/** @import { Call } from "../client/call.js" */
/** @import { CallState } from "../client/types.js" */

/**
 * @typedef {object} CallActions what the buttons do
 * @property {() => void} toggleMute
 * @property {() => void} toggleCamera
 * @property {() => void} toggleScreen
 * @property {() => void} showPeople
 * @property {() => void} chooseDevices
 * @property {() => void} leave
 * @property {(() => void) | null} callAgain null for guests, who are on one call
 * @property {() => void} close
 */

export class CallView {
  #title;
  #actions;
  /** @type {Call | null} */
  #call = null;
  #timer;
  /** @type {(() => void) | null} */
  #stopRingback = null;

  #status = h("p", { class: "quiet", role: "status", "data-call-status": true });
  #duration = h("span", { class: "duration", "data-duration": true, role: "timer", "aria-live": "off" });
  #offline = h("p", { class: "notice", role: "status", hidden: true, "data-call-offline": true },
    "Connection to the server lost. Reconnecting… The call continues meanwhile.");
  #sharing = h("p", { class: "notice", role: "status", hidden: true, "data-sharing": true });
  #tiles = new Tiles(() => (this.#soundOn.hidden = false));
  #grid = this.#tiles.element;
  #waiting = new Waiting((sentence) => notify(sentence, { urgent: true }));
  #mute;
  #camera;
  #screen;
  #people;
  #leave;
  #soundOn;
  #controls;

  /**
   * @param {string} title
   * @param {CallActions} actions
   */
  constructor(title, actions) {
    this.#title = title;
    this.#actions = actions;
    this.#mute = control("mute", "microphone", "Mute", actions.toggleMute);
    this.#camera = control("camera", "video", "Camera on", actions.toggleCamera);
    this.#screen = control("screen", "screen", "Share screen", actions.toggleScreen);
    this.#people = control("people-button", "people", "People", actions.showPeople);
    this.#leave = control("leave", "hangup", "Leave", actions.leave, "control danger");
    const devices = control("call-devices", "devices", "Devices", actions.chooseDevices);
    const soundOn = { icon: "sound", text: "Turn on sound", id: "sound-on", class: "primary", hidden: true };
    this.#soundOn = button({ ...soundOn, onclick: () => this.#playAll() });
    this.#controls = [this.#mute, this.#camera, this.#screen, this.#people, devices, this.#leave];
    this.element = h(
      "section",
      { class: "call", id: "call", "aria-labelledby": "call-title", tabindex: "-1", "data-view": "call" },
      h("header", {}, h("div", { class: "grow" }, h("h2", { id: "call-title" }, title), this.#status), this.#duration),
      this.#offline,
      this.#sharing,
      this.#soundOn,
      this.#waiting.element,
      this.#grid,
      h("div", { class: "controls", role: "group", "aria-label": "Call" }, this.#controls),
    );
    this.element.dataset.phase = "preparing";
    this.#timer = setInterval(() => this.#render(), 1000);
  }

  /**
   * Shows what happens before there is a call.
   * @param {string} sentence
   */
  showProgress(sentence) {
    setText(this.#status, sentence);
    const waiting = () => ({ element: h("div", { class: "waiting" }, avatar(this.#title, "huge pulse")) });
    keyedList(this.#grid, ["waiting"], (key) => key, waiting);
    setButtonText(this.#leave, "Cancel");
    this.#controls.forEach((one) => (one.disabled = one !== this.#leave));
  }

  /** @param {Call} call */
  attach(call) {
    this.#call = call;
    this.element.dataset.call = call.id;
    this.#controls.forEach((one) => (one.disabled = false));
    call.on("change", () => this.#render());
    call.on("notice", (sentence) => notify(sentence));
    this.#render();
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
    this.#offline.hidden = call.online;
    this.#sharing.hidden = !state.screenshare_user;
    setText(this.#sharing, sharingNotice(state.screenshare_user, me));
    this.#tiles.render(call, state);
    this.#waiting.render(call);
    this.#renderControls(call, state);
    setButtonText(this.#leave, isMyRingingCall ? "Cancel" : "Leave");
  }

  /**
   * @param {Call} call
   * @param {CallState} state
   */
  #renderControls({ me, media }, state) {
    const isMuted = media.muted || !media.tracks.microphone;
    this.#renderToggle(this.#mute, isMuted, isMuted ? "microphoneOff" : "microphone", muteText(media));
    const isCameraOn = Boolean(media.tracks.camera);
    const cameraText = isCameraOn ? "Camera off" : "Camera on";
    this.#renderToggle(this.#camera, isCameraOn, isCameraOn ? "video" : "videoOff", cameraText);
    const isSharing = state.screenshare_user === me && Boolean(media.tracks.screen);
    const screenText = isSharing ? "Stop sharing" : "Share screen";
    this.#renderToggle(this.#screen, isSharing, isSharing ? "screenOff" : "screen", screenText);
    this.#screen.disabled = state.state !== "active";
    this.#people.disabled = state.state !== "active";
  }

  /**
   * @param {HTMLButtonElement} element
   * @param {boolean} isPressed
   * @param {string} iconName
   * @param {string} text
   */
  #renderToggle(element, isPressed, iconName, text) {
    setProperties(element, { "aria-pressed": String(isPressed) });
    setIcon(element, iconName);
    setButtonText(element, text);
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
    const again = { icon: "phone", text: "Call again", id: "call-again", class: "primary", onclick: callAgain };
    const buttons = [callAgain && button(again), button({ text: "Close", id: "call-close", onclick: close })];
    const duration = this.#duration.textContent;
    this.element.replaceChildren(
      h(
        "div",
        { class: "ended", "data-ended": hasFailed ? "failed" : "over" },
        avatar(this.#title, "huge"),
        h("h2", { id: "call-title" }, this.#title),
        h("p", { id: "call-ended-reason", role: "alert" }, reason),
        duration && h("p", { class: "quiet" }, `Duration ${duration}`),
        h("div", { class: "row center" }, buttons),
      ),
    );
    this.element.querySelector("button")?.focus();
  }

  /** Stops sounds, media and timers. */
  stop() {
    this.#playRingback(false);
    clearInterval(this.#timer);
    this.#tiles.stop();
  }
}

/**
 * @param {string} id
 * @param {string} icon
 * @param {string} text
 * @param {() => void} onclick
 */
const control = (id, icon, text, onclick, classes = "control") => button({ icon, text, id, class: classes, onclick });

/**
 * @param {string | null} sharer
 * @param {string} me
 */
function sharingNotice(sharer, me) {
  if (!sharer) {
    return "";
  }
  return sharer === me
    ? "You are sharing your screen."
    : `${shown(sharer)} is sharing their screen. If you share yours, it replaces theirs.`;
}
