// @ts-check
// The dialogs that call people together, and that add a channel.

import { post } from "../api.js";
import { directChannel } from "../client/store.js";
import { button, h, labelled, outcomeLine } from "../dom.js";
import { PeoplePicker } from "./picker.js";
import { showTallDialog } from "./tall_dialog.js";

/** @import { Store } from "../client/store.js" */

/**
 * Lets one choose people, and calls them.
 * @param {Store} store
 * @param {(channel: string, video: boolean) => void} call
 */
export function showNewCall(store, call) {
  const start = (/** @type {boolean} */ video) => () => {
    const channel = directChannel(store.me ?? "", ...picker.chosen);
    dialog.close();
    call(channel, video);
  };
  const voice = button({ icon: "phone", text: "Voice call", id: "new-call-voice", class: "primary", onclick: start(false) });
  const video = button({ icon: "video", text: "Video call", id: "new-call-video", class: "primary", onclick: start(true) });
  const render = () => [voice, video].forEach((one) => (one.disabled = picker.chosen.length === 0));
  const picker = new PeoplePicker(store, render);
  const dialog = showTallDialog("new-call-dialog", "New group call", [picker.element], [voice, video]);
  render();
  picker.focus();
}

/**
 * Adds a private channel with a title and members. The server lets admins.
 * @param {Store} store
 * @param {(channel: string) => Promise<void>} onAdded
 */
export function showNewChannel(store, onAdded) {
  const title = h("input", { id: "channel-title", autocomplete: "off", required: true, maxlength: "200" });
  const { element: outcome, report } = outcomeLine();
  const picker = new PeoplePicker(store, () => {});
  const add = () => report(async () => {
    const members = [store.me, ...picker.chosen];
    const { channel } = await post("/admin/channels", { title: title.value.trim(), members });
    dialog.close();
    await onAdded(channel);
  });
  const body = [labelled("Title", title), h("p", { class: "picker-label" }, "Members beside you"), picker.element, outcome];
  const create = button({ text: "Create channel", id: "create-channel", class: "primary", onclick: add });
  const dialog = showTallDialog("new-channel-dialog", "New channel", body, [create]);
  title.focus();
}
