// @ts-check
// The finished calls of everybody, filtered by person, channel and outcome.

import { get, messageOf } from "../api.js";
import { button, formatTime, h, labelled, setText } from "../dom.js";
import { sectionElement } from "./parts.js";
import { channelTitle, pastCallText } from "./texts.js";

/** @import { Section } from "./parts.js" */
/** @import { AdminPastCall } from "./types.js" */

const PAGE_SIZE = 50;

const OUTCOMES = ["answered", "declined", "missed", "cancelled", "interrupted"];

/** @returns {Section} */
export function historySection() {
  const plain = { autocomplete: "off", autocapitalize: "none", spellcheck: "false" };
  const username = h("input", { id: "history-person", ...plain });
  const channel = h("input", { id: "history-channel", placeholder: "private:1", ...plain });
  const outcome = h("select", { id: "history-outcome" },
    h("option", { value: "" }, "any"), OUTCOMES.map((word) => h("option", { value: word }, word)));
  const rows = h("ol", { class: "admin-list", id: "admin-history", "aria-label": "Finished calls" });
  const message = h("p", { class: "quiet", role: "status" });
  const more = button({ text: "Older calls", class: "plain", id: "history-more", hidden: true, onclick: () => load() });
  /** What the shown calls were filtered by. @type {Record<string, string>} */
  let filter = {};
  /** @type {string | null} */
  let oldest = null;
  /** Answers of earlier requests are dropped. */
  let newestRequest = 0;

  const load = async () => {
    newestRequest += 1;
    const request = newestRequest;
    const query = new URLSearchParams({ ...filter, limit: String(PAGE_SIZE) });
    if (oldest !== null) {
      query.set("before", oldest);
    }
    try {
      /** @type {AdminPastCall[]} */
      const calls = await get(`/admin/history?${query}`);
      if (request !== newestRequest) {
        return;
      }
      rows.append(...calls.map(historyRow));
      oldest = calls.at(-1)?.call_id ?? oldest;
      more.hidden = calls.length < PAGE_SIZE;
      setText(message, rows.children.length > 0 ? "" : "No calls found.");
    } catch (error) {
      setText(message, messageOf(error));
    }
  };
  const find = () => {
    const fields = { username: username.value.trim(), channel: channel.value.trim(), outcome: outcome.value };
    filter = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ""));
    oldest = null;
    more.hidden = true;
    rows.replaceChildren();
    return load();
  };
  const onsubmit = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    find();
  };
  const form = h(
    "form",
    { class: "filters", id: "history-filter", onsubmit },
    labelled("Person (user name)", username),
    labelled("Channel", channel),
    labelled("Outcome", outcome),
    button({ text: "Show", type: "submit" }),
  );
  find();
  return { element: sectionElement("History", [], form, rows, message, more) };
}

/** @param {AdminPastCall} call */
function historyRow(call) {
  const details = h("p", { class: "quiet" }, pastCallText(call));
  const text = h("div", { class: "grow" }, h("strong", {}, channelTitle(call)), details);
  const started = new Date(call.started_ts * 1000).toISOString();
  return h("li", { "data-call": call.call_id, "data-outcome": call.outcome }, text,
    h("time", { class: "quiet", datetime: started }, formatTime(call.started_ts)));
}
