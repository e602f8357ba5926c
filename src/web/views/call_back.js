// @ts-check
// The two buttons with which a call is called back.

import { isCallable } from "../callable.js";
import { button, h, setProperties } from "../dom.js";

/** @import { Store } from "../client/store.js" */

/**
 * @typedef {object} CallBackActions
 * @property {(channel: string, video: boolean) => void} call
 * @property {() => boolean} isBusy whether this page is on a call or enters one
 */

/**
 * @param {Store} store
 * @param {string} channel
 * @param {CallBackActions} actions
 */
export function callBack(store, channel, { call, isBusy }) {
  const voice = { icon: "phone", class: "plain", "data-action": "call-back", onclick: () => call(channel, false) };
  const video = { icon: "video", class: "plain", "data-action": "call-back-video", onclick: () => call(channel, true) };
  const buttons = [button(voice), button(video)];
  const element = h("div", { class: "call-back" }, buttons);
  const render = () => {
    const title = store.title(channel);
    element.hidden = !isCallable(store, channel);
    [`Call ${title}`, `Video call ${title}`].forEach((label, index) => {
      setProperties(buttons[index], { "aria-label": label, title: label });
      buttons[index].disabled = isBusy() || !store.online;
    });
  };
  render();
  return { element, render };
}
