// @ts-check
// Finished calls, newest first, from my side, each with a way to call back.

import { calls, messageOf } from "../api.js";
import { icon } from "../client/icons.js";
import { button, formatDuration, formatTime, h, keyedList, labelled, setText } from "../dom.js";
import { shown } from "../names.js";
import { byTitle } from "../search.js";
import { callBack } from "./call_back.js";
import { channelLink } from "./cards.js";
import { outcomeOf } from "./outcomes.js";

/** @import { Store } from "../client/store.js" */
/** @import { PastCall } from "../client/types.js" */
/** @import { CallBackActions } from "./call_back.js" */

/**
 * Which calls to list; an empty text is any.
 * @typedef {{ person: string, outcome: string }} HistoryFilter
 */

/**
 * @typedef {CallBackActions & { channel: string | null, filter?: HistoryFilter }} HistoryOptions `channel` is null for
 *   all channels
 */

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
    const { channel, filter } = this.#options;
    const wanted = { channel, before: this.#oldest, ...filter, limit: PAGE_SIZE };
    try {
      const past = await calls.history(Object.fromEntries(Object.entries(wanted).filter(([, value]) => value)));
      if (request === this.#request) {
        this.#append(past);
      }
    } catch (error) {
      setText(this.#message, messageOf(error));
      this.#note.hidden = false;
    }
  }

  /** @param {PastCall[]} page */
  #append(page) {
    this.#calls = this.#oldest === null ? page : [...this.#calls, ...page];
    this.#oldest = page.at(-1)?.call_id ?? this.#oldest;
    this.#more.hidden = page.length < PAGE_SIZE;
    this.#note.hidden = this.#calls.length > 0;
    const { person, outcome } = this.#options.filter ?? { person: "", outcome: "" };
    setText(this.#message, person || outcome ? "No such calls." : "No calls yet.");
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
 * Who took part, for how long, and who did not.
 * @param {PastCall} past
 */
function whoTookPart({ participants, absent }) {
  const present = participants.map(({ username, display_name: name, seconds }) =>
    h("li", { title: username }, seconds === null ? name : `${name}, ${formatDuration(seconds)}`));
  const missing = absent.map(({ username, display_name: name, outcome }) =>
    h("li", { title: username }, `${name}, ${outcome}`));
  const count = present.length === 1 ? "1 person" : `${present.length} people`;
  return h("details", {}, h("summary", {}, count), h("ul", {}, present, missing));
}

/**
 * @param {string} id
 * @param {string} chosen
 * @param {[value: string, text: string][]} options
 */
function select(id, chosen, options) {
  const element = h("select", { id }, options.map(([value, text]) => h("option", { value }, text)));
  element.value = chosen;
  return element;
}

/** @type {[value: string, text: string][]} */
const OUTCOMES = [
  ["", "All outcomes"],
  ["answered", "Answered"],
  ["missed", "Missed"],
  ["declined", "Declined"],
  ["cancelled", "Cancelled"],
];

/** The history of all channels, with a filter by person and outcome. */
export class HistoryPane {
  #list;

  /**
   * @param {Store} store
   * @param {CallBackActions} actions
   * @param {HistoryFilter} filter of the last time; the pane changes it
   */
  constructor(store, { call, isBusy }, filter) {
    this.#list = new HistoryList(store, { channel: null, call, isBusy, filter });
    const people = [...store.people].sort((a, b) => byTitle(shown(a), shown(b)));
    const person = select("filter-person", filter.person,
      [["", "Everybody"], ...people.map((name) => /** @type {[string, string]} */ ([name, shown(name)]))]);
    const outcome = select("filter-outcome", filter.outcome, OUTCOMES);
    const onchange = () => {
      Object.assign(filter, { person: person.value, outcome: outcome.value });
      this.#list.reload();
    };
    person.onchange = onchange;
    outcome.onchange = onchange;
    const filters = h("div", { class: "row filters" }, labelled("Person", person), labelled("Outcome", outcome));
    this.element = h("div", { class: "scroll" }, filters, this.#list.element);
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
      past.answered_ts !== null && whoTookPart(past),
    ),
    back?.element,
  );
  return { element, render: back?.render };
}
