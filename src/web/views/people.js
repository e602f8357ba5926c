// @ts-check
// The dialog of a call: its participants, with invitations, and removal by the initiator.

import { messageOf } from "../api.js";
import { stateOf } from "../client/store.js";
import { avatar, button, h, keyedList, notify, rememberFocus, setText } from "../dom.js";
import { shown } from "../names.js";
import { showLink } from "./link.js";

/** @import { Call } from "../client/call.js" */
/** @import { Store } from "../client/store.js" */
/** @import { CallState } from "../client/types.js" */

/** @type {Record<string, string>} */
const STATE_WORDS = { accepted: "on the call", pending: "ringing", rejected: "declined or no answer", left: "left" };

/** @param {Promise<unknown>} action */
const reportFailure = (action) => action.catch((error) => notify(messageOf(error), { urgent: true }));

/**
 * @param {Store} store
 * @param {Call} call
 */
export function showPeople(store, call) {
  const restoreFocus = rememberFocus();
  const present = h("ul", { class: "members", "aria-label": "On the call" });
  const absent = h("ul", { class: "members", id: "invite-list", "aria-label": "Can be invited" });
  const nobody = h("p", { class: "quiet" }, "Everybody is on the call.");
  const link = { icon: "invite", text: "Copy guest link", id: "copy-call-link" };
  const endForAll = { text: "End call for everyone", id: "end-for-all", class: "danger-quiet" };
  const dialog = h(
    "dialog",
    { id: "people-dialog", class: "dialog", "aria-labelledby": "people-title" },
    h("h2", { id: "people-title" }, "People"),
    present,
    // Guests let nobody in, and end the call for themselves alone.
    ...(store.isGuest ? [] : [h("h3", {}, "Invite"), nobody, absent]),
    h(
      "div",
      { class: "row end" },
      !store.isGuest && button({ ...link, onclick: () => reportFailure(showLink(call.channel)) }),
      !store.isGuest && button({ ...endForAll, onclick: () => call.end() }),
      button({ text: "Done", class: "primary", "data-answer": "done", onclick: () => dialog.close() }),
    ),
  );

  const render = () => {
    const { state } = call;
    if (call.over || !state) {
      dialog.close();
      return;
    }
    const isHere = (/** @type {string} */ name) => ["accepted", "pending"].includes(stateOf(state, name) ?? "");
    const here = state.participants.map(({ username }) => username).filter(isHere);
    const others = store.people.filter((name) => !isHere(name));
    nobody.hidden = others.length > 0;
    keyedList(present, here, (name) => name, (name) => presentRow(call, state, name));
    keyedList(absent, others, (name) => name, (name) => absentRow(store, call, name));
  };

  const removeListeners = [call.on("change", render), call.on("end", render)];
  dialog.addEventListener("close", () => {
    removeListeners.forEach((remove) => remove());
    dialog.remove();
    restoreFocus();
  });
  render();
  document.body.append(dialog);
  dialog.showModal();
}

/**
 * @param {string} name
 * @param {HTMLElement} words
 * @param {HTMLElement | false} action
 */
const row = (name, words, action) =>
  h("li", {}, avatar(name, "small"), h("span", { class: "grow", title: name }, shown(name)), words, action);

/**
 * @param {Call} call
 * @param {CallState} state
 * @param {string} name
 */
function presentRow(call, { initiator }, name) {
  const { me } = call;
  const words = h("span", { class: "quiet" });
  const remove = button({
    text: "Remove",
    class: "danger-quiet small",
    "data-remove": name,
    "aria-label": `Remove ${shown(name)}`,
    onclick: () => reportFailure(call.remove(name)),
  });
  return {
    element: row(name, words, initiator === me && name !== me && remove),
    render: () => setText(words, name === me ? "you" : wordFor(call, name)),
  };
}

/**
 * @param {Store} store
 * @param {Call} call
 * @param {string} name
 */
function absentRow(store, call, name) {
  const words = h("span", { class: "quiet" });
  const invite = button({
    text: "Invite",
    icon: "invite",
    class: "small",
    "data-invite": name,
    "aria-label": `Invite ${shown(name)}`,
    onclick: () => reportFailure(call.invite(name)),
  });
  return {
    element: row(name, words, invite),
    render: () => setText(words, wordFor(call, name) || store.presence(name)),
  };
}

/**
 * @param {Call} call
 * @param {string} name
 */
const wordFor = ({ state }, name) => STATE_WORDS[(state && stateOf(state, name)) ?? ""] ?? "";
