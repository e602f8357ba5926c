// @ts-check
// One conversation: its buttons, the call and the screen shares in progress, the members, its links and its past calls.

import { isCallable } from "../callable.js";
import { icon } from "../client/icons.js";
import { button, h, keyedList, setText } from "../dom.js";
import { listed, shown } from "../names.js";
import { callCard, shareCard } from "./cards.js";
import { HistoryList } from "./history.js";
import { GuestLinks } from "./links.js";
import { PRESENCE_WORDS, faceWithPresence, warningOf } from "./presence.js";

/** @import { Store } from "../client/store.js" */
/** @import { CardActions } from "./cards.js" */

/**
 * @typedef {object} OwnActions
 * @property {(channel: string, video: boolean) => void} call
 * @property {(channel: string) => void} share
 * @property {(channel: string) => Promise<unknown>} showLink makes a link for guests
 */

/** @typedef {OwnActions & CardActions} ChannelActions */

export class ChannelPane {
  #store;
  #channel;
  #actions;
  #voice;
  #video;
  #share;
  #link;
  #warning = h("p", { class: "note", role: "status", "data-warning": true });
  #live = h("div", { class: "cards", "data-live": true });
  #shares = h("div", { class: "cards", "data-shares": true });
  #members = h("ul", { class: "members", "aria-label": "Members" });
  #known;
  #unknown = h("div", { class: "empty", id: "unknown-channel", hidden: true }, icon("people"),
    h("p", {}, "You are not in this channel, or it does not exist any more."),
    h("a", { href: "#", class: "button" }, "Back to the list"));

  title = h("h2", { "data-title": true });
  subtitle = h("p", { class: "quiet" });

  /**
   * @param {Store} store
   * @param {string} channel
   * @param {ChannelActions} actions
   */
  constructor(store, channel, actions) {
    this.#store = store;
    this.#channel = channel;
    this.#actions = actions;
    const { call, share, showLink } = actions;
    const voice = { icon: "phone", text: "Voice call", id: "call-voice", class: "primary" };
    const video = { icon: "video", text: "Video call", id: "call-video", class: "primary" };
    const links = new GuestLinks(channel);
    const copyLink = () => showLink(channel).finally(() => links.load());
    this.#voice = button({ ...voice, onclick: () => call(channel, false) });
    this.#video = button({ ...video, onclick: () => call(channel, true) });
    this.#share = button({ icon: "screen", text: "Share screen", id: "share-screen", onclick: () => share(channel) });
    this.#link = button({ icon: "link", text: "Copy guest link", id: "copy-link", onclick: copyLink });
    this.history = new HistoryList(store, { channel, call, isBusy: actions.isBusy });
    this.#known = h(
      "div",
      {},
      h("div", { class: "row actions" }, this.#voice, this.#video, this.#share, this.#link),
      this.#warning,
      this.#live,
      this.#shares,
      this.#members,
      links.element,
      h("h3", {}, "Recent calls"),
      this.history.element,
    );
    this.element = h("div", { class: "scroll" }, this.#known, this.#unknown);
  }

  render() {
    const store = this.#store;
    const isPair = store.isPair(this.#channel);
    const members = store.members(this.#channel);
    const others = members.filter((name) => name !== store.me);
    const call = store.callIn(this.#channel);
    const isKnown = call !== undefined || isCallable(store, this.#channel) || store.incomingIn(this.#channel) !== undefined;
    this.#known.hidden = !isKnown;
    this.#unknown.hidden = isKnown;
    setText(this.title, isKnown ? store.title(this.#channel) : "Unknown channel");
    setText(this.subtitle, isKnown ? this.#subtitleText(isPair, members, others) : "");
    this.#members.hidden = isPair;
    keyedList(this.#members, isPair ? [] : others, (name) => name, (name) => this.#memberRow(name));

    const isBusy = this.#actions.isBusy();
    for (const start of [this.#voice, this.#video]) {
      start.disabled = isBusy || !store.online;
      start.hidden = Boolean(call);
    }
    setText(this.#warning, isPair && !call ? warningOf(store.presenceOf(others[0]), shown(others[0])) : "");
    this.#warning.hidden = this.#warning.textContent === "";
    const shares = store.sharesIn(this.#channel);
    this.#share.disabled = !store.online;
    this.#link.disabled = !store.online;
    this.#share.hidden = shares.some(({ sharer }) => sharer === store.me);
    keyedList(this.#live, call ? [call] : [], ({ call_id: id }) => id, (one) => callCard(store, this.#actions, one));
    keyedList(this.#shares, shares, ({ share_id: id }) => id, (one) => shareCard(store, this.#actions, one));
  }

  /**
   * @param {boolean} isPair
   * @param {string[]} members
   * @param {string[]} others
   */
  #subtitleText(isPair, members, others) {
    if (!isPair) {
      return listed(members);
    }
    return this.#store.presence(others[0]) || PRESENCE_WORDS[this.#store.presenceOf(others[0])];
  }

  /** @param {string} name */
  #memberRow(name) {
    const words = h("span", { class: "quiet" });
    const face = faceWithPresence(name, "small");
    const element = h("li", { "data-member": name }, face.element, h("span", { title: name }, shown(name)), words);
    const render = () => {
      const presence = this.#store.presenceOf(name);
      face.render(presence);
      const isPlain = presence === "online" || presence === "offline";
      words.classList.toggle("visually-hidden", isPlain && this.#store.presence(name) === "");
      setText(words, this.#store.presence(name) || PRESENCE_WORDS[presence]);
    };
    return { element, render };
  }
}
