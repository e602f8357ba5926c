// @ts-check
// The buttons that turn something of a call on and off. Their names stay, and `pressed` always means on; the tooltip says
// what a click does.

import { setIcon, setProperties } from "./dom.js";

/** @import { Call } from "./call.js" */
/** @import { Media } from "./media.js" */

/**
 * @typedef {object} Toggle
 * @property {boolean} isOn
 * @property {string} icon
 * @property {string} hint what a click does
 */

/**
 * @param {HTMLButtonElement} element
 * @param {Toggle} toggle
 * @param {string} [key] the shortcut
 */
export function renderToggle(element, { isOn, icon, hint }, key = "") {
  setProperties(element, { "aria-pressed": String(isOn), title: key ? `${hint} (${key})` : hint });
  setIcon(element, icon);
}

/**
 * @param {Media} media
 * @returns {Toggle}
 */
export function microphoneToggle({ muted, tracks }) {
  if (!tracks.microphone) {
    return { isOn: false, icon: "microphoneOff", hint: "No microphone. Try to open it" };
  }
  return { isOn: !muted, icon: muted ? "microphoneOff" : "microphone", hint: muted ? "Unmute" : "Mute" };
}

/**
 * @param {Media} media
 * @returns {Toggle}
 */
export function cameraToggle({ tracks }) {
  const isOn = Boolean(tracks.camera);
  return { isOn, icon: isOn ? "video" : "videoOff", hint: isOn ? "Turn the camera off" : "Turn the camera on" };
}

/**
 * @param {Call} call
 * @returns {Toggle}
 */
export function screenToggle({ me, state, media, client }) {
  const sharer = state?.screenshare_user ?? null;
  const isOn = sharer === me && Boolean(media.tracks.screen);
  const replaced = sharer && sharer !== me ? ` instead of ${client.names.shown(sharer)}` : "";
  return { isOn, icon: isOn ? "screenOff" : "screen", hint: isOn ? "Stop sharing" : `Share your screen${replaced}` };
}

/**
 * Mutes or unmutes; without a microphone, tries to open one.
 * @param {Call} call
 */
export async function toggleMicrophone(call) {
  if (call.media.tracks.microphone) {
    call.mute(!call.media.muted);
  } else {
    call.media.muted = false;
    await call.media.openMicrophone();
  }
}
