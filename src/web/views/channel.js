// @ts-check
// One conversation: its buttons, the call and the screen shares in progress, the members, and its past calls.

import { icon } from "../client/icons.js";
import { acceptedNames, stateOf } from "../client/store.js";
import { avatar, button, formatDuration, h, keyedList, setButtonText, setText } from "../dom.js";
import { listed, shown } from "../names.js";
import { HistoryList } from "./history.js";

/** @import { Store } from "../client/store.js" */
/** @import { CallState, ShareState } from "../client/types.js" */

/**
 * @typedef {object} ChannelActions
 * @property {(channel: string, video: boolean) => void} call
 * @property {(id: string, video: boolean) => void} join
 * @property {(id: string) => void} leaveElsewhere
 * @property {(channel: string) => void} share
 * @property {(channel: string) => void} showLink makes a link for guests
 * @property {(id: string) => void} watch
 * @property {(id: string) => void} stopShare
 * @property {() => boolean} isBusy whether this page is on a call or enters one
 * @property {(id: string) => boolean} isHere whether this page is on that call
 * @property {(id: string) => number | null} viewerCount of a share of this page
 */

const ELSEWHERE = "You are on this call on another device or in another window.";

export class ChannelPane {
  #store;
  #channel;
  #actions;
  #voice;
  #video;
  #share;
  #link;
  #live = h("div", { class: "cards", "data-live": true });
  #shares = h("div", { class: "cards", "data-shares": true });
  #members = h("ul", { class: "members", "aria-label": "Members" });

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
    this.#voice = button({ ...voice, onclick: () => call(channel, false) });
    this.#video = button({ ...video, onclick: () => call(channel, true) });
    this.#share = button({ icon: "screen", text: "Share screen", id: "share-screen", onclick: () => share(channel) });
    this.#link = button({ icon: "invite", text: "Copy guest link", id: "copy-link", onclick: () => showLink(channel) });
    this.history = new HistoryList(store, channel);
    this.element = h(
      "div",
      { class: "scroll" },
      h("div", { class: "row actions" }, this.#voice, this.#video, this.#share, this.#link),
      this.#live,
      this.#shares,
      this.#members,
      h("h3", {}, "Call history"),
      this.history.element,
    );
  }

  render() {
    const store = this.#store;
    const isPair = store.isPair(this.#channel);
    const members = store.members(this.#channel);
    const others = members.filter((name) => name !== store.me);
    setText(this.title, store.title(this.#channel));
    setText(this.subtitle, isPair ? store.presence(others[0]) : listed(members));
    this.#members.hidden = isPair;
    keyedList(this.#members, isPair ? [] : others, (name) => name, (name) => this.#memberRow(name));

    const call = store.callIn(this.#channel);
    const isBusy = this.#actions.isBusy();
    for (const start of [this.#voice, this.#video]) {
      start.disabled = isBusy || !store.online;
      start.hidden = Boolean(call);
    }
    const shares = store.sharesIn(this.#channel);
    this.#share.disabled = !store.online;
    this.#link.disabled = !store.online;
    this.#share.hidden = shares.some(({ sharer }) => sharer === store.me);
    keyedList(this.#live, call ? [call] : [], ({ call_id: id }) => id, (one) => this.#callCard(one));
    keyedList(this.#shares, shares, ({ share_id: id }) => id, (one) => this.#shareCard(one));
  }

  /** @param {string} name */
  #memberRow(name) {
    const presence = h("span", { class: "quiet" });
    const element = h("li", { "data-member": name }, avatar(name, "small"), h("span", { title: name }, shown(name)), presence);
    return { element, render: () => setText(presence, this.#store.presence(name)) };
  }

  /** @param {CallState} call */
  #callCard({ call_id: id }) {
    const { join, leaveElsewhere } = this.#actions;
    const heading = h("strong");
    const details = h("p", { class: "quiet" });
    const voice = { text: "Join", icon: "phone", class: "primary", "data-action": "join" };
    const video = { text: "Join with video", icon: "video", "data-action": "join-video" };
    const joinVoice = button({ ...voice, onclick: () => join(id, false) });
    const joinVideo = button({ ...video, onclick: () => join(id, true) });
    const leaveButton = { text: "Leave", class: "danger", "data-action": "leave" };
    const leave = button({ ...leaveButton, onclick: () => leaveElsewhere(id) });
    const element = h(
      "section",
      { class: "card live", "data-call": id, "aria-label": "Call in progress" },
      icon("phone"),
      h("div", { class: "grow" }, heading, details),
      h("div", { class: "row" }, joinVoice, joinVideo, leave),
    );
    /** @param {CallState} call */
    const render = (call) => {
      const isHere = this.#actions.isHere(id);
      const mine = stateOf(call, this.#store.me);
      const isElsewhere = mine === "accepted" && !isHere;
      setText(heading, callHeading(call, isHere));
      setText(details, isElsewhere ? ELSEWHERE : callDetails(call));
      for (const one of [joinVoice, joinVideo]) {
        one.hidden = isHere;
        one.disabled = this.#actions.isBusy();
      }
      leave.hidden = !isElsewhere;
      setButtonText(joinVoice, joinText(mine, isElsewhere));
    };
    return { element, render };
  }

  /** @param {ShareState} share */
  #shareCard({ share_id: id, sharer }) {
    const { stopShare, watch } = this.#actions;
    const isMine = sharer === this.#store.me;
    const stop = { text: "Stop sharing", icon: "screenOff", class: "danger", "data-action": "stop-share" };
    const view = { text: "Watch", icon: "eye", class: "primary", "data-action": "watch" };
    const heading = isMine ? "You are sharing your screen" : `${shown(sharer)} is sharing their screen`;
    const viewers = h("p", { class: "quiet", "data-viewers": isMine });
    const element = h(
      "section",
      { class: "card live", "data-share": id, "aria-label": "Screen share" },
      icon("screen"),
      h("div", { class: "grow" }, h("strong", {}, heading), viewers),
      isMine ? button({ ...stop, onclick: () => stopShare(id) }) : button({ ...view, onclick: () => watch(id) }),
    );
    return { element, render: () => setText(viewers, viewersText(this.#actions.viewerCount(id))) };
  }
}

/**
 * @param {CallState} call
 * @param {boolean} isHere
 */
function callHeading(call, isHere) {
  if (call.state === "ringing") {
    return `${shown(call.initiator)} is calling`;
  }
  return isHere ? "You are on this call" : "Call in progress";
}

/** @param {CallState} call */
function callDetails(call) {
  const names = listed(acceptedNames(call));
  return call.answered_ts ? `${names} · ${formatDuration(Date.now() / 1000 - call.answered_ts)}` : names;
}

/**
 * @param {string | undefined} mine my state in the call
 * @param {boolean} isElsewhere
 */
function joinText(mine, isElsewhere) {
  if (isElsewhere) {
    return "Switch here";
  }
  return mine === "pending" ? "Answer" : "Join";
}

/** @param {number | null} count null if another device shares, and knows */
function viewersText(count) {
  if (count === null) {
    return "";
  }
  return count === 1 ? "1 viewer" : `${count} viewers`;
}
