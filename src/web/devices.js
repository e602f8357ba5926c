// Microphones, cameras, speakers and screens, and a sentence for each way in which a browser refuses them.

/** A device cannot be used; `message` says why, and what to do about it. */
export class DeviceError extends Error {
  constructor(what, cause) {
    super(sentence(what, cause), { cause });
    this.what = what;
    /** Whether somebody chose not to, which is no failure. */
    this.dismissed = what === "screen" && cause?.name === "NotAllowedError";
  }
}

const INSECURE =
  "This page came over plain http, and browsers give no page a microphone, a camera or a screen that way. " +
  "Open it over https, or on the server itself as http://localhost.";

function sentence(what, cause) {
  if (!isSecureContext || !navigator.mediaDevices) {
    return INSECURE;
  }
  switch (cause?.name) {
    case "NotAllowedError":
    case "SecurityError":
      return what === "screen"
        ? "The browser was not allowed to show a screen. On a Mac, allow it in System Settings under Privacy."
        : `The browser was not allowed to use the ${what}. Allow it with the icon beside the address, then try again.`;
    case "NotFoundError":
    case "OverconstrainedError":
      return `No ${what} was found. Plug one in, or choose another one, then try again.`;
    case "NotReadableError":
    case "AbortError":
      return `The ${what} does not answer. Perhaps another program is using it; close that, then try again.`;
    case "NotSupportedError":
    case "TypeError":
      return `This browser cannot use a ${what}.`;
    default:
      return `The ${what} cannot be used: ${cause?.message || cause?.name || "the browser does not say why"}.`;
  }
}

// ---- which devices somebody has chosen, in this browser

const KINDS = { microphone: "audioinput", camera: "videoinput", speaker: "audiooutput" };

export function chosen(what) {
  try {
    return localStorage.getItem(`device-${what}`) ?? "";
  } catch {
    return "";
  }
}

export function choose(what, id) {
  try {
    localStorage.setItem(`device-${what}`, id);
  } catch {
    // A browser that keeps nothing keeps no choice either.
  }
}

/** The devices of a kind, as `{id, label}`. Browsers tell names only to pages that may use such devices. */
export async function devices(what) {
  const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return all
    .filter((device) => device.kind === KINDS[what] && device.deviceId)
    .map((device) => ({ id: device.deviceId, label: device.label || `A ${what}` }));
}

export const canChooseSpeaker = () => "setSinkId" in HTMLMediaElement.prototype;

/** Plays an element through the chosen speaker; one that is gone is as good as none chosen. */
export async function useSpeaker(element) {
  await element.setSinkId?.(chosen("speaker")).catch(() => {});
}

// ---- opening them

async function open(what, constraints) {
  if (!isSecureContext || !navigator.mediaDevices) {
    throw new DeviceError(what);
  }
  try {
    return await constraints();
  } catch (cause) {
    throw new DeviceError(what, cause);
  }
}

const preferred = (what) => (chosen(what) ? { deviceId: { ideal: chosen(what) } } : {});

/** Opens the microphone; answers its track. */
export function openMicrophone() {
  return open("microphone", async () => {
    const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, ...preferred("microphone") };
    return (await navigator.mediaDevices.getUserMedia({ audio })).getAudioTracks()[0];
  });
}

/** Opens the camera; answers its track. */
export function openCamera() {
  return open("camera", async () => {
    const video = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 }, ...preferred("camera") };
    return (await navigator.mediaDevices.getUserMedia({ video })).getVideoTracks()[0];
  });
}

/** Asks which screen, window or tab to show; answers the picture's track, and the sound's if there is one. */
export function openScreen() {
  return open("screen", async () => {
    if (!navigator.mediaDevices.getDisplayMedia) {
      throw new DOMException("", "NotSupportedError");
    }
    const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 15, max: 30 } }, audio: true });
    const [picture] = stream.getVideoTracks();
    // Text should stay sharp rather than smooth.
    picture.contentHint = "detail";
    return { picture, sound: stream.getAudioTracks()[0] ?? null };
  });
}
