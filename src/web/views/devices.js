// @ts-check
// Opening the microphone and the camera for a call, and the dialogs to choose and to check devices.

import { messageOf } from "../api.js";
import { DeviceCheck } from "../call/device_check.js";
import { preference, setPreference } from "../call/preferences.js";
import { DeviceError } from "../client/devices.js";
import { Media } from "../client/media.js";
import { askInDialog, h, notify, showDialog } from "../dom.js";

/** @import { DeviceKind } from "../client/types.js" */

/**
 * Opens what I send. Without a microphone, asks whether to join only to listen.
 * @param {boolean} video
 * @returns {Promise<Media | null>} null if the person cancels
 */
export async function openMedia(video, muted = false) {
  const media = new Media();
  media.muted = muted;
  if (!(await openMicrophoneOrAsk(media))) {
    return null;
  }
  if (video) {
    await media.openCamera().catch((error) => notify(messageOf(error), { urgent: true }));
  }
  return media;
}

/**
 * @param {Media} media
 * @returns {Promise<boolean>} false if the person cancels
 */
async function openMicrophoneOrAsk(media) {
  for (;;) {
    try {
      await media.openMicrophone();
      return true;
    } catch (error) {
      if (!(error instanceof DeviceError)) {
        throw error;
      }
      const answer = await askWithoutMicrophone(error.message);
      if (answer !== "again") {
        return answer === "listen";
      }
    }
  }
}

/** @param {string} reason */
const askWithoutMicrophone = (reason) =>
  askInDialog({
    id: "no-microphone",
    title: "No access to the microphone",
    body: [h("p", { role: "alert" }, reason)],
    buttons: [
      { value: "cancel", text: "Cancel" },
      { value: "listen", text: "Join without microphone" },
      { value: "again", text: "Try again", class: "primary" },
    ],
  });

/** A box that says whether devices are checked before each call. */
function checkBox() {
  const onchange = () => setPreference("call-check", box.checked ? "always" : "never");
  const isChecked = preference("call-check") === "always";
  const box = h("input", { type: "checkbox", id: "check-before", checked: isChecked, onchange });
  return h("div", { class: "check" }, box, h("label", { for: "check-before" }, "Check devices before each call"));
}

/**
 * Shows the dialog to choose devices.
 * @param {(kind: DeviceKind) => void} onChoice
 */
export async function chooseDevices(onChoice) {
  const check = new DeviceCheck({ on: { microphone: true, camera: false }, areDevicesOpen: true, onChoice });
  const dialog = showDialog({ id: "devices", title: "Devices", body: [check.element, checkBox()] });
  dialog.addEventListener("close", () => check.stop());
  await check.start();
}

/**
 * Whether devices are checked before a call: as the person has chosen, otherwise where several are on the call already.
 * @param {{ isRunning: boolean, isPair: boolean }} call
 */
export function needsCheck({ isRunning, isPair }) {
  const choice = preference("call-check");
  return choice === "always" || (choice !== "never" && isRunning && !isPair);
}

/**
 * Asks for the devices of a call.
 * @param {object} options
 * @param {string} options.title
 * @param {string} options.action the text of the button
 * @param {boolean} options.video
 * @param {AbortSignal} options.signal dismisses the dialog
 * @returns {Promise<{ video: boolean, muted: boolean } | null>} null if the person cancels
 */
export async function checkDevices({ title, action, video, signal }) {
  const check = new DeviceCheck({ on: { microphone: true, camera: video } });
  const buttons = [
    { value: "cancel", text: "Cancel" },
    { value: "join", text: action, id: "join-now", class: "primary" },
  ];
  const answered = askInDialog({ id: "check", title, body: [check.element, checkBox()], buttons, signal });
  check.start();
  const answer = await answered;
  const { microphone, camera } = check.on;
  check.stop();
  return answer === "join" ? { video: camera, muted: !microphone } : null;
}
