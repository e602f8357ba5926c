// @ts-check
// Opening the microphone and the camera for a call, and the dialog to choose devices.

import { messageOf } from "../api.js";
import { DeviceError, canChooseSpeaker, chooseDevice, chosenDevice, listDevices } from "../client/devices.js";
import { Media } from "../client/media.js";
import { audioContext, joinedTone } from "../client/sound.js";
import { askInDialog, button, capitalised, h, notify, rememberFocus, setText } from "../dom.js";

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

/**
 * Shows the dialog.
 * @param {(kind: DeviceKind) => void} onChoice
 */
export async function chooseDevices(onChoice) {
  const restoreFocus = rememberFocus();
  const note = h("p", { class: "quiet" });
  /** @type {DeviceKind[]} */
  const kinds = canChooseSpeaker() ? ["microphone", "camera", "speaker"] : ["microphone", "camera"];
  const fields = kinds.map((kind) => ({ kind, select: deviceSelect(kind, onChoice) }));
  const dialog = h(
    "dialog",
    { id: "devices", class: "dialog", "aria-labelledby": "devices-title" },
    h("h2", { id: "devices-title" }, "Devices"),
    fields.map(({ kind, select }) =>
      h("div", { class: "field" }, h("label", { for: select.id }, capitalised(kind)), select)),
    note,
    h(
      "div",
      { class: "row end" },
      button({ text: "Test speaker", icon: "sound", onclick: joinedTone }),
      button({ text: "Done", class: "primary", "data-answer": "done", onclick: () => dialog.close() }),
    ),
  );

  const fill = async () => {
    const counts = await Promise.all(fields.map(({ kind, select }) => fillSelect(kind, select)));
    setText(note, hint(counts));
  };
  navigator.mediaDevices?.addEventListener("devicechange", fill);
  dialog.addEventListener("close", () => {
    navigator.mediaDevices?.removeEventListener("devicechange", fill);
    dialog.remove();
    restoreFocus();
  });
  document.body.append(dialog);
  await fill();
  dialog.showModal();
}

/**
 * @param {DeviceKind} kind
 * @param {(kind: DeviceKind) => void} onChoice
 */
function deviceSelect(kind, onChoice) {
  const onchange = async () => {
    chooseDevice(kind, select.value);
    if (kind === "speaker") {
      /** @type {AudioContext & { setSinkId?: (id: string) => Promise<void> }} */
      const context = audioContext();
      await context.setSinkId?.(select.value).catch(() => {});
    }
    onChoice(kind);
  };
  const select = h("select", { id: `choose-${kind}`, onchange });
  return select;
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
    ? "Missing devices appear once the browser has granted access: start a call, or plug the device in."
    : "";
}
