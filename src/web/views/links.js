// @ts-check
// The valid links for guests of a channel, with a way to revoke each.

import { calls, messageOf } from "../api.js";
import { icon } from "../client/icons.js";
import { button, formatTime, h, keyedList, notify, setText } from "../dom.js";
import { shown } from "../names.js";

/** @import { GuestLink } from "../client/types.js" */

/** A list that loads itself; hidden while there are no links. */
export class GuestLinks {
  #channel;
  #list = h("ul", { class: "links", id: "guest-links", tabindex: "-1", "aria-labelledby": "guest-links-title" });

  /** @param {string} channel */
  constructor(channel) {
    this.#channel = channel;
    this.element = h("section", { hidden: true }, h("h3", { id: "guest-links-title" }, "Guest links"), this.#list);
    this.load();
  }

  async load() {
    /** @type {GuestLink[]} */
    const links = await calls.links(this.#channel).catch(() => []);
    this.element.hidden = links.length === 0;
    keyedList(this.#list, links, ({ id }) => id, (link) => this.#row(link));
  }

  /** @param {GuestLink} link */
  #row({ id, created_by: maker, expires_ts: expires }) {
    const until = formatTime(expires);
    const details = h("p", { class: "quiet" });
    const revoke = async () => {
      await calls.revokeLink(id).catch((error) => notify(messageOf(error), { urgent: true }));
      await this.load();
    };
    const revokeButton = { text: "Revoke", class: "danger-quiet small", "data-revoke": id, onclick: revoke };
    const label = `Revoke the link until ${until}`;
    const text = h("div", { class: "grow" }, h("strong", {}, `Until ${until}`), details);
    const element = h("li", { "data-link": id }, icon("link"), text, button({ ...revokeButton, "aria-label": label }));
    /** @param {GuestLink} link */
    const render = ({ uses_left: left, admit }) =>
      setText(details, [
        left === 1 ? "for 1 more guest" : `for ${left} more guests`,
        admit ? "" : "joins without waiting",
        `made by ${maker === calls.me ? "you" : shown(maker)}`,
      ].filter(Boolean).join(" · "));
    return { element, render };
  }
}
