// @ts-check
// Finished calls, newest first, from my side.

import { get, messageOf } from "../api.js";
import { icon } from "../client/icons.js";
import { button, formatDuration, formatTime, h, setText } from "../dom.js";

/** @import { Store } from "../client/store.js" */
/** @import { PastCall } from "../client/types.js" */

const PAGE_SIZE = 20;

/** A list that loads itself, of one channel or, with null, of all channels. */
export class HistoryList {
  #store;
  #channel;
  #rows;
  #message = h("p", { class: "quiet" }, "Loading…");
  #note;
  #more = button({ text: "Older calls", class: "plain", "data-action": "older", hidden: true });
  /** @type {string | null} */
  #oldest = null;
  /** Answers of earlier requests are dropped. */
  #request = 0;

  /**
   * @param {Store} store
   * @param {string | null} channel
   */
  constructor(store, channel) {
    this.#store = store;
    this.#channel = channel;
    this.#rows = h("ol", { class: "history", "data-history": channel ?? "all" });
    // Below a channel's other content the message is a line; on its own it fills the pane.
    this.#note = channel ? this.#message : h("div", { class: "empty" }, icon("history"), this.#message);
    this.#more.onclick = () => this.#load();
    this.element = h("div", {}, this.#rows, this.#note, this.#more);
    this.#load();
  }

  async #load() {
    this.#request += 1;
    const request = this.#request;
    const query = new URLSearchParams({ limit: String(PAGE_SIZE) });
    if (this.#channel) {
      query.set("channel", this.#channel);
    }
    if (this.#oldest) {
      query.set("before", this.#oldest);
    }
    try {
      /** @type {PastCall[]} */
      const calls = await get(`/calls/history?${query}`);
      if (request === this.#request) {
        this.#append(calls);
      }
    } catch (error) {
      setText(this.#message, messageOf(error));
      this.#note.hidden = false;
    }
  }

  /** @param {PastCall[]} calls */
  #append(calls) {
    this.#rows.append(...calls.map((call) => historyRow(this.#store, call, this.#channel === null)));
    this.#oldest = calls.at(-1)?.call_id ?? this.#oldest;
    this.#more.hidden = calls.length < PAGE_SIZE;
    this.#note.hidden = this.#rows.children.length > 0;
    setText(this.#message, "No calls yet.");
  }

  reload() {
    this.#oldest = null;
    this.#rows.replaceChildren();
    return this.#load();
  }
}

/** The icon of an outcome, for incoming and outgoing calls, and its word. @type {Record<string, string[]>} */
const OUTCOMES = {
  answered: ["incoming", "outgoing", "Answered"],
  missed: ["missed", "outgoing", "Missed"],
  declined: ["incoming", "outgoing", "Declined"],
  cancelled: ["missed", "outgoing", "Cancelled"],
};

/**
 * @param {Store} store
 * @param {PastCall} call
 * @param {boolean} withChannel
 */
function historyRow(store, call, withChannel) {
  const isMine = call.initiator === store.me;
  const [incomingIcon, outgoingIcon, word] = OUTCOMES[call.outcome] ?? ["incoming", "outgoing", call.outcome];
  const outcome = call.outcome === "missed" && isMine ? (call.reason === "busy" ? "Busy" : "No answer") : word;
  const caller = isMine ? "You called" : `${call.initiator_display_name} called`;
  const title = withChannel ? store.title(call.channel) : caller;
  const details = [outcome];
  if (call.missed_reason === "busy" || call.missed_reason === "quiet") {
    details.push(call.missed_reason === "busy" ? "you were on another call" : "do not disturb");
  }
  if (withChannel && title !== call.initiator_display_name) {
    details.unshift(caller);
  }
  if (call.duration !== null) {
    details.push(formatDuration(call.duration));
  }
  const started = new Date(call.started_ts * 1000);
  const isMissed = call.outcome === "missed" && !isMine;
  return h(
    "li",
    { class: isMissed ? "missed" : "", "data-outcome": call.outcome, "data-call": call.call_id },
    icon(isMine ? outgoingIcon : incomingIcon),
    h(
      "div",
      { class: "grow" },
      withChannel ? h("a", { href: `#${encodeURIComponent(call.channel)}` }, title) : h("strong", {}, title),
      h("p", { class: "quiet" }, details.join(" · ")),
    ),
    h("time", { class: "quiet", datetime: started.toISOString() }, formatTime(call.started_ts)),
  );
}
