// @ts-check
// What the page shows first: calls in progress, missed calls, and the recent ones, to join or to call back.

import { icon } from "../client/icons.js";
import { button, formatTime, h, keyedList, setText } from "../dom.js";
import { callBack } from "./call_back.js";
import { callCard, channelLink, shareCard } from "./cards.js";
import { outcomeOf, reasonText } from "./outcomes.js";
import { unavailableText } from "./presence.js";

/** @import { Store } from "../client/store.js" */
/** @import { RecentCalls } from "../recent_calls.js" */
/** @import { CallBackActions } from "./call_back.js" */
/** @import { CardActions } from "./cards.js" */

/**
 * @typedef {object} StartActions
 * @property {() => void} newCall
 * @property {() => void} newChannel
 * @property {() => void} markMissedSeen
 */

/**
 * @typedef {object} Row a channel to call back
 * @property {string} channel
 * @property {string} icon
 * @property {string} details
 * @property {boolean} isMissed
 */

/** How many channels of recent calls are here. The history has all calls. */
const RECENT_COUNT = 8;

export class Start {
  #store;
  #recents;
  #actions;
  #calls = h("div", { class: "cards", "data-now": true });
  #shares = h("div", { class: "cards" });
  #missed = h("ul", { class: "call-rows", id: "missed", tabindex: "-1", "aria-labelledby": "missed-title" });
  #recent = h("ul", { class: "call-rows", id: "recent", tabindex: "-1", "aria-labelledby": "recent-title" });
  #nowSection;
  #missedSection;
  #recentSection;
  #newCall;
  #newChannel;
  #emptyText = h("p");
  #addPeople = h("a", { href: "admin#people", class: "button", id: "add-people" }, "Add people");
  #empty = h("div", { class: "empty", id: "start-empty", hidden: true }, icon("people"), this.#emptyText, this.#addPeople);

  /**
   * @param {Store} store
   * @param {RecentCalls} recents
   * @param {StartActions & CardActions & CallBackActions} actions
   */
  constructor(store, recents, actions) {
    this.#store = store;
    this.#recents = recents;
    this.#actions = actions;
    const { markMissedSeen, newCall, newChannel } = actions;
    const seen = { text: "Mark as seen", id: "mark-seen", class: "plain small", onclick: markMissedSeen };
    this.#newCall = button({ icon: "invite", text: "New group call", id: "start-new-call", onclick: newCall });
    this.#newChannel = button({ icon: "plus", text: "New channel", id: "new-channel", onclick: newChannel });
    this.#nowSection = section("now-title", "Now", [], this.#calls, this.#shares);
    this.#missedSection = section("missed-title", "Missed calls", [button(seen)], this.#missed);
    const all = h("a", { href: "#history", class: "button plain small" }, "All calls");
    this.#recentSection = section("recent-title", "Recent calls", [all], this.#recent);
    this.element = h(
      "section",
      { class: "start", id: "start", tabindex: "-1", "aria-label": "Calls" },
      h("div", { class: "row actions" }, this.#newCall, this.#newChannel),
      this.#nowSection,
      this.#missedSection,
      this.#recentSection,
      this.#empty,
    );
  }

  render() {
    const store = this.#store;
    const [calls, shares] = [[...store.calls.values()], [...store.shares.values()]];
    const missed = this.#missedRows();
    const recent = this.#recentRows(missed).slice(0, RECENT_COUNT);
    this.#newChannel.hidden = !store.isAdmin;
    this.#newCall.hidden = store.people.length === 0;
    this.#nowSection.hidden = calls.length + shares.length === 0;
    this.#missedSection.hidden = missed.length === 0;
    this.#recentSection.hidden = recent.length === 0;
    keyedList(this.#calls, calls, ({ call_id: id }) => id, (call) => callCard(store, this.#actions, call, { withChannel: true }));
    keyedList(this.#shares, shares, ({ share_id: id }) => id, (share) => shareCard(store, this.#actions, share));
    keyedList(this.#missed, missed, ({ channel }) => channel, (row) => this.#row(row));
    keyedList(this.#recent, recent, ({ channel }) => channel, (row) => this.#row(row));
    this.#renderEmpty(calls.length + shares.length + missed.length + recent.length === 0);
  }

  /** @param {boolean} isEmpty */
  #renderEmpty(isEmpty) {
    const { isAdmin, people } = this.#store;
    this.#empty.hidden = !isEmpty || this.#recents.newest === null;
    this.#addPeople.hidden = people.length > 0 || !isAdmin;
    setText(this.#emptyText, emptyText(people.length > 0, isAdmin));
  }

  /** @returns {Row[]} one for each channel */
  #missedRows() {
    const unseen = this.#store.missed.filter(({ seen }) => !seen);
    return [...new Set(unseen.map(({ channel }) => channel))].map((channel) => {
      const missed = unseen.filter((call) => call.channel === channel);
      const [{ called_by: caller, missed_ts: ts, reason }] = missed;
      const who = this.#store.isPair(channel) ? "" : `${this.#store.names.shown(caller)} called`;
      const count = missed.length > 1 ? `${missed.length} calls` : "";
      const details = [who, count, reasonText(reason), formatTime(ts), this.#unavailable(channel)].filter(Boolean).join(" · ");
      return { channel, icon: "missed", details, isMissed: true };
    });
  }

  /**
   * @param {Row[]} missed the channels that stand above already
   * @returns {Row[]}
   */
  #recentRows(missed) {
    const isAbove = (/** @type {string} */ channel) =>
      missed.some((row) => row.channel === channel) || this.#store.callIn(channel) !== undefined;
    return (this.#recents.newest ?? []).filter(({ channel }) => !isAbove(channel)).map((call) => {
      const { icon, isMissed, reason, word } = outcomeOf(this.#store, call);
      const details = [word, reason, formatTime(call.started_ts), this.#unavailable(call.channel)].filter(Boolean).join(" · ");
      return { channel: call.channel, icon, details, isMissed };
    });
  }

  /**
   * Why a call back may not be answered now.
   * @param {string} channel
   */
  #unavailable(channel) {
    const other = this.#store.isPair(channel) ? this.#store.members(channel).find((name) => name !== this.#store.me) : null;
    return other ? unavailableText(this.#store.presenceOf(other)) : "";
  }

  /** @param {Row} row */
  #row({ channel }) {
    const link = channelLink(channel);
    const details = h("p", { class: "quiet" });
    const sign = h("span", { class: "row-icon" });
    const back = callBack(this.#store, channel, this.#actions);
    const element = h("li", { "data-call-back": channel }, sign, h("div", { class: "grow" }, link, details), back.element);
    /** @param {Row} row */
    const render = ({ icon: name, details: text, isMissed }) => {
      element.classList.toggle("missed", isMissed);
      if (sign.dataset.icon !== name) {
        sign.dataset.icon = name;
        sign.replaceChildren(icon(name));
      }
      setText(link, this.#store.title(channel));
      setText(details, text);
      back.render();
    };
    return { element, render };
  }
}

/**
 * @param {string} id of the heading
 * @param {string} title
 * @param {HTMLElement[]} actions
 * @param {HTMLElement[]} lists
 */
function section(id, title, actions, ...lists) {
  const head = h("div", { class: "row section-head" }, h("h2", { id, class: "grow" }, title), actions);
  return h("section", { hidden: true, "aria-labelledby": id }, head, lists);
}

/**
 * @param {boolean} hasPeople
 * @param {boolean} isAdmin
 */
function emptyText(hasPeople, isAdmin) {
  if (hasPeople) {
    return "No calls yet. Choose a person or a channel, or press / and type a name.";
  }
  return isAdmin
    ? "Nobody else is here yet. Add the people that you want to call."
    : "Nobody else is here yet. An admin adds people.";
}
