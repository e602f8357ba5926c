// @ts-check
// Notifications while the page is closed: the switch in the dialog of a person's account, and why it cannot be used.

import { h, outcomeLine, setText } from "../dom.js";

/** @import { Notifications, PushState } from "../notifications.js" */

/** @type {Record<PushState, string>} */
const EXPLANATIONS = {
  on: "On in this browser. Its push service learns when a call comes, and nothing of the caller.",
  off: "Off in this browser.",
  asking: "Off in this browser. It asks for permission first.",
  denied: "Blocked: this browser does not show notifications of this page. Allow them in the site settings, which the icon beside the address opens.",
  insecure: "Not available: it needs HTTPS, with a certificate that this browser trusts.",
  unsupported: "Not available in this browser. On an iPhone or iPad, add the page to the Home Screen and open it there.",
  disabled: "Not available: an administrator has not turned it on for this server.",
  unreachable: "This browser cannot reach its push service. Try again when the device has a connection to the Internet.",
};

/** In these a click can change something. @type {PushState[]} */
const CHANGEABLE = ["on", "off", "asking", "unreachable"];

/**
 * @param {Notifications} notifications
 * @param {string} me
 */
export function notificationsSection(notifications, me) {
  const { element: outcome, report } = outcomeLine();
  const status = h("p", { class: "quiet", role: "status", id: "push-status" });
  const box = h("input", { type: "checkbox", id: "push-toggle", "aria-describedby": "push-status", disabled: true });
  let isChanging = false;
  box.addEventListener("change", async () => {
    isChanging = true;
    render();
    await report(() => (box.checked ? notifications.turnOn(me) : notifications.turnOff()));
    isChanging = false;
    render();
  });
  const render = () => {
    if (isChanging) {
      box.disabled = true;
      setText(status, "One moment…");
      return;
    }
    const state = notifications.pushState;
    box.checked = state === "on";
    box.disabled = !CHANGEABLE.includes(state);
    setText(status, EXPLANATIONS[state]);
  };
  const label = h("label", { class: "check" }, box, h("span", {}, "Notify me of calls even when the page is closed"));
  report(() => notifications.load()).then(render);
  return { element: h("section", {}, h("h3", {}, "Notifications"), label, status, outcome), render };
}
