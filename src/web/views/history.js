// @ts-check
// Finished calls, newest first, from my side, each with a way to call back.

import { get, messageOf } from "../api.js";
import { icon } from "../client/icons.js";
import { button, formatDuration, formatTime, h, keyedList, setText } from "../dom.js";
import { callBack } from "./call_back.js";
import { channelLink } from "./cards.js";
import { outcomeOf } from "./outcomes.js";

/** @import { Store } from "../client/store.js" */
/** @import { PastCall, PastParticipant } from "../client/types.js" */
/** @import { CallBackActions } from "./call_back.js" */

/** @typedef {CallBackActions & { channel: string | null }} HistoryOptions `channel` is null for all channels */

const PAGE_SIZE = 20;

/** A list that loads itself, of one channel or of all. */
export class HistoryList {
  #store;
  #options;
  #rows;
  #message = h("p", { class: "quiet" }, "Loading…");
  #note;
  #more = button({ text: "Older calls", class: "plain", "data-action": "older", hidden: true });
  /** @type {string | null} */
  #oldest = null;
  /** Answers of earlier requests are dropped. */
  #request = 0;
  /** @type {PastCall[]} */
  #calls = [];

  /**
   * @param {Store} store
   * @param {HistoryOptions} options
   */
  constructor(store, options) {
    this.#store = store;
    this.#options = options;
    const { channel } = options;
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
    if (this.#options.channel) {
      query.set("channel", this.#options.channel);
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
    this.#calls = this.#oldest === null ? calls : [...this.#calls, ...calls];
    this.#oldest = calls.at(-1)?.call_id ?? this.#oldest;
    this.#more.hidden = calls.length < PAGE_SIZE;
    this.#note.hidden = this.#calls.length > 0;
    setText(this.#message, "No calls yet.");
    this.render();
  }

  reload() {
    this.#oldest = null;
    return this.#load();
  }

  render() {
    keyedList(this.#rows, this.#calls, ({ call_id: id }) => id, (call) => historyRow(this.#store, call, this.#options));
  }
}

/**
 * Who took part, and for how long.
 * @param {PastParticipant[]} participants
 */
function tookPart(participants) {
  const people = participants.map(({ username, display_name: name, joined_ts: joined, left_ts: left }) =>
    h("li", { title: username }, name, left === null ? "" : ` ${formatDuration(left - joined)}`));
  const count = people.length === 1 ? "1 person" : `${people.length} people`;
  return h("details", {}, h("summary", {}, count), h("ul", { "aria-label": "Took part" }, people));
}

/** The history of all channels. */
export class HistoryPane {
  #list;

  /**
   * @param {Store} store
   * @param {CallBackActions} actions
   */
  constructor(store, { call, isBusy }) {
    this.#list = new HistoryList(store, { channel: null, call, isBusy });
    this.element = h("div", { class: "scroll" }, this.#list.element);
  }

  reload() {
    return this.#list.reload();
  }

  render() {
    this.#list.render();
  }
}

/**
 * @param {Store} store
 * @param {PastCall} past
 * @param {HistoryOptions} options
 */
function historyRow(store, past, options) {
  const withChannel = options.channel === null;
  const back = withChannel ? callBack(store, past.channel, options) : null;
  const { icon: iconName, isMissed, reason, word } = outcomeOf(store, past);
  const caller = past.initiator === store.me ? "You called" : `${past.initiator_display_name} called`;
  const title = withChannel ? store.title(past.channel) : caller;
  const details = [withChannel && title !== past.initiator_display_name ? caller : "", word, reason];
  if (past.duration !== null) {
    details.push(formatDuration(past.duration));
  }
  const link = channelLink(past.channel);
  link.append(title);
  const iso = new Date(past.started_ts * 1000).toISOString();
  const time = h("time", { datetime: iso }, formatTime(past.started_ts));
  const element = h(
    "li",
    { class: isMissed ? "missed" : "", "data-outcome": past.outcome, "data-call": past.call_id },
    icon(iconName),
    h(
      "div",
      { class: "grow" },
      withChannel ? link : h("strong", {}, title),
      h("p", { class: "quiet" }, `${details.filter(Boolean).join(" · ")} · `, time),
      past.answered_ts !== null && tookPart(past.participants),
    ),
    back?.element,
  );
  return { element, render: back?.render };
}
