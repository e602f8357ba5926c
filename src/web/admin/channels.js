// @ts-check
// Private channels: adding, renaming and removing them, and their members.

import { post, remove } from "../api.js";
import { actionForm, avatar, button, h, keyedList, labelled, outcomeLine, setText, showDialog } from "../dom.js";
import { listed, shown } from "../names.js";
import { ItemList } from "./item_list.js";
import { isConfirmed, rowWithAction, sectionElement } from "./parts.js";
import { counted, namesIn } from "./texts.js";

/** @import { Section } from "./parts.js" */
/** @import { PrivateChannel } from "./types.js" */

/** @returns {Section} */
export function channelsSection() {
  const changed = () => list.load();
  /** @type {ItemList<PrivateChannel>} */
  const list = new ItemList({
    id: "admin-channels",
    label: "Channels",
    path: "/admin/channels",
    cursor: "channel",
    empty: "There are no private channels.",
    searched: ({ channel, title, members }) => `${channel} ${title} ${members.join(" ")} ${listed(members)}`,
    create: (channel) => channelRow(channel, () => showChannel(list, channel.channel)),
  });
  const add = button({ text: "Add channel", id: "add-channel", class: "primary", onclick: () => addChannel(changed) });
  return { element: sectionElement("Channels", [add], list.element) };
}

/**
 * @param {PrivateChannel} channel
 * @param {() => void} edit
 */
function channelRow({ channel }, edit) {
  const name = h("strong");
  const details = h("p", { class: "quiet" });
  const action = { text: "Edit", label: `Edit ${channel}`, "data-edit": channel, onclick: edit };
  /** @param {PrivateChannel} channel */
  const render = ({ title, members }) => {
    setText(name, title);
    setText(details, [channel, counted(members.length, "member"), listed(members)].filter(Boolean).join(" · "));
  };
  return { element: rowWithAction([name, details], action), render };
}

/**
 * @param {string} id
 * @param {import("../client/dom.js").Properties} [properties]
 */
const textField = (id, properties) => h("input", { id, autocomplete: "off", required: true, ...properties });

/** @param {() => Promise<void>} changed */
function addChannel(changed) {
  const title = textField("new-title");
  const members = textField("new-members", { required: false, autocapitalize: "none", spellcheck: "false" });
  const form = actionForm({
    id: "new-channel",
    submit: "Add channel",
    body: [labelled("Title", title), labelled("Members, as user names with commas between them", members)],
    action: async () => {
      await post("/admin/channels", { title: title.value, members: namesIn(members.value) });
      dialog.close();
      await changed();
    },
  });
  const dialog = showDialog({ id: "add-channel-dialog", title: "Add channel", close: "Cancel", body: [form] });
}

/**
 * @param {ItemList<PrivateChannel>} list
 * @param {string} channel
 */
function showChannel(list, channel) {
  const path = `/admin/channels/${encodeURIComponent(channel)}`;
  const title = textField("new-channel-title", { value: list.find(channel)?.title });
  const username = textField("new-member", { autocapitalize: "none", spellcheck: "false" });
  const members = h("ul", { class: "members", id: "channel-members", tabindex: "-1", "aria-label": "Members" });
  const { element: outcome, report } = outcomeLine();

  const changed = async () => {
    await list.load();
    renderMembers();
  };
  const renderMembers = () =>
    keyedList(members, list.find(channel)?.members ?? [], (name) => name, (name) => ({ element: memberRow(name) }));
  /** @param {string} name */
  const memberRow = (name) => {
    const onclick = () => report(() => post(`${path}/leave`, { username: name }).finally(changed));
    const action = { text: "Remove", class: "danger-quiet small", "aria-label": `Remove ${name}`, "data-remove": name };
    const text = h("span", { class: "grow", title: name }, shown(name));
    return h("li", { "data-member": name }, avatar(name, "small"), text, button({ ...action, onclick }));
  };

  const rename = actionForm({
    id: "rename-channel",
    submit: "Save title",
    done: "Title saved.",
    body: [labelled("Title", title)],
    action: () => post(`${path}/title`, { title: title.value }).then(changed),
  });
  const join = actionForm({
    id: "join-channel",
    submit: "Add member",
    body: [labelled("User name of a new member", username)],
    action: async () => {
      await post(`${path}/join`, { username: username.value });
      username.value = "";
      await changed();
    },
  });
  const removeChannel = async () => {
    const text = "Its members lose the channel, and its call ends.";
    if (await isConfirmed(`Remove ${list.find(channel)?.title ?? channel}?`, text, "Remove")) {
      await report(async () => {
        await remove(path);
        dialog.close();
        await list.load();
      });
    }
  };
  const removeButton = { text: "Remove channel", id: "remove-channel", class: "danger-quiet", onclick: removeChannel };
  renderMembers();
  const body = [
    rename, h("h3", {}, "Members"), members, outcome, join, h("h3", {}, "Removal"), button(removeButton),
  ];
  const dialog = showDialog({ id: "channel", title: channel, body });
}
