// @ts-check
// <minimost-call server="…" token="…" channel="…">: calls inside somebody else's page. It rings, calls the channel, and
// shows a call with its controls.
//
// Attributes and properties: `server` (of a cluster its addresses, with spaces between them), `token` (as a property also a function, see `connect`) and `channel`. With a
// channel, it rings for that channel alone. Several elements can share one client: the property `calls`.
// Events: `incoming`, `call-started` and `call-ended`.

import { Absent } from "./absent.js";
import { messageOf } from "./api.js";
import { connect } from "./calls.js";
import { isDismissal } from "./devices.js";
import { button, face, h, keyedList, setButtonText, setProperties, setText } from "./dom.js";
import { elementStyle } from "./element_style.js";
import { audioContext, callWaitingTone, ringbackTone, ringtone } from "./sound.js";
import { Tiles, statusOf } from "./tiles.js";
import { cameraToggle, microphoneToggle, renderToggle, screenToggle, toggleMicrophone } from "./toggles.js";
import { Waiting } from "./waiting.js";

/** @import { Call } from "./call.js" */
/** @import { CallOptions, Calls } from "./calls.js" */
/** @import { TokenSource } from "./tokens.js" */
/** @import { IncomingCall } from "./types.js" */

/** Without a browser, the module can be imported all the same. */
const Base = /** @type {typeof HTMLElement} */ (globalThis.HTMLElement ?? class {});

const PROPERTIES = /** @type {const} */ (["server", "token", "channel", "calls"]);

export class MinimostCall extends Base {
  static observedAttributes = ["server", "token", "channel"];

  /** @type {TokenSource | undefined} */
  #token;
  /** A client of the page, instead of one of this element. @type {Calls | null} */
  #given = null;
  /** @type {Calls | null} */
  #calls = null;
  /** The client that this element has made. @type {Calls | null} */
  #own = null;
  /** What the client was made of. @type {unknown[]} */
  #source = [];
  /** The call that is shown. @type {Call | null} */
  #call = null;
  /** Remove the listeners of the client, and of the call. @type {(() => void)[]} */
  #clientListeners = [];
  /** @type {(() => void)[]} */
  #callListeners = [];
  /** A call is being entered; this gives it up. @type {AbortController | null} */
  #entering = null;
  #isUpdating = false;
  /** Why the last call is over. */
  #ended = "";
  /** @type {(() => void) | null} */
  #stopTone = null;
  /** @type {(() => () => void) | null} */
  #tone = null;

  #status = h("p", { class: "status", role: "status" });
  #alert = h("p", { class: "alert", role: "alert" });
  #ringing = h("div", { role: "group", "aria-label": "Incoming calls" });
  #voice = button({ icon: "phone", text: "Call", class: "primary", "data-action": "call" });
  #video = button({ icon: "video", text: "Video call", "data-action": "video-call" });
  #start = h("div", { class: "row" }, this.#voice, this.#video);
  #sound = button({ icon: "sound", text: "Turn on sound", class: "primary", hidden: true, "data-action": "sound" });
  #tiles = new Tiles({ onBlocked: () => (this.#sound.hidden = false) });
  #absent = new Absent();
  #waiting = new Waiting((sentence) => setText(this.#alert, sentence));
  #mute = button({ icon: "microphone", "aria-label": "Microphone", text: "Mic", "data-action": "mute" });
  #camera = button({ icon: "video", text: "Camera", "data-action": "camera" });
  #share = button({ icon: "screen", text: "Share screen", "data-action": "share" });
  #leave = button({ icon: "hangup", text: "Leave", class: "danger", "data-action": "leave" });
  #buttons = [this.#mute, this.#camera, this.#share, this.#leave];
  #controls = h("div", { class: "controls", role: "group", "aria-label": "Controls" }, this.#buttons);
  #section = h("section", { tabindex: "-1", "aria-label": "Call" }, this.#status, this.#alert, this.#ringing,
    this.#start, this.#sound, this.#waiting.element, this.#absent.element, this.#tiles.element, this.#controls);

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [elementStyle()];
    root.append(this.#section);
    this.#voice.onclick = () => this.call();
    this.#video.onclick = () => this.call({ camera: true });
    this.#sound.onclick = () => {
      this.#sound.hidden = true;
      this.#tiles.play();
    };
    this.#mute.onclick = () => this.#report(this.#call ? toggleMicrophone(this.#call) : undefined);
    this.#camera.onclick = () => this.#report(this.#call?.camera(!this.#call.media.tracks.camera));
    this.#share.onclick = () => this.#report(this.#call?.share(!this.#call.media.tracks.screen));
    this.#leave.onclick = () => this.leave();
    this.#render();
  }

  connectedCallback() {
    // Properties that were set before the element was defined.
    for (const name of PROPERTIES.filter((name) => Object.hasOwn(this, name))) {
      const value = this[name];
      delete this[name];
      Object.assign(this, { [name]: value });
    }
    this.#update();
  }

  disconnectedCallback() {
    // An element that is moved is back at once.
    queueMicrotask(() => this.isConnected || this.#disconnect());
  }

  attributeChangedCallback() {
    this.#update();
  }

  // ---- attributes and properties

  get server() {
    return this.getAttribute("server") ?? "";
  }

  set server(server) {
    this.setAttribute("server", server);
  }

  /** @returns {TokenSource | undefined} */
  get token() {
    return this.#token ?? this.getAttribute("token") ?? undefined;
  }

  set token(token) {
    this.#token = token;
    this.#update();
  }

  get channel() {
    return this.getAttribute("channel") ?? "";
  }

  set channel(channel) {
    this.setAttribute("channel", channel);
  }

  /** The client, to do more than the element does. One that is set is used instead of `server` and `token`. */
  get calls() {
    return this.#calls;
  }

  set calls(calls) {
    this.#given = calls;
    this.#update();
  }

  // ---- the client

  /** Connects, once for all attributes and properties of the same moment. */
  #update() {
    if (!this.#isUpdating) {
      this.#isUpdating = true;
      setTimeout(() => {
        this.#isUpdating = false;
        this.#connect();
      });
    }
  }

  #connect() {
    const source = this.#given ? [this.#given] : [this.server, this.token];
    const isSame = source.length === this.#source.length && source.every((part, index) => part === this.#source[index]);
    if (this.isConnected && !isSame) {
      this.#disconnect();
      this.#source = source;
      try {
        this.#own = !this.#given && this.server.trim() ? connect({ server: this.server.trim().split(/\s+/), token: this.token }) : null;
        this.#follow(this.#given ?? this.#own);
      } catch {
        setText(this.#alert, "The address of the server is malformed.");
      }
    }
    this.#render();
  }

  /** @param {Calls | null} calls */
  #follow(calls) {
    this.#calls = calls;
    if (calls) {
      this.#clientListeners = [
        calls.on("change", () => this.#render()),
        calls.on("incoming", (call) => this.#concerns(call) && this.#dispatch("incoming", call)),
        calls.on("current", (call) => call && this.#show(call)),
      ];
      if (calls.current) {
        this.#show(calls.current);
      }
    }
  }

  #disconnect() {
    this.#source = [];
    this.#entering?.abort();
    [...this.#clientListeners, ...this.#callListeners].forEach((remove) => remove());
    this.#own?.close();
    this.#own = null;
    this.#calls = null;
    this.#call = null;
    this.#tiles.stop();
    this.#render();
  }

  /** @param {Call} call */
  #show(call) {
    if (!this.#concerns(call)) {
      return;
    }
    this.#call = call;
    this.#callListeners = [
      call.on("change", () => this.#render()),
      call.conversation.on("reaction", ({ name, reaction }) => this.#tiles.showReaction(name, reaction)),
      call.on("notice", (sentence) => setText(this.#alert, sentence)),
      call.on("end", () => this.#onEnd(call)),
    ];
    this.#render();
    this.#dispatch("call-started", call);
  }

  /** @param {Call} call */
  #onEnd(call) {
    this.#callListeners.forEach((remove) => remove());
    this.#tiles.stop();
    this.#call = null;
    this.#ended = call.reason;
    this.#render();
    this.#dispatch("call-ended", { call, reason: call.reason });
  }

  /**
   * Whether this element is for a call.
   * @param {{ channel: string }} call
   */
  #concerns({ channel }) {
    return this.channel === "" || this.#calls?.store.canonical(this.channel) === channel;
  }

  /**
   * @param {string} name
   * @param {unknown} detail
   */
  #dispatch(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }

  // ---- calls

  /**
   * Calls the channel, or joins its call. A failure is shown.
   * @param {CallOptions} [options]
   */
  call(options = {}) {
    return this.#enter((calls, signal) => calls.call(this.channel, { ...options, signal }));
  }

  /**
   * Answers a call. A failure is shown.
   * @param {string} id
   * @param {CallOptions} [options]
   */
  answer(id, options = {}) {
    return this.#enter((calls, signal) => calls.answer(id, { ...options, signal }));
  }

  /** Leaves the call, or gives up entering one. */
  async leave() {
    this.#entering?.abort();
    const call = this.#call;
    await (call && isMineAndRings(call) ? call.end() : call?.leave());
  }

  /** @param {(calls: Calls, signal: AbortSignal) => Promise<Call>} enter */
  async #enter(enter) {
    if (!this.#calls || this.#entering) {
      return;
    }
    const entering = new AbortController();
    this.#entering = entering;
    this.#ended = "";
    setText(this.#alert, "");
    audioContext(); // a click lets it play
    this.#render();
    try {
      await enter(this.#calls, entering.signal);
    } catch (error) {
      setText(this.#alert, entering.signal.aborted ? "" : messageOf(error));
    } finally {
      this.#entering = null;
      this.#render();
    }
  }

  /** @param {Promise<unknown> | undefined} action */
  #report(action) {
    action?.catch((error) => isDismissal(error) || setText(this.#alert, messageOf(error)));
  }

  // ---- rendering

  #render() {
    const focused = this.shadowRoot?.activeElement;
    const call = this.#call;
    const isOpen = this.#calls?.state === "open";
    const isIdle = !call && !this.#entering;
    const incoming = [...(this.#calls?.store.incoming.values() ?? [])];
    const isRinging = (/** @type {IncomingCall} */ one) => this.#concerns(one) && one.call_id !== call?.id;
    const ringing = isOpen && !this.#entering ? incoming.filter(isRinging) : [];
    setText(this.#status, this.#statusText(ringing));
    this.#ringing.hidden = ringing.length === 0;
    keyedList(this.#ringing, ringing, ({ call_id: id }) => id, (one) => this.#ringCard(one));
    const hasLiveCall = this.#calls?.store.callIn(this.#calls.store.canonical(this.channel)) !== undefined;
    setButtonText(this.#voice, hasLiveCall ? "Join" : "Call");
    setButtonText(this.#video, hasLiveCall ? "Join with video" : "Video call");
    this.#start.hidden = this.channel === "" || !isIdle || ringing.length > 0;
    this.#voice.disabled = this.#video.disabled = !isOpen;
    this.#tiles.element.hidden = !call;
    this.#waiting.element.hidden = !call;
    this.#absent.element.hidden = !call;
    this.#controls.hidden = isIdle;
    this.#buttons.forEach((one) => (one.disabled = !call && one !== this.#leave));
    setName(this.#leave, call && !isMineAndRings(call) ? "Leave" : "Cancel");
    if (call?.state) {
      this.#tiles.render(call, call.state);
      this.#waiting.render(call);
      this.#absent.render(call.state, call.client.names);
      renderToggle(this.#mute, microphoneToggle(call.media));
      renderToggle(this.#camera, cameraToggle(call.media));
      renderToggle(this.#share, screenToggle(call));
      this.#share.disabled = call.state.state !== "active";
    }
    this.#playTone(toneOf(call, ringing.length > 0));
    if (focused && (!focused.isConnected || focused.closest("[hidden]"))) {
      this.#section.focus();
    }
  }

  /** @param {IncomingCall[]} ringing */
  #statusText([ringing]) {
    const call = this.#call;
    if (!this.#calls) {
      return "";
    }
    const { state, names } = this.#calls;
    if (state === "reconnecting") {
      return call ? "Reconnecting… The call continues meanwhile." : "Reconnecting…";
    }
    if (state !== "open") {
      return state === "connecting" ? "Connecting…" : "Not signed in.";
    }
    if (this.#entering) {
      return "Connecting… Allow the microphone if the browser asks.";
    }
    if (call?.state) {
      return call.speaksMuted ? "You are muted." : statusOf(call.state, names);
    }
    return ringing ? `${names.shown(ringing.initiator)} is calling.` : this.#ended;
  }

  /** @param {IncomingCall} call */
  #ringCard({ call_id: id, initiator }) {
    const name = this.#calls?.names.shown(initiator) ?? initiator;
    const answer = button({ icon: "phone", text: "Answer", class: "answer", "data-action": "answer" });
    answer.onclick = () => this.answer(id);
    const video = { icon: "video", label: "Answer with video", class: "answer", "data-action": "answer-video" };
    const decline = { icon: "hangup", label: "Decline", class: "danger", "data-action": "decline" };
    const element = h(
      "div",
      { class: "ring", role: "group", "aria-label": `Call from ${name}`, "data-ringing": id },
      face(initiator, name),
      h("span", { class: "grow" }, name),
      answer,
      button({ ...video, onclick: () => this.answer(id, { camera: true }) }),
      button({ ...decline, onclick: () => this.#report(this.#calls?.decline(id)) }),
    );
    return { element, render: () => setButtonText(answer, this.#call ? "Hang up and answer" : "Answer") };
  }

  /** @param {(() => () => void) | null} tone */
  #playTone(tone) {
    if (tone !== this.#tone) {
      this.#tone = tone;
      this.#stopTone?.();
      this.#stopTone = tone?.() ?? null;
    }
  }
}

/** @param {Call} call */
const isMineAndRings = ({ me, state }) => state?.state === "ringing" && state.initiator === me;

/**
 * @param {Call | null} call
 * @param {boolean} isRinging another call rings
 */
function toneOf(call, isRinging) {
  if (isRinging) {
    return call ? callWaitingTone : ringtone;
  }
  return call && isMineAndRings(call) ? ringbackTone : null;
}

/**
 * In a narrow box, the text is a name for screen readers and the tooltip.
 * @param {HTMLButtonElement} element
 * @param {string} text
 */
function setName(element, text) {
  setButtonText(element, text);
  setProperties(element, { title: text });
}

globalThis.customElements?.define("minimost-call", MinimostCall);
