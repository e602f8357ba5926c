// @ts-check
// The dialog with a new link for guests.

import { calls } from "../api.js";
import { button, formatTime, h, labelled, setText, showDialog } from "../dom.js";

/**
 * Makes a link to a channel, and shows and copies it.
 * @param {string} channel
 */
export async function showLink(channel) {
  const { token, expires_ts: expires } = await calls.link(channel);
  const address = new URL(`./#join/${token}`, document.baseURI).href;
  const field = h("input", { id: "guest-link", readonly: true, value: address });
  const outcome = h("p", { class: "quiet", role: "status" });
  const copy = async () => {
    field.select();
    try {
      await navigator.clipboard.writeText(address);
      setText(outcome, "Copied.");
    } catch {
      setText(outcome, "The browser does not let this page copy. Copy the address from the field."); // without HTTPS
    }
  };
  showDialog({
    id: "link-dialog",
    title: "Guest link",
    body: [
      h("p", {}, "With this link, up to ten people without an account can join a call here. They wait until somebody on ",
        `the call admits them. The link works for a day, until ${formatTime(expires)}.`),
      labelled("Link", field),
      outcome,
      button({ text: "Copy", id: "copy-guest-link", onclick: copy }),
    ],
  });
  await copy();
}
