// @ts-check
// What goes on now: cards of calls, with the ways to join, and of screens that are shared outside a call.

import { icon } from "../client/icons.js";
import { acceptedNames, pendingNames, stateOf } from "../client/store.js";
import { button, formatDuration, h, setButtonText, setProperties, setText } from "../dom.js";
import { listed, shown } from "../names.js";

/** @import { Store } from "../client/store.js" */
/** @import { CallState, ShareState } from "../client/types.js" */

/**
 * @typedef {object} CardActions
 * @property {(id: string, video: boolean) => void} join
 * @property {(id: string) => void} leaveElsewhere
 * @property {() => void} returnToCall shows the call that this page is on
 * @property {(id: string) => void} watch
 * @property {(id: string) => void} stopShare
 * @property {() => boolean} isBusy whether this page is on a call or enters one
 * @property {(id: string) => boolean} isHere whether this page is on that call
 * @property {(id: string) => number | null} viewerCount of a share of this page
 */

const ELSEWHERE = "You are on this call on another device or in another window.";

/**
 * @param {Store} store
 * @param {CardActions} actions
 * @param {CallState} call
 * @param {{ withChannel?: boolean }} [options] whether the card names its channel
 */
export function callCard(store, actions, { call_id: id, channel }, { withChannel = false } = {}) {
  const heading = withChannel ? channelLink(channel) : h("strong");
  const details = h("p", { class: "quiet" });
  const voice = { text: "Join", icon: "phone", class: "primary", "data-action": "join" };
  const video = { text: "Join with video", icon: "video", "data-action": "join-video" };
  const joinVoice = button({ ...voice, onclick: () => actions.join(id, false) });
  const joinVideo = button({ ...video, onclick: () => actions.join(id, true) });
  const leaveButton = { text: "Leave", class: "danger", "data-action": "leave" };
  const leave = button({ ...leaveButton, onclick: () => actions.leaveElsewhere(id) });
  const back = { text: "Return to the call", icon: "expand", class: "primary", "data-action": "return" };
  const returning = button({ ...back, onclick: () => actions.returnToCall() });
  const element = h(
    "section",
    { class: "card live", "data-call": id, "aria-label": "Call in progress" },
    icon("phone"),
    h("div", { class: "grow" }, heading, details),
    h("div", { class: "row" }, joinVoice, joinVideo, returning, leave),
  );
  /** @param {CallState} call */
  const render = (call) => {
    const isHere = actions.isHere(id);
    const mine = stateOf(call, store.me);
    const isElsewhere = mine === "accepted" && !isHere;
    const state = callHeading(call, isHere, store.me);
    const more = isElsewhere ? ELSEWHERE : callDetails(call);
    setText(heading, withChannel ? store.title(channel) : state);
    setText(details, [withChannel ? state : "", more].filter(Boolean).join(" · "));
    for (const one of [joinVoice, joinVideo]) {
      one.hidden = isHere;
      one.disabled = actions.isBusy();
    }
    returning.hidden = !isHere;
    leave.hidden = !isElsewhere;
    setButtonText(joinVoice, joinText(mine, isElsewhere));
    if (withChannel) {
      setProperties(joinVoice, { "aria-label": `${joinText(mine, isElsewhere)}, ${store.title(channel)}` });
      setProperties(joinVideo, { "aria-label": `Join with video, ${store.title(channel)}` });
    }
  };
  return { element, render };
}

/** @param {string} channel */
export const channelLink = (channel) => h("a", { href: `#${encodeURIComponent(channel)}` });

/**
 * @param {Store} store
 * @param {CardActions} actions
 * @param {ShareState} share
 */
export function shareCard(store, { stopShare, viewerCount, watch }, { share_id: id, sharer }) {
  const isMine = sharer === store.me;
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
  return { element, render: () => setText(viewers, viewersText(viewerCount(id))) };
}

/**
 * @param {CallState} call
 * @param {boolean} isHere
 * @param {string | null} me
 */
function callHeading(call, isHere, me) {
  if (call.state === "ringing") {
    return call.initiator === me ? "You are calling" : `${shown(call.initiator)} is calling`;
  }
  return isHere ? "You are on this call" : "Call in progress";
}

/** @param {CallState} call */
function callDetails(call) {
  if (call.state === "ringing") {
    const names = listed(pendingNames(call));
    return names === "" ? "" : `Ringing ${names}`;
  }
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
  if (count === 0) {
    return "No viewers yet";
  }
  return count === 1 ? "1 viewer" : `${count} viewers`;
}
