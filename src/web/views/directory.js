// @ts-check
// The list of channels and people, and the search over both.

import { acceptedNames, directChannel } from "../client/store.js";
import { button, capitalised, h, keyedList, setProperties, setText } from "../dom.js";
import { listed, shown } from "../names.js";
import { Roving } from "../roving.js";
import { byTitle, searched } from "../search.js";
import { PRESENCE_WORDS, faceWithPresence, unavailableText } from "./presence.js";

/** @import { Store } from "../client/store.js" */
/** @import { CallState, PresenceState } from "../client/types.js" */
/** @import { RecentCalls } from "../recent_calls.js" */

/**
 * @typedef {object} Entry a link of the list
 * @property {string} channel
 * @property {string} title
 * @property {string} status
 * @property {boolean} isLive
 * @property {number} missed calls that I have not seen
 * @property {string} person the person's name; empty for a channel
 * @property {PresenceState | null} presence of the person; null for a channel
 */

export class Directory {
  #store;
  #recents;
  #roving;
  /** What the pane shows. @type {string | null} */
  #selected = null;
  #onSearch;
  #onSelectAgain;

  #search = h("input", {
    id: "search",
    type: "search",
    placeholder: "Search",
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: "false",
    "aria-label": "Search people and channels",
    "aria-keyshortcuts": "/ Control+K",
    "aria-controls": "directory",
  });
  #outcome = h("p", { class: "hint quiet", role: "status", id: "search-outcome" });
  #results = h("ul", { class: "entries", id: "results", tabindex: "-1", "aria-label": "Found" });
  #channels = h("ul", { class: "entries", id: "channels", tabindex: "-1", "aria-labelledby": "channels-title" });
  #people = h("ul", { class: "entries", id: "people", tabindex: "-1", "aria-labelledby": "people-title-list" });
  #noChannels = h("p", { class: "quiet hint" });
  #noPeople = h("p", { class: "quiet hint" }, "Nobody else is here yet.");
  #groups;
  #newCall;
  /** How many calls I have missed and not seen, by channel. @type {Map<string, number>} */
  #missed = new Map();

  /**
   * @param {Store} store
   * @param {RecentCalls} recents
   * @param {object} actions
   * @param {() => void} actions.onSearch the query has changed: render again
   * @param {() => void} actions.onSelectAgain a click on the selected entry
   * @param {() => void} actions.newCall
   */
  constructor(store, recents, { onSearch, onSelectAgain, newCall }) {
    this.#store = store;
    this.#recents = recents;
    this.#onSearch = onSearch;
    this.#onSelectAgain = onSelectAgain;
    this.#groups = h(
      "div",
      {},
      h("h2", { id: "channels-title" }, "Channels"),
      this.#noChannels,
      this.#channels,
      h("h2", { id: "people-title-list" }, "People"),
      this.#noPeople,
      this.#people,
    );
    this.#newCall = button({ icon: "plus", label: "New group call", id: "new-call", class: "plain", onclick: newCall });
    this.searchElement = h("div", { class: "search", role: "search" }, this.#search, this.#newCall);
    this.element = h("div", { id: "directory" }, this.#outcome, this.#results, this.#groups);
    this.#roving = new Roving(this.element, "a.entry", (key) => this.#onListKey(key));
    this.#search.addEventListener("input", onSearch);
    this.#search.addEventListener("keydown", (event) => this.#onSearchKey(event));
  }

  get query() {
    return this.#search.value.trim();
  }

  focusSearch() {
    this.#search.focus();
    this.#search.select();
  }

  /** Shows all with the next render. */
  clear() {
    this.#search.value = "";
  }

  // ---- keys

  /** @param {KeyboardEvent} event */
  #onSearchKey(event) {
    const first = this.#roving.first;
    if (event.key === "ArrowDown") {
      first?.focus();
      event.preventDefault();
    } else if (event.key === "Enter" && this.query !== "") {
      first?.click();
      event.preventDefault();
    } else if (event.key === "Escape") {
      this.clear();
      this.#onSearch();
    }
  }

  /**
   * Typing in the list continues the search.
   * @param {string} key
   */
  #onListKey(key) {
    if (key === "Escape") {
      this.clear();
      this.#onSearch();
      this.#search.focus();
      return true;
    }
    if (key === "Backspace" || (key.length === 1 && key !== " ")) {
      this.#search.focus(); // which gets the key, too
    }
    return false;
  }

  // ---- rendering

  /** @param {string | null} selected a channel's name, or what the pane shows instead */
  render(selected) {
    this.#selected = selected;
    this.#missed.clear();
    for (const { channel } of this.#store.missed.filter(({ seen }) => !seen)) {
      this.#missed.set(channel, (this.#missed.get(channel) ?? 0) + 1);
    }
    const channels = this.#byRecency(this.#store.listedChannels().map((channel) => this.#channelEntry(channel)));
    const people = this.#byRecency(this.#store.people.map((name) => this.#personEntry(name)));
    const isSearch = this.query !== "";
    const text = (/** @type {Entry} */ { title, person }) => `${title} ${person}`;
    const found = isSearch ? searched(this.#byRecency([...channels, ...people]), this.query, text) : [];
    this.#groups.hidden = isSearch;
    this.#noChannels.hidden = channels.length > 0;
    setText(this.#noChannels, this.#store.isAdmin ? "There is no channel of yours yet." : "You are not in a private channel yet.");
    this.#noPeople.hidden = people.length > 0;
    this.#newCall.disabled = people.length === 0;
    setText(this.#outcome, isSearch ? foundText(found.length, this.query) : "");
    this.#renderEntries(this.#results, found);
    this.#renderEntries(this.#channels, channels);
    this.#renderEntries(this.#people, people);
    this.#roving.refresh();
  }

  /**
   * Live ones first, then the recent ones, then by title.
   * @param {Entry[]} entries
   */
  #byRecency(entries) {
    const rank = new Map(entries.map(({ channel, isLive }) => [channel, isLive ? -1 : this.#recents.rank(channel)]));
    const rankOf = (/** @type {Entry} */ { channel }) => rank.get(channel) ?? 0;
    return entries.sort((a, b) => rankOf(a) - rankOf(b) || byTitle(a.title, b.title));
  }

  /**
   * @param {Pick<import("../client/types.js").Channel, "channel" | "members">} channel
   * @returns {Entry}
   */
  #channelEntry({ channel, members }) {
    const activity = this.#activity(channel);
    const status = activity || (members.length > 0 ? `${members.length} members` : "");
    const [title, missed] = [this.#store.title(channel), this.#missed.get(channel) ?? 0];
    return { channel, title, status, isLive: activity !== "", missed, person: "", presence: null };
  }

  /**
   * @param {string} name
   * @returns {Entry}
   */
  #personEntry(name) {
    const channel = directChannel(this.#store.me ?? "", name);
    const presence = this.#store.presenceOf(name);
    const activity = this.#activity(channel);
    const status = activity || capitalised(this.#store.presence(name)) || unavailableText(presence);
    const title = shown(name);
    const missed = this.#missed.get(channel) ?? 0;
    return { channel, title, status, isLive: activity !== "", missed, person: name, presence };
  }

  /** @param {string} channel */
  #activity(channel) {
    const call = this.#store.callIn(channel);
    if (call) {
      return call.state === "ringing" ? ringingText(call, this.#store.me) : `On a call: ${listed(acceptedNames(call))}`;
    }
    return this.#store.sharesIn(channel).length > 0 ? "Screen share in progress" : "";
  }

  /**
   * @param {HTMLElement} list
   * @param {Entry[]} entries
   */
  #renderEntries(list, entries) {
    list.hidden = entries.length === 0;
    keyedList(list, entries, ({ channel }) => channel, (entry) => this.#entryRow(entry));
  }

  /** @param {Entry} entry */
  #entryRow({ channel, person }) {
    // A click on the selected entry does not change the address, but moves the focus to the pane all the same.
    const onclick = () => {
      if (this.#selected === channel) {
        this.#onSelectAgain();
      }
    };
    const face = person ? faceWithPresence(person) : null;
    const glyph = h("span", { class: "avatar glyph", "aria-hidden": "true" }, "#");
    const heading = h("strong");
    const status = h("span", { class: "entry-sub" });
    const words = h("span", { class: "visually-hidden" });
    const dot = h("span", { class: "live-dot", hidden: true, "aria-hidden": "true" });
    const count = h("span");
    const badge = h("span", { class: "badge", hidden: true, "data-missed-in": channel }, count,
      h("span", { class: "visually-hidden" }, " missed"));
    const text = h("span", { class: "entry-text" }, heading, words, status);
    const properties = { class: "entry", title: person || null, onclick, "data-channel": channel, "data-person": person || null };
    const link = h("a", { ...properties, href: `#${encodeURIComponent(channel)}` }, face?.element ?? glyph, text, badge, dot);
    /** @param {Entry} entry */
    const render = (entry) => {
      const { presence, missed } = entry;
      const isSelected = this.#selected === channel;
      setProperties(link, { "aria-current": isSelected ? "page" : null, "data-presence": presence });
      setText(heading, entry.title);
      setText(words, presence && PRESENCE_WORDS[presence] !== entry.status ? `, ${PRESENCE_WORDS[presence]}` : "");
      setText(status, entry.status);
      status.hidden = !entry.status;
      dot.hidden = !entry.isLive;
      badge.hidden = missed === 0;
      setText(count, String(missed));
      if (presence) {
        face?.render(presence);
      }
    };
    return { element: h("li", {}, link), render };
  }
}

/**
 * @param {CallState} call
 * @param {string | null} me
 */
const ringingText = ({ initiator }, me) => (initiator === me ? "Calling…" : `${shown(initiator)} is calling`);

/**
 * @param {number} count
 * @param {string} query
 */
function foundText(count, query) {
  if (count === 0) {
    return `Nothing found for “${query}”.`;
  }
  return count === 1 ? "1 found" : `${count} found`;
}
