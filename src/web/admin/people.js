// @ts-check
// People: adding and removing them, their names, roles, passwords and sessions.

import { calls, post, remove } from "../api.js";
import {
  actionForm, button, formatTime, h, keyedList, labelled, outcomeLine, setText, showDialog,
} from "../dom.js";
import { ItemList, fetchAll } from "./item_list.js";
import { isConfirmed, rowWithAction, sectionElement } from "./parts.js";
import { counted } from "./texts.js";

/** @import { Session } from "../client/types.js" */
/** @import { Section } from "./parts.js" */
/** @import { Person } from "./types.js" */

/** @param {string} name */
const pathOf = (name) => `/admin/people/${encodeURIComponent(name)}`;

/** @returns {Section} */
export function peopleSection() {
  const changed = async () => {
    await list.load();
    calls.names.set(Object.fromEntries(list.items.map((person) => [person.username, person.display_name])));
  };
  /** @type {ItemList<Person>} */
  const list = new ItemList({
    id: "admin-people",
    label: "People",
    path: "/admin/people",
    cursor: "username",
    empty: "There are no people.",
    searched: ({ username, display_name: name }) => `${username} ${name}`,
    create: (person) => personRow(person, () => showPerson(list.find(person.username) ?? person, changed)),
  });
  const add = button({ text: "Add person", id: "add-person", class: "primary", onclick: () => addPerson(changed) });
  return { element: sectionElement("People", [add], list.element) };
}

/**
 * @param {Person} person
 * @param {() => void} edit
 */
function personRow({ username }, edit) {
  const name = h("strong");
  const details = h("p", { class: "quiet" });
  const action = { text: "Edit", label: `Edit ${username}`, "data-edit": username, onclick: edit };
  /** @param {Person} person */
  const render = ({ display_name: displayName, role, sessions }) => {
    setText(name, displayName);
    setText(details, `${username} · ${role} · ${counted(sessions, "session")}`);
  };
  return { element: rowWithAction([name, details], action), render };
}

/**
 * @param {string} id
 * @param {string} chosen
 */
const roleSelect = (id, chosen) =>
  h("select", { id }, ["member", "admin"].map((role) =>
    h("option", { value: role, selected: role === chosen }, role)));

/**
 * @param {string} id
 * @param {import("../client/dom.js").Properties} [properties]
 */
const nameField = (id, properties) =>
  h("input", { id, autocomplete: "off", autocapitalize: "none", spellcheck: "false", ...properties });

/** @param {string} id */
const passwordField = (id) => h("input", { id, type: "password", autocomplete: "new-password", required: true });

/** @param {() => Promise<void>} changed */
function addPerson(changed) {
  const username = nameField("new-username", { required: true });
  const displayName = nameField("new-display-name");
  const password = passwordField("new-person-password");
  const role = roleSelect("new-role", "member");
  const form = actionForm({
    id: "new-person",
    submit: "Add person",
    body: [
      labelled("User name", username),
      labelled("Display name (optional)", displayName),
      labelled("Password", password),
      labelled("Role", role),
    ],
    action: async () => {
      const shown = displayName.value.trim();
      const body = { username: username.value, password: password.value, role: role.value };
      await post("/admin/people", shown === "" ? body : { ...body, display_name: shown });
      dialog.close();
      await changed();
    },
  });
  const dialog = showDialog({ id: "add-person-dialog", title: "Add person", close: "Cancel", body: [form] });
}

/**
 * @param {Person} person
 * @param {() => Promise<void>} changed
 */
function showPerson({ username, display_name: shown, role: oldRole }, changed) {
  const path = pathOf(username);
  const displayName = nameField("display-name", { value: shown, required: true });
  const role = roleSelect("role", oldRole);
  const password = passwordField("person-password");
  const { element: outcome, report } = outcomeLine();
  const { element: sessions, load: loadSessions } = sessionList(username, changed);

  const rename = actionForm({
    id: "rename-person",
    submit: "Save display name",
    done: "Display name saved.",
    body: [labelled("Display name", displayName)],
    action: () => post(`${path}/display_name`, { display_name: displayName.value }).then(changed),
  });
  const setRole = actionForm({
    id: "person-role",
    submit: "Save role",
    done: "Role saved.",
    body: [labelled("Role", role)],
    action: () => post(`${path}/role`, { role: role.value }).then(changed),
  });
  const setPassword = actionForm({
    id: "set-password",
    submit: "Set password",
    done: "Password set.",
    body: [labelled("New password", password), h("p", { class: "quiet" }, "All sessions of this person end.")],
    action: async () => {
      await post(`${path}/password`, { password: password.value });
      password.value = "";
      await Promise.all([loadSessions(), changed()]);
    },
  });
  const removePerson = async () => {
    const text = "This person leaves all calls, shares and channels. A person added under this name is another one.";
    if (await isConfirmed(`Remove ${username}?`, text, "Remove")) {
      await report(async () => {
        await remove(path);
        dialog.close();
        await changed();
      });
    }
  };
  const removeButton = { text: "Remove person", id: "remove-person", class: "danger-quiet", onclick: removePerson };
  const body = [
    rename, setRole, setPassword, h("h3", {}, "Sessions"), sessions,
    h("h3", {}, "Removal"), button(removeButton), outcome,
  ];
  const dialog = showDialog({ id: "person", title: username, body });
}

/**
 * @param {string} username
 * @param {() => Promise<void>} changed
 */
function sessionList(username, changed) {
  const list = h("ul", { class: "members", id: "person-sessions", tabindex: "-1", "aria-label": `Sessions of ${username}` });
  const nothing = h("p", { class: "quiet", hidden: true }, "No sessions.");
  const { element: outcome, report } = outcomeLine();
  const load = async () => {
    /** @type {Session[]} */
    const sessions = await fetchAll("/admin/sessions", "id", { username });
    sessions.sort((a, b) => a.created_ts - b.created_ts);
    nothing.hidden = sessions.length > 0;
    keyedList(list, sessions, ({ id }) => id, (session) => ({ element: row(session) }));
  };
  /** @param {string} id */
  const end = (id) => report(async () => {
    await remove(`/admin/sessions/${id}`).finally(load);
    await changed();
  });
  /** @param {Session} session */
  const row = ({ id, created_ts: created, expires_ts: expires }) => {
    const since = `Since ${formatTime(created)}`;
    const action = { text: "End", label: `End the session since ${formatTime(created)}`, "data-end": id };
    const text = [h("span", {}, since), h("p", { class: "quiet" }, `Expires ${formatTime(expires)}`)];
    return rowWithAction(text, { ...action, onclick: () => end(id) });
  };
  report(load);
  return { element: h("div", {}, list, nothing, outcome), load };
}
