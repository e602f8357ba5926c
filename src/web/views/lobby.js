// @ts-check
// The first screen: a sidebar of channels and people, and beside it a conversation or the history.

import { icon } from "../client/icons.js";
import { acceptedNames, directChannel } from "../client/store.js";
import { avatar, button, capitalised, h, keyedList, setProperties, setText } from "../dom.js";
import { listed, shown } from "../names.js";
import { ChannelPane } from "./channel.js";
import { HistoryList } from "./history.js";
import { quietText } from "./quiet.js";

/** @import { Store } from "../client/store.js" */
/** @import { ChannelActions } from "./channel.js" */

/**
 * @typedef {object} LobbyActions
 * @property {() => void} signOut
 * @property {() => void} showAccount
 * @property {() => void} chooseDevices
 * @property {() => void} askForNotifications
 */

/** What the pane shows instead of a channel. */
const HISTORY = "history";

/**
 * @typedef {object} Entry a link of the sidebar
 * @property {string} channel
 * @property {string} title
 * @property {string} status
 * @property {boolean} isLive
 * @property {string} person the person's name; empty for a channel
 * @property {string} presence of the person
 */

export class Lobby {
  #store;
  #actions;
  /** A channel's name, `history`, or null for nothing. @type {string | null} */
  #selected = null;
  /** @type {ChannelPane | null} */
  #channelPane = null;
  /** @type {HistoryList | null} */
  #history = null;

  #channels = h("ul", { class: "entries", id: "channels", "aria-labelledby": "channels-title" });
  #people = h("ul", { class: "entries", id: "people", "aria-labelledby": "people-title-list" });
  #noChannels = h("p", { class: "quiet hint" }, "You are not in a private channel yet.");
  #missedCount = h("span", { "data-missed": true });
  #missed = h("span", { class: "badge", hidden: true }, this.#missedCount,
    h("span", { class: "visually-hidden" }, " missed"));
  #historyLink = h(
    "a",
    { href: `#${HISTORY}`, class: "entry", id: "open-history" },
    h("span", { class: "avatar glyph", "aria-hidden": "true" }, icon("history")),
    h("span", { class: "entry-text" }, h("strong", {}, "History")),
    this.#missed,
  );
  #meName = h("strong", { id: "me" });
  #meAvatar = h("span");
  #quiet = h("span", { class: "entry-sub", id: "quiet-now", hidden: true });
  #account;
  #adminLink = h("a", { href: "admin", class: "button plain", id: "open-admin", hidden: true }, "Admin");
  #bell;

  /**
   * @param {Store} store
   * @param {ChannelActions & LobbyActions} actions
   */
  constructor(store, actions) {
    this.#store = store;
    this.#actions = actions;
    const { askForNotifications, showAccount } = actions;
    const account = { type: "button", class: "plain account", id: "open-account", onclick: showAccount };
    const accountHint = h("span", { class: "visually-hidden" }, ", your account");
    const name = h("span", { class: "entry-text" }, this.#meName, this.#quiet);
    this.#account = h("button", account, this.#meAvatar, name, accountHint);
    const bell = { icon: "bell", label: "Turn on notifications", id: "notifications", class: "plain" };
    this.#bell = button({ ...bell, onclick: askForNotifications });
    this.pane = h("section", { class: "pane", id: "pane", tabindex: "-1", "aria-label": "Conversation" });
    const heading = h("h1", { class: "visually-hidden" }, "Calls");
    this.element = h("main", { class: "lobby", "data-view": "lobby" }, heading, this.#sidebar(), this.pane);
  }

  get showsHistory() {
    return this.#selected === HISTORY;
  }

  get isEmpty() {
    return this.#selected === null;
  }

  #sidebar() {
    const { chooseDevices, signOut } = this.#actions;
    const logo = h("img", { src: "web/icon.svg", alt: "", width: "28", height: "28" });
    return h(
      "nav",
      { class: "sidebar", "aria-label": "Channels and people" },
      h("div", { class: "brand" }, logo, h("span", { class: "grow", "aria-hidden": "true" }, "Calls"), this.#adminLink),
      h(
        "div",
        { class: "scroll" },
        this.#historyLink,
        h("h2", { id: "channels-title" }, "Channels"),
        this.#noChannels,
        this.#channels,
        h("h2", { id: "people-title-list" }, "People"),
        this.#people,
      ),
      h(
        "div",
        { class: "me" },
        this.#account,
        this.#bell,
        button({ icon: "devices", label: "Devices", id: "open-devices", class: "plain", onclick: chooseDevices }),
        button({ icon: "out", label: "Sign out", id: "sign-out", class: "plain", onclick: signOut }),
      ),
    );
  }

  /** @param {string | null} selected a channel's name, `history`, or null for nothing */
  select(selected) {
    this.#selected = selected;
    this.#channelPane = null;
    this.#history = null;
    this.element.classList.toggle("open", selected !== null);
    delete this.pane.dataset.channel;
    if (selected === null) {
      const hint = h("p", {}, "Choose a channel or a person to call.");
      this.pane.replaceChildren(h("div", { class: "empty" }, icon("people"), hint));
    } else if (selected === HISTORY) {
      this.#history = new HistoryList(this.#store, null);
      this.pane.replaceChildren(
        paneHeader(h("h2", {}, "History")),
        h("div", { class: "scroll" }, this.#history.element),
      );
    } else {
      this.#channelPane = new ChannelPane(this.#store, selected, this.#actions);
      this.#history = this.#channelPane.history;
      this.pane.dataset.channel = selected;
      this.pane.replaceChildren(
        paneHeader(this.#channelPane.title, this.#channelPane.subtitle),
        this.#channelPane.element,
      );
    }
    this.render();
  }

  reloadHistory() {
    this.#history?.reload();
  }

  render() {
    const { isAdmin, me, missed, people } = this.#store;
    this.#adminLink.hidden = !isAdmin;
    setText(this.#meName, me ? shown(me) : "");
    this.#meName.title = me ?? "";
    if (me && this.#meAvatar.dataset.name !== me) {
      const face = avatar(me);
      face.dataset.name = me;
      this.#meAvatar.replaceWith(face);
      this.#meAvatar = face;
    }
    const quiet = me ? quietText(this.#store.quietUntil) : "";
    this.#quiet.hidden = quiet === "";
    setText(this.#quiet, quiet);
    const canAsk = "Notification" in window && Notification.permission === "default" && isSecureContext;
    this.#bell.hidden = !canAsk;
    const unseen = missed.filter((call) => !call.seen).length;
    this.#missed.hidden = unseen === 0;
    setText(this.#missedCount, String(unseen));
    setProperties(this.#historyLink, { "aria-current": this.showsHistory ? "page" : null });
    const channels = this.#store.listedChannels();
    this.#noChannels.hidden = channels.length > 0;
    this.#renderEntries(this.#channels, channels.map((channel) => this.#channelEntry(channel)));
    this.#renderEntries(this.#people, people.map((name) => this.#personEntry(name)));
    this.#channelPane?.render();
  }

  /**
   * @param {Pick<import("../client/types.js").Channel, "channel" | "members">} channel
   * @returns {Entry}
   */
  #channelEntry({ channel, members }) {
    const activity = this.#activity(channel);
    const status = activity || (members.length > 0 ? `${members.length} members` : "");
    const title = this.#store.title(channel);
    return { channel, title, status, isLive: activity !== "", person: "", presence: "" };
  }

  /**
   * @param {string} name
   * @returns {Entry}
   */
  #personEntry(name) {
    const channel = directChannel(this.#store.me ?? "", name);
    const presence = this.#store.presence(name);
    const status = this.#activity(channel) || capitalised(presence);
    return { channel, title: shown(name), status, isLive: status !== "", person: name, presence };
  }

  /** @param {string} channel */
  #activity(channel) {
    const call = this.#store.callIn(channel);
    if (call) {
      return call.state === "ringing" ? "Ringing…" : `On a call: ${listed(acceptedNames(call))}`;
    }
    return this.#store.sharesIn(channel).length > 0 ? "Screen share in progress" : "";
  }

  /**
   * @param {HTMLElement} list
   * @param {Entry[]} entries
   */
  #renderEntries(list, entries) {
    keyedList(list, entries, ({ channel }) => channel, (entry) => this.#entryRow(entry));
  }

  /** @param {Entry} entry */
  #entryRow({ channel, person }) {
    // A click on the selected entry does not change the address, but moves the focus to the pane all the same.
    const onclick = () => {
      if (this.#selected === channel) {
        this.pane.focus();
      }
    };
    const face = person ? avatar(person) : h("span", { class: "avatar glyph", "aria-hidden": "true" }, "#");
    const heading = h("strong");
    const status = h("span", { class: "entry-sub" });
    const dot = h("span", { class: "live-dot", hidden: true, "aria-hidden": "true" });
    const text = h("span", { class: "entry-text" }, heading, status);
    const properties = { class: "entry", title: person || null, onclick, "data-channel": channel, "data-person": person || null };
    const link = h("a", { ...properties, href: `#${encodeURIComponent(channel)}` }, face, text, dot);
    /** @param {Entry} entry */
    const render = (entry) => {
      const isSelected = this.#selected === channel;
      setProperties(link, { "aria-current": isSelected ? "page" : null, "data-presence": entry.presence || null });
      setText(heading, entry.title);
      setText(status, entry.status);
      status.hidden = !entry.status;
      dot.hidden = !entry.isLive;
    };
    return { element: h("li", {}, link), render };
  }
}

/** @param {HTMLElement[]} content */
function paneHeader(...content) {
  const back = h("a", { href: "#", class: "button plain back", "aria-label": "Back to the list" }, icon("back"));
  return h("header", { class: "pane-head" }, back, h("div", { class: "pane-title" }, content));
}
