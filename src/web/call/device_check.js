// @ts-check
// What a person checks before a call: the own picture, the microphone's level, the devices, and what the browser does
// with the sound. Everything but "on" and "off" is remembered in this browser.

import { messageOf } from "../api.js";
import {
  canChooseSpeaker, chooseDevice, chosenDevice, isProcessing, listDevices, openCamera, openMicrophone, setProcessing,
} from "../client/devices.js";
import { audioContext, joinedTone } from "../client/sound.js";
import { Meter } from "../client/speaking.js";
import { button, capitalised, h, setProperties, setText } from "../dom.js";

/** @import { Processing } from "../client/devices.js" */
/** @import { DeviceKind } from "../client/types.js" */

/** Milliseconds between two levels. */
const LEVEL_INTERVAL = 80;

/** A root mean square that fills the meter: loud speech. */
const LOUD = 0.25;

/** @type {[Processing, string][]} */
const PROCESSING = [["noiseSuppression", "Suppress noise"], ["echoCancellation", "Cancel echo"]];

/** @typedef {"microphone" | "camera"} Source */

/**
 * @typedef {object} CheckOptions
 * @property {Record<Source, boolean>} on which are open at the start
 * @property {boolean} [areDevicesOpen] whether the lists of devices are shown at once
 * @property {(kind: DeviceKind) => void} [onChoice] a device of this kind, or what is done with it, was chosen
 */

export class DeviceCheck {
  #onChoice;
  /** @type {Record<Source, MediaStreamTrack | null>} */
  #tracks = { microphone: null, camera: null };
  /** What is to be open; opening takes a while. @type {Record<Source, boolean>} */
  #on;
  #isStopped = true;
  /** @type {Meter | null} */
  #meter = null;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer;
  #video = h("video", { autoplay: true, playsinline: true, class: "mirrored", hidden: true });
  #noPicture = h("p", {}, "The camera is off.");
  #level = h("meter", { min: "0", max: "1", "aria-label": "Level of the microphone", "data-level": true });
  #error = h("p", { class: "error", role: "alert" });
  #hint = h("p", { class: "quiet" });
  #toggles;
  #selects;

  /** @param {CheckOptions} options */
  constructor({ on, areDevicesOpen = false, onChoice = () => {} }) {
    this.#onChoice = onChoice;
    this.#on = { ...on };
    this.#video.muted = true;
    const sources = /** @type {const} */ (["microphone", "camera"]);
    this.#toggles = sources.map((kind) => ({ kind, toggle: this.#toggle(kind) }));
    /** @type {DeviceKind[]} */
    const kinds = canChooseSpeaker() ? ["microphone", "camera", "speaker"] : ["microphone", "camera"];
    this.#selects = kinds.map((kind) => ({ kind, select: this.#select(kind) }));
    const speaker = { text: "Test speaker", icon: "sound", id: "test-speaker", class: "small" };
    const test = button({ ...speaker, onclick: joinedTone });
    this.element = h(
      "div",
      { class: "device-check" },
      h("div", { class: "preview" }, this.#video, this.#noPicture,
        h("div", { class: "preview-toggles" }, this.#toggles.map(({ toggle }) => toggle))),
      this.#level,
      this.#error,
      h(
        "details",
        { open: areDevicesOpen },
        h("summary", {}, "Devices and sound"),
        this.#selects.map(({ kind, select }) =>
          h("div", { class: "field" }, h("label", { for: select.id }, capitalised(kind)), select)),
        test,
        PROCESSING.map(([name, text]) => this.#processing(name, text)),
        this.#hint,
      ),
    );
  }

  /** Which are on. */
  get on() {
    return { ...this.#on };
  }

  async start() {
    if (this.#timer) {
      return;
    }
    this.#isStopped = false;
    navigator.mediaDevices?.addEventListener("devicechange", this.#fill);
    this.#timer = setInterval(() => this.#showLevel(), LEVEL_INTERVAL);
    this.#renderToggles();
    await Promise.all([this.#fill(), this.#apply("microphone"), this.#apply("camera")]);
    // With access to the devices, the browser says their names.
    await this.#fill();
  }

  stop() {
    this.#isStopped = true;
    clearInterval(this.#timer);
    this.#timer = undefined;
    navigator.mediaDevices?.removeEventListener("devicechange", this.#fill);
    this.#set("microphone", null);
    this.#set("camera", null);
  }

  // ---- what is open

  /**
   * Opens or closes a device, as it is wanted.
   * @param {Source} kind
   */
  async #apply(kind) {
    if (!this.#on[kind]) {
      this.#set(kind, null);
      return;
    }
    try {
      const track = await (kind === "camera" ? openCamera() : openMicrophone());
      if (this.#isStopped || !this.#on[kind]) {
        track.stop();
        return;
      }
      this.#set(kind, track);
      setText(this.#error, "");
    } catch (error) {
      this.#on[kind] = false;
      this.#set(kind, null);
      setText(this.#error, messageOf(error));
    }
    this.#renderToggles();
  }

  /**
   * @param {Source} kind
   * @param {MediaStreamTrack | null} track
   */
  #set(kind, track) {
    this.#tracks[kind]?.stop();
    this.#tracks[kind] = track;
    if (kind === "microphone") {
      this.#meter?.close();
      this.#meter = track && new Meter(track);
    } else {
      this.#video.srcObject = track && new MediaStream([track]);
      this.#video.hidden = !track;
      this.#noPicture.hidden = track !== null;
    }
  }

  #showLevel() {
    this.#level.value = Math.min((this.#meter?.loudness ?? 0) / LOUD, 1);
  }

  #renderToggles() {
    for (const { kind, toggle } of this.#toggles) {
      setProperties(toggle, { "aria-pressed": String(this.#on[kind]) });
    }
  }

  // ---- the fields

  /** @param {Source} kind */
  #toggle(kind) {
    const onclick = () => {
      this.#on[kind] = !this.#on[kind];
      this.#renderToggles();
      this.#apply(kind);
    };
    const icon = kind === "camera" ? "video" : "microphone";
    const text = kind === "camera" ? "Camera" : "Mic";
    return button({ icon, text, "aria-label": capitalised(kind), id: `check-${kind}`, class: "small", onclick });
  }

  /** @param {DeviceKind} kind */
  #select(kind) {
    const onchange = async () => {
      chooseDevice(kind, select.value);
      if (kind === "speaker") {
        /** @type {AudioContext & { setSinkId?: (id: string) => Promise<void> }} */
        const context = audioContext();
        await context.setSinkId?.(select.value).catch(() => {});
      } else {
        await this.#apply(kind);
      }
      this.#onChoice(kind);
    };
    const select = h("select", { id: `choose-${kind}`, onchange });
    return select;
  }

  /**
   * @param {Processing} name
   * @param {string} text
   */
  #processing(name, text) {
    const onchange = async () => {
      setProcessing(name, box.checked);
      await this.#apply("microphone");
      this.#onChoice("microphone");
    };
    const box = h("input", { type: "checkbox", id: name, checked: isProcessing(name), onchange });
    return h("div", { class: "check" }, box, h("label", { for: name }, text));
  }

  #fill = async () => {
    const counts = await Promise.all(this.#selects.map(({ kind, select }) => fillSelect(kind, select)));
    setText(this.#hint, hint(counts));
  };
}

/**
 * @param {DeviceKind} kind
 * @param {HTMLSelectElement} select
 * @returns {Promise<number>} how many devices there are
 */
async function fillSelect(kind, select) {
  const found = await listDevices(kind).catch(() => []);
  const options = found
    .filter(({ id }) => id !== "default")
    .map(({ id, label }) => h("option", { value: id, selected: id === chosenDevice(kind) }, label));
  select.replaceChildren(h("option", { value: "" }, found.length > 0 ? "System default" : "None found"), ...options);
  return found.length;
}

/** @param {number[]} counts of devices by kind */
function hint(counts) {
  if (!isSecureContext) {
    return "This page was loaded over plain HTTP, so the browser hides devices. Open it over HTTPS.";
  }
  return counts.includes(0)
    ? "Missing devices appear once the browser has granted access: turn them on above, or plug them in."
    : "";
}
