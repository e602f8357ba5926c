// @ts-check
// The dialog of a person's own account: signing out, notifications, their sessions, and the change of the password.

import { get, remove } from "../api.js";
import { actionForm, button, formatTime, h, keyedList, labelled, outcomeLine, showDialog } from "../dom.js";
import { shown } from "../names.js";
import { notificationsSection } from "./notifications.js";

/** @import { Notifications } from "../notifications.js" */
/** @import { Store } from "../client/store.js" */
/** @import { Session } from "../client/types.js" */

const WARNING = "All your other sessions end, on every device, and you leave the call that you are on.";

/**
 * @param {Store} store
 * @param {Notifications} notifications
 * @param {object} actions
 * @param {(passwords: { old: string, new: string }) => Promise<void>} actions.changePassword
 * @param {() => void} actions.signOut
 */
export function showAccount(store, notifications, { changePassword, signOut }) {
  const me = store.me ?? "";
  const { element: outcome, report } = outcomeLine();
  const list = h("ul", { class: "members", id: "sessions", tabindex: "-1", "aria-labelledby": "sessions-title" });

  const load = async () => {
    /** @type {Session[]} */
    const sessions = await get("/sessions");
    keyedList(list, sessions, ({ id }) => id, (session) => ({ element: sessionRow(session, end) }));
  };
  /** @param {Session} session */
  const end = ({ id }) => report(() => remove(`/sessions/${id}`).finally(load));

  const old = passwordField("old-password", "current-password");
  const next = passwordField("new-password", "new-password");
  const form = actionForm({
    id: "change-password",
    submit: "Change password",
    done: "Your password is changed.",
    body: [
      // For password managers.
      h("input", { autocomplete: "username", value: me, readonly: true, hidden: true }),
      labelled("Current password", old),
      labelled("New password", next),
      h("p", { class: "quiet" }, WARNING),
    ],
    action: async () => {
      await changePassword({ old: old.value, new: next.value });
      form.reset();
      await load();
    },
  });

  const name = shown(me);
  const push = notificationsSection(notifications, me);
  const body = [
    h("p", { class: "quiet" }, name === me ? me : `${name}, user name ${me}`),
    h("div", { class: "row" }, button({ icon: "out", text: "Sign out", id: "sign-out", onclick: signOut })),
    push.element,
    h("h3", { id: "sessions-title" }, "Sessions"),
    list,
    outcome,
    h("h3", {}, "Password"),
    form,
  ];
  const dialog = showDialog({ id: "account", title: "Your account", body });
  // Without a session there is no account to show.
  const removeListeners = [
    store.on("change", () => store.me === null && dialog.close()),
    notifications.on("change", push.render),
  ];
  dialog.addEventListener("close", () => removeListeners.forEach((removeListener) => removeListener()));
  report(load);
}

/**
 * @param {string} id
 * @param {AutoFill} autocomplete
 */
const passwordField = (id, autocomplete) => h("input", { id, type: "password", autocomplete, required: true });

/**
 * @param {Session} session
 * @param {(session: Session) => void} end
 */
function sessionRow(session, end) {
  const { id, created_ts: created, expires_ts: expires, current } = session;
  const since = `Since ${formatTime(created)}`;
  const endButton = {
    text: "End",
    class: "small",
    "data-end": id,
    "aria-label": `End the session since ${formatTime(created)}`,
    onclick: () => end(session),
  };
  return h(
    "li",
    { "data-session": id, "data-current": current },
    h("div", { class: "grow" }, since, h("p", { class: "quiet" }, `Expires ${formatTime(expires)}`)),
    current ? h("span", { class: "quiet" }, "This session") : button(endButton),
  );
}
