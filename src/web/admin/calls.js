// @ts-check
// Live calls: who is on them, since when, and the end of one for everyone.

import { messageOf, onServerClock, post } from "../api.js";
import { formatDuration, formatTime, h, notify, setText } from "../dom.js";
import { ItemList } from "./item_list.js";
import { isConfirmed, rowWithAction, sectionElement } from "./parts.js";
import { channelTitle, liveCallText } from "./texts.js";

/** @import { Section } from "./parts.js" */
/** @import { AdminCall } from "./types.js" */

/** Milliseconds between two requests for the list. */
const INTERVAL = 5_000;

/** @returns {Section} */
export function callsSection() {
  /** @param {AdminCall} call */
  const end = async (call) => {
    const title = channelTitle(call);
    if (await isConfirmed(`End the call of ${title}?`, "The call ends for everyone who is on it.", "End call")) {
      await post(`/admin/calls/${call.call_id}/end`).catch((error) => notify(messageOf(error), { urgent: true }));
      await list.load();
    }
  };
  /** @type {ItemList<AdminCall>} */
  const list = new ItemList({
    id: "admin-calls",
    label: "Live calls",
    path: "/admin/calls",
    cursor: "call_id",
    empty: "There are no live calls.",
    create: (call) => callRow(call, end),
  });
  const timer = setInterval(() => document.visibilityState === "visible" && list.load(), INTERVAL);
  return { element: sectionElement("Live calls", [], list.element), stop: () => clearInterval(timer) };
}

/**
 * @param {AdminCall} call
 * @param {(call: AdminCall) => void} end
 */
function callRow(call, end) {
  const title = channelTitle(call);
  const people = h("p", { class: "quiet" });
  const since = h("p", { class: "quiet" });
  /** @param {AdminCall} call */
  const render = (call) => {
    setText(people, liveCallText(call));
    const began = call.answered_ts ?? call.started_ts;
    setText(since, `Since ${formatTime(began)}, ${formatDuration(onServerClock(Date.now()) - began)}`);
  };
  const action = { text: "End", label: `End the call of ${title}`, "data-end": call.call_id, onclick: () => end(call) };
  return { element: rowWithAction([h("strong", {}, title), people, since], action), render };
}
