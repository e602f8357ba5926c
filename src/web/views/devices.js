// The microphone, the camera and the speaker: opening them, and choosing among several.

import { DeviceError, canChooseSpeaker, choose, chosen, devices } from "../devices.js";
import { ask, button, h, notify, say } from "../dom.js";
import { Media } from "../media.js";
import { audio, joined } from "../sound.js";

/** Opens what I send. Without a microphone somebody may still want to listen; answers null if not. */
export async function openMedia(video, muted = false) {
  const media = new Media();
  media.muted = muted;
  for (let open = false; !open; ) {
    try {
      await media.openMicrophone();
      open = true;
    } catch (error) {
      if (!(error instanceof DeviceError)) {
        throw error;
      }
      const answer = await ask({
        id: "no-microphone",
        title: "The microphone cannot be used",
        body: [h("p", { role: "alert" }, error.message)],
        buttons: [
          { value: "cancel", text: "Cancel" },
          { value: "listen", text: "Only listen" },
          { value: "again", text: "Try again", class: "primary" },
        ],
      });
      if (answer === "listen") {
        open = true;
      } else if (answer !== "again") {
        return null;
      }
    }
  }
  if (video) {
    await media.openCamera().catch((error) => notify(error.message, { urgent: true }));
  }
  return media;
}

/** A dialog; `changed(what)` is told when somebody has chosen another microphone, camera or speaker. */
export async function chooseDevices(changed) {
  const before = document.activeElement;
  const fields = [];
  const note = h("p", { class: "quiet" });
  for (const what of ["microphone", "camera", ...(canChooseSpeaker() ? ["speaker"] : [])]) {
    const select = h("select", {
      id: `choose-${what}`,
      onchange: async () => {
        choose(what, select.value);
        if (what === "speaker") {
          await audio().setSinkId?.(select.value).catch(() => {});
        }
        changed(what);
      },
    });
    fields.push({ what, select });
  }

  async function fill() {
    let unnamed = false;
    for (const { what, select } of fields) {
      const found = await devices(what).catch(() => []);
      unnamed ||= found.length === 0;
      select.replaceChildren(
        h("option", { value: "" }, found.length > 0 ? "System default" : "None found"),
        ...found.filter(({ id }) => id !== "default").map(({ id, label }) => h("option", { value: id, selected: id === chosen(what) }, label)),
      );
    }
    say(note, !isSecureContext
      ? "This page came over plain http, so the browser keeps devices from it. Open it over https."
      : unnamed ? "What is not listed appears once the browser has let this page use it: begin a call, or plug it in." : "");
  }

  const dialog = h(
    "dialog",
    { id: "devices", class: "dialog", "aria-labelledby": "devices-title" },
    h("h2", { id: "devices-title" }, "Devices"),
    fields.map(({ what, select }) =>
      h("div", { class: "field" }, h("label", { for: select.id }, what[0].toUpperCase() + what.slice(1)), select)),
    note,
    h(
      "div",
      { class: "row end" },
      button({ text: "Play a sound", icon: "sound", onclick: joined }),
      button({ text: "Done", class: "primary", "data-answer": "done", onclick: () => dialog.close() }),
    ),
  );
  const refill = () => fill();
  navigator.mediaDevices?.addEventListener("devicechange", refill);
  dialog.addEventListener("close", () => {
    navigator.mediaDevices?.removeEventListener("devicechange", refill);
    dialog.remove();
    before?.focus?.();
  });
  document.body.append(dialog);
  await fill();
  dialog.showModal();
}
