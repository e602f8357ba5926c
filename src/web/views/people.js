// @ts-check
// The dialog of a call: its participants, with invitations, and removal by the initiator.

import { messageOf } from "../api.js";
import { stateOf } from "../client/store.js";
import { button, h, keyedList, notify, setText } from "../dom.js";
import { shown } from "../names.js";
import { Roving } from "../roving.js";
import { byTitle, searched } from "../search.js";
import { showLink } from "./link.js";
import { PRESENCE_WORDS, faceWithPresence } from "./presence.js";
import { showTallDialog } from "./tall_dialog.js";

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
  const present = h("ul", { class: "people-list", tabindex: "-1", "aria-label": "On the call" });
  const absent = h("ul", { class: "people-list", id: "invite-list", tabindex: "-1", "aria-labelledby": "invite-title" });
  const nobody = h("p", { class: "quiet", role: "status", id: "invite-outcome" });
  const filter = h("input", {
    type: "search",
    id: "invite-filter",
    placeholder: "Search people to invite",
    "aria-label": "Search people to invite",
    "aria-controls": "invite-list",
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: "false",
  });
  // Guests let nobody in, and end the call for themselves alone.
  const isMember = !store.isGuest;
  const roving = new Roving(absent, "[data-invite]");
  const copyLink = () => reportFailure(showLink(call.channel));
  const link = button({ icon: "link", text: "Copy guest link", id: "copy-call-link", onclick: copyLink });
  const endForAll = { text: "End call for everyone", id: "end-for-all", class: "danger-quiet" };
  const invitation = [h("h3", { id: "invite-title" }, "Invite"), nobody, absent];
  const dialog = showTallDialog(
    "people-dialog",
    "People",
    [isMember && filter, h("div", { class: "tall-list" }, present, isMember && invitation)],
    [isMember && link, isMember && button({ ...endForAll, onclick: () => call.end() })],
    "Close",
  );

  const render = () => {
    const { state } = call;
    if (call.over || !state) {
      dialog.close();
      return;
    }
    const query = filter.value.trim();
    const isHere = (/** @type {string} */ name) => ["accepted", "pending"].includes(stateOf(state, name) ?? "");
    const here = state.participants.map(({ username }) => username).filter(isHere);
    const others = membersFirst(store, call.channel, store.people.filter((name) => !isHere(name)));
    const found = query === "" ? others : searched(others, query, (name) => `${shown(name)} ${name}`);
    present.hidden = query !== "";
    setText(nobody, found.length > 0 ? "" : query === "" ? "Nobody else can be invited." : "Nobody found.");
    keyedList(present, here, (name) => name, (name) => presentRow(store, call, state, name));
    keyedList(absent, found, (name) => name, (name) => absentRow(store, call, name));
    roving.refresh();
  };

  filter.addEventListener("input", render);
  filter.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") {
      roving.first?.focus();
      event.preventDefault();
    } else if (event.key === "Enter" && filter.value.trim() !== "") {
      roving.first?.click();
    }
  });
  const removeListeners = [call.on("change", render), call.on("end", render), store.on("change", render)];
  dialog.addEventListener("close", () => removeListeners.forEach((remove) => remove()));
  render();
}

/**
 * @param {Store} store
 * @param {string} channel
 * @param {string[]} names
 */
function membersFirst(store, channel, names) {
  const members = new Set(store.members(channel));
  const rank = (/** @type {string} */ name) => (members.has(name) ? 0 : 1);
  return names.sort((a, b) => rank(a) - rank(b) || byTitle(shown(a), shown(b)));
}

/**
 * @param {Store} store
 * @param {string} name
 * @param {HTMLButtonElement | false} action
 * @param {() => string} words
 */
function personRow(store, name, action, words) {
  const face = faceWithPresence(name, "small");
  const sub = h("span", { class: "entry-sub" });
  const text = h("span", { class: "entry-text", title: name }, h("span", {}, shown(name)), sub);
  const render = () => {
    face.render(store.presenceOf(name));
    setText(sub, words());
    sub.hidden = sub.textContent === "";
  };
  return { element: h("li", {}, face.element, text, action), render };
}

/**
 * @param {Store} store
 * @param {Call} call
 * @param {CallState} state
 * @param {string} name
 */
function presentRow(store, call, { initiator }, name) {
  const { me } = call;
  const remove = {
    text: "Remove",
    class: "danger-quiet small",
    "data-remove": name,
    "aria-label": `Remove ${shown(name)}`,
    onclick: () => reportFailure(call.remove(name)),
  };
  const words = () => (name === me ? "you" : wordFor(call, name));
  return personRow(store, name, initiator === me && name !== me && button(remove), words);
}

/**
 * @param {Store} store
 * @param {Call} call
 * @param {string} name
 */
function absentRow(store, call, name) {
  const invite = {
    text: "Invite",
    icon: "invite",
    class: "small",
    "data-invite": name,
    "aria-label": `Invite ${shown(name)}`,
    onclick: () => reportFailure(call.invite(name)),
  };
  const words = () => wordFor(call, name) || store.presence(name) || PRESENCE_WORDS[store.presenceOf(name)];
  return personRow(store, name, button(invite), words);
}

/**
 * @param {Call} call
 * @param {string} name
 */
const wordFor = ({ state }, name) => STATE_WORDS[(state && stateOf(state, name)) ?? ""] ?? "";
