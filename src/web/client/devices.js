// @ts-check
// Microphones, cameras, speakers and screens, and a sentence for each reason that a browser refuses them.

/** @import { CaptureKind, DeviceKind } from "./types.js" */

/** A device cannot be used; `message` says why, and what to do. */
export class DeviceError extends Error {
  /**
   * @param {CaptureKind} kind
   * @param {unknown} [cause]
   */
  constructor(kind, cause) {
    const name = cause instanceof Error ? cause.name : "";
    super(sentenceFor(kind, name, cause), { cause });
    /** Whether the person closed the browser's dialog: no error to report. */
    this.dismissed = kind === "screen" && name === "NotAllowedError";
  }
}

/** @param {unknown} error */
export const isDismissal = (error) => error instanceof DeviceError && error.dismissed;

const INSECURE =
  "This page was loaded over plain HTTP, and browsers then block microphone, camera and screen. " +
  "Open it over HTTPS, or on the server itself as http://localhost.";

/**
 * @param {CaptureKind} kind
 * @param {string} name of a DOMException
 * @param {unknown} cause
 */
function sentenceFor(kind, name, cause) {
  if (!isSecureContext || !navigator.mediaDevices) {
    return INSECURE;
  }
  switch (name) {
    case "NotAllowedError":
    case "SecurityError":
      return kind === "screen"
        ? "The browser is not allowed to record the screen. On a Mac, allow it in System Settings, Privacy."
        : `Access to the ${kind} is blocked. Allow it with the icon beside the address, then try again.`;
    case "NotFoundError":
    case "OverconstrainedError":
      return `No ${kind} was found. Plug one in or choose another one, then try again.`;
    case "NotReadableError":
    case "AbortError":
      return `The ${kind} does not respond. Another program may be using it; close that, then try again.`;
    case "NotSupportedError":
    case "TypeError":
      return `This browser cannot use a ${kind}.`;
    default:
      return `The ${kind} cannot be used: ${(cause instanceof Error && cause.message) || name || "unknown reason"}.`;
  }
}

// ---- the chosen devices, remembered in this browser

/** @type {Record<DeviceKind, MediaDeviceKind>} */
const MEDIA_KINDS = { microphone: "audioinput", camera: "videoinput", speaker: "audiooutput" };

/**
 * @param {DeviceKind} kind
 * @returns {string} a device id, empty for the default
 */
export const chosenDevice = (kind) => remembered(`device-${kind}`) ?? "";

/**
 * @param {DeviceKind} kind
 * @param {string} id
 */
export const chooseDevice = (kind, id) => remember(`device-${kind}`, id);

/** What the browser does with the microphone's sound. @typedef {"noiseSuppression" | "echoCancellation"} Processing */

/** @param {Processing} name on unless it was turned off */
export const isProcessing = (name) => remembered(`device-${name}`) !== "off";

/**
 * Counts the next time the microphone is opened.
 * @param {Processing} name
 * @param {boolean} isOn
 */
export const setProcessing = (name, isOn) => remember(`device-${name}`, isOn ? "on" : "off");

/**
 * @param {string} key
 * @returns {string | null} null without storage, too
 */
function remembered(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/**
 * @param {string} key
 * @param {string} value
 */
function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Without storage the choice is lost.
  }
}

/**
 * The devices of a kind. Browsers reveal labels only to pages that may use such devices.
 * @param {DeviceKind} kind
 * @returns {Promise<{ id: string, label: string }[]>}
 */
export async function listDevices(kind) {
  const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return all
    .filter((device) => device.kind === MEDIA_KINDS[kind] && device.deviceId)
    .map((device) => ({ id: device.deviceId, label: device.label || `A ${kind}` }));
}

/** Whether the browser can share a screen; those of phones cannot. */
export const canShareScreen = () => Boolean(navigator.mediaDevices?.getDisplayMedia);

export const canChooseSpeaker = () => "setSinkId" in HTMLMediaElement.prototype;

/**
 * Plays an element through the chosen speaker, or the default if that is gone.
 * @param {HTMLMediaElement} element
 */
export async function useSpeaker(element) {
  await element.setSinkId?.(chosenDevice("speaker")).catch(() => {});
}

// ---- opening them

/**
 * @template T
 * @param {CaptureKind} kind
 * @param {(devices: MediaDevices) => Promise<T>} action
 * @returns {Promise<T>}
 */
async function open(kind, action) {
  if (!isSecureContext || !navigator.mediaDevices) {
    throw new DeviceError(kind);
  }
  try {
    return await action(navigator.mediaDevices);
  } catch (cause) {
    throw new DeviceError(kind, cause);
  }
}

/** @param {"microphone" | "camera"} kind */
const preferredDevice = (kind) => (chosenDevice(kind) ? { deviceId: { ideal: chosenDevice(kind) } } : {});

/** @returns {Promise<MediaStreamTrack>} */
export function openMicrophone() {
  const [echoCancellation, noiseSuppression] = [isProcessing("echoCancellation"), isProcessing("noiseSuppression")];
  const processing = { echoCancellation, noiseSuppression, autoGainControl: true };
  const audio = { ...processing, ...preferredDevice("microphone") };
  return open("microphone", async (devices) => (await devices.getUserMedia({ audio })).getAudioTracks()[0]);
}

/** @returns {Promise<MediaStreamTrack>} */
export function openCamera() {
  const size = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
  const video = { ...size, ...preferredDevice("camera") };
  return open("camera", async (devices) => (await devices.getUserMedia({ video })).getVideoTracks()[0]);
}

/**
 * Lets the person choose a screen, window or tab.
 * @returns {Promise<{ videoTrack: MediaStreamTrack, audioTrack: MediaStreamTrack | null }>}
 */
export function openScreen() {
  return open("screen", async (devices) => {
    if (!devices.getDisplayMedia) {
      throw new DOMException("", "NotSupportedError");
    }
    const stream = await devices.getDisplayMedia({ video: { frameRate: { ideal: 15, max: 30 } }, audio: true });
    const tracks = tracksOf(stream);
    // Text stays sharp rather than smooth.
    tracks.videoTrack.contentHint = "detail";
    return tracks;
  });
}

/**
 * The tracks of a screen.
 * @param {MediaStream} stream
 * @returns {{ videoTrack: MediaStreamTrack, audioTrack: MediaStreamTrack | null }}
 */
export const tracksOf = (stream) =>
  ({ videoTrack: stream.getVideoTracks()[0], audioTrack: stream.getAudioTracks()[0] ?? null });
