// @ts-check
// The relay's first screen: channels and people, with the calls and shares in progress. Events keep it up to date.

import { acceptedNames, directChannel, stateOf } from "../client/store.js";
import { avatar, button, h, keyedList, setButtonText, setText } from "../dom.js";
import { listed, shown } from "../names.js";

/** @import { Store } from "../client/store.js" */
/** @import { CallState, ShareState } from "../client/types.js" */

/**
 * @typedef {object} PlaceActions
 * @property {(channel: string) => void} call
 * @property {(call: CallState) => void} join
 * @property {(channel: string) => void} share
 * @property {(share: ShareState) => void} watch
 */

export class Places {
  #store;
  #actions;
  #list = h("ul", { class: "places", id: "places" });
  #removeListener;

  /**
   * @param {Store} store
   * @param {PlaceActions} actions
   */
  constructor(store, actions) {
    this.#store = store;
    this.#actions = actions;
    const hint = `Signed in as ${shown(store.me ?? "")}. Use this page where WebRTC is blocked: ` +
      "sound and video pass through the server and arrive a second or two late.";
    this.element = h("div", {}, h("p", { class: "quiet" }, hint), this.#list);
    this.#removeListener = store.on("change", () => this.#render());
    this.#render();
  }

  stop() {
    this.#removeListener();
  }

  #render() {
    const { me, channels, people } = this.#store;
    if (me !== null) {
      const names = new Set([...channels.keys(), ...people.map((name) => directChannel(me, name))]);
      keyedList(this.#list, [...names], (channel) => channel, (channel) => this.#row(channel));
    }
  }

  /** @param {string} channel */
  #row(channel) {
    const isDirect = channel.startsWith("dm:");
    const title = this.#store.title(channel);
    const glyph = h("span", { class: "avatar small glyph", "aria-hidden": "true" }, "#");
    const activity = h("p", { class: "quiet" });
    const shares = h("div", { class: "row" });
    const { call, join, share } = this.#actions;
    const shareButton = { icon: "screen", text: "Share screen", "data-action": "share" };
    const start = button({ icon: "phone", text: "Call", "data-action": "call", onclick: () => call(channel) });
    const joinButton = button({ icon: "phone", text: "Join", class: "primary", "data-action": "join" });
    const element = h(
      "li",
      { class: "card", "data-channel": channel },
      isDirect ? avatar(title, "small") : glyph,
      h("div", { class: "grow" }, h("strong", {}, title), activity),
      h("div", { class: "row" }, shares, button({ ...shareButton, onclick: () => share(channel) }), start, joinButton),
    );
    const render = () => {
      const live = this.#store.callIn(channel);
      activity.hidden = !live;
      start.hidden = Boolean(live);
      joinButton.hidden = !live;
      if (live) {
        setText(activity, activityOf(live));
        joinButton.onclick = () => join(live);
        setButtonText(joinButton, stateOf(live, this.#store.me) === "pending" ? "Answer" : "Join");
      }
      const watchable = this.#store.sharesIn(channel);
      keyedList(shares, watchable, ({ share_id: id }) => id, (one) => this.#watchButton(one));
    };
    return { element, render };
  }

  /** @param {ShareState} share */
  #watchButton(share) {
    const text = `Watch ${shown(share.sharer)}’s screen`;
    const onclick = () => this.#actions.watch(share);
    return { element: button({ icon: "eye", text, "data-action": "watch", onclick }) };
  }
}

/** @param {CallState} call */
const activityOf = (call) =>
  call.state === "ringing" ? `${shown(call.initiator)} is calling` : `On a call: ${listed(acceptedNames(call))}`;
