// @ts-check
// The first screen: a sidebar with the search, channels and people, and beside it what was chosen. At first that is the
// start: what one may have come for. On a narrow screen the start stands in the sidebar.

import { icon } from "../client/icons.js";
import { avatar, button, h, setProperties, setText } from "../dom.js";
import { shown } from "../names.js";
import { ChannelPane } from "./channel.js";
import { Directory } from "./directory.js";
import { HistoryPane } from "./history.js";
import { quietLine } from "./quiet.js";
import { Start } from "./start.js";

/** @import { Store } from "../client/store.js" */
/** @import { RecentCalls } from "../recent_calls.js" */
/** @import { ChannelActions } from "./channel.js" */
/** @import { StartActions } from "./start.js" */

/**
 * @typedef {object} LobbyActions
 * @property {() => void} showAccount
 * @property {() => void} showQuiet
 * @property {() => void} chooseDevices
 * @property {() => void} askForNotifications
 */

/** What the pane shows instead of a channel. */
const HISTORY = "history";

/** As in lobby.css. */
const NARROW = "(max-width: 46rem)";

export class Lobby {
  #store;
  #recents;
  #actions;
  /** A channel's name, `history`, or null for the start. @type {string | null} */
  #selected = null;
  /** @type {ChannelPane | null} */
  #channelPane = null;
  /** @type {HistoryPane | null} */
  #historyPane = null;
  /** The last one, until the page is closed. */
  #historyFilter = { person: "", outcome: "" };
  #start;
  #directory;
  #narrow = matchMedia(NARROW);

  #startPlace = h("div");
  #home = h("a", { href: "#", class: "home grow", id: "open-start" },
    h("img", { src: "web/icon.svg", alt: "", width: "28", height: "28" }), "Calls");
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
  #quiet;
  #openQuiet;
  #account;
  #adminLink = h("a", { href: "admin", class: "button plain", id: "open-admin", hidden: true }, "Admin");
  #bell;

  /**
   * @param {Store} store
   * @param {RecentCalls} recents
   * @param {ChannelActions & StartActions & LobbyActions} actions
   */
  constructor(store, recents, actions) {
    this.#store = store;
    this.#recents = recents;
    this.#actions = actions;
    const { askForNotifications, newCall, showAccount } = actions;
    this.#start = new Start(store, recents, actions);
    const [onSearch, onSelectAgain] = [() => this.render(), () => this.#selectAgain()];
    this.#directory = new Directory(store, recents, { newCall, onSearch, onSelectAgain });
    const openQuiet = { icon: "quiet", label: "Do not disturb", id: "open-quiet", class: "plain", onclick: actions.showQuiet };
    this.#openQuiet = button(openQuiet);
    this.#quiet = quietLine(store, this.#openQuiet);
    const account = { type: "button", class: "plain account", id: "open-account", onclick: showAccount };
    const accountHint = h("span", { class: "visually-hidden" }, ", your account");
    this.#account = h("button", account, this.#meAvatar, h("span", { class: "entry-text" }, this.#meName), accountHint);
    const bell = { icon: "bell", label: "Turn on notifications", id: "notifications", class: "plain" };
    this.#bell = button({ ...bell, onclick: askForNotifications });
    this.pane = h("section", { class: "pane", id: "pane", tabindex: "-1", "aria-label": "Conversation" });
    const heading = h("h1", { class: "visually-hidden" }, "Calls");
    this.element = h("main", { class: "lobby", "data-view": "lobby" }, heading, this.#sidebar(), this.pane);
    this.#narrow.addEventListener("change", () => this.#placeStart());
  }

  get showsHistory() {
    return this.#selected === HISTORY;
  }

  /** What the pane shows: a channel, or null. */
  get channel() {
    return this.showsHistory ? null : this.#selected;
  }

  #sidebar() {
    const { chooseDevices } = this.#actions;
    return h(
      "nav",
      { class: "sidebar", "aria-label": "Channels and people" },
      h("div", { class: "brand" }, this.#home, this.#adminLink),
      this.#directory.searchElement,
      h("div", { class: "scroll" }, this.#startPlace, this.#historyLink, this.#directory.element),
      this.#quiet.element,
      h(
        "div",
        { class: "me" },
        this.#account,
        this.#bell,
        this.#openQuiet,
        button({ icon: "devices", label: "Devices", id: "open-devices", class: "plain", onclick: chooseDevices }),
      ),
    );
  }

  /** @param {string | null} selected a channel's name, `history`, or null for the start */
  select(selected) {
    this.#selected = selected;
    this.#channelPane = null;
    this.#historyPane = null;
    this.#directory.clear();
    this.element.classList.toggle("open", selected !== null);
    delete this.pane.dataset.channel;
    if (selected === HISTORY) {
      this.#historyPane = new HistoryPane(this.#store, this.#actions, this.#historyFilter);
      this.pane.replaceChildren(paneHeader(h("h2", {}, "History")), this.#historyPane.element);
    } else if (selected !== null) {
      this.#channelPane = new ChannelPane(this.#store, selected, this.#actions);
      this.pane.dataset.channel = selected;
      const { element, subtitle, title } = this.#channelPane;
      this.pane.replaceChildren(paneHeader(title, subtitle), element);
    }
    this.#placeStart();
    this.render();
  }

  /** A screen reader reads in the order of the elements, so the start moves where it is seen. */
  #placeStart() {
    if (this.#narrow.matches) {
      this.#startPlace.replaceChildren(this.#start.element);
    } else if (this.#selected === null) {
      this.pane.replaceChildren(h("div", { class: "scroll" }, this.#start.element));
    } else {
      this.#start.element.remove();
    }
  }

  #selectAgain() {
    this.#directory.clear();
    this.render();
    this.pane.focus();
  }

  /** What gets the focus when something was selected. */
  get focusTarget() {
    return this.#selected === null ? this.#start.element : this.pane;
  }

  /** Gives the focus to the search, which on a narrow screen is not beside a conversation. */
  focusSearch() {
    if (this.#narrow.matches && this.#selected !== null) {
      addEventListener("hashchange", () => this.#directory.focusSearch(), { once: true });
      location.hash = "";
    } else {
      this.#directory.focusSearch();
    }
  }

  reloadHistory() {
    (this.#historyPane ?? this.#channelPane?.history)?.reload();
    this.#recents.load();
  }

  render() {
    const { isAdmin, me, missed } = this.#store;
    this.#adminLink.hidden = !isAdmin;
    setText(this.#meName, me ? shown(me) : "");
    this.#meName.title = me ?? "";
    if (me && this.#meAvatar.dataset.name !== me) {
      const face = avatar(me);
      face.dataset.name = me;
      this.#meAvatar.replaceWith(face);
      this.#meAvatar = face;
    }
    this.#quiet.render();
    const canAsk = "Notification" in window && Notification.permission === "default" && isSecureContext;
    this.#bell.hidden = !canAsk;
    const unseen = missed.filter((call) => !call.seen).length;
    this.#missed.hidden = unseen === 0;
    setText(this.#missedCount, String(unseen));
    setProperties(this.#historyLink, { "aria-current": this.showsHistory ? "page" : null });
    setProperties(this.#home, { "aria-current": this.#selected === null ? "page" : null });
    this.#directory.render(this.#selected);
    const isSearch = this.#directory.query !== "";
    this.#startPlace.hidden = isSearch;
    this.#historyLink.hidden = isSearch;
    this.#start.render();
    this.#channelPane?.render();
    this.#historyPane?.render();
  }
}

/** @param {HTMLElement[]} content */
function paneHeader(...content) {
  const back = h("a", { href: "#", class: "button plain back", "aria-label": "Back to the list" }, icon("back"));
  return h("header", { class: "pane-head" }, back, h("div", { class: "pane-title" }, content));
}
