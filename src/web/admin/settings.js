// @ts-check
// Settings: each with its value, unit, range, meaning and default.

import { post } from "../api.js";
import { button, h, outcomeLine, setText } from "../dom.js";
import { ItemList } from "./item_list.js";
import { sectionElement } from "./parts.js";
import { rangeText, settingValue } from "./texts.js";

/** @import { Section } from "./parts.js" */
/** @import { Setting } from "./types.js" */

/** @returns {Section} */
export function settingsSection() {
  /** @type {ItemList<Setting>} */
  const list = new ItemList({
    id: "admin-settings",
    label: "Settings",
    path: "/admin/settings",
    cursor: "name",
    empty: "There are no settings.",
    searched: ({ name, meaning }) => `${name} ${meaning}`,
    create: (setting) => settingRow(setting, () => list.load()),
  });
  return { element: sectionElement("Settings", [], list.element) };
}

/**
 * @param {Setting} setting
 * @param {() => Promise<void>} changed
 */
function settingRow({ name, kind, unit, lowest, highest, meaning, default: original }, changed) {
  const path = `/admin/settings/${encodeURIComponent(name)}`;
  const id = `setting-${name}`;
  const input = h("input", {
    id,
    autocomplete: "off",
    spellcheck: "false",
    type: kind === "secret" ? "password" : "text",
    inputmode: kind === "number" ? "decimal" : null,
    "aria-describedby": `${id}-meaning`,
  });
  const { element: outcome, report } = outcomeLine();
  const reset = button({
    text: "Reset",
    "aria-label": `Reset ${name}`,
    "data-reset": name,
    onclick: () => report(async () => {
      await post(`${path}/reset`);
      written = null;
      await changed();
    }, "The default is in force."),
  });
  const onsubmit = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    report(async () => {
      await post(path, { value: settingValue(kind, input.value) });
      written = null;
      await changed();
    }, "Saved.");
  };
  const now = h("span", { "data-value": name });
  const element = h(
    "li",
    { class: "setting", "data-setting": name },
    h(
      "form",
      { onsubmit },
      h("label", { for: id }, name),
      h("p", { class: "quiet", id: `${id}-meaning` }, meaning),
      h("p", { class: "quiet" }, `${rangeText({ kind, unit, lowest, highest })} · default ${original} · now `, now),
      h("div", { class: "row" }, h("div", { class: "grow" }, input),
        button({ text: "Set", type: "submit", "aria-label": `Set ${name}`, "data-set": name }), reset),
      outcome,
    ),
  );
  /** What the field shows unless an admin changes it; null after a change. @type {string | null} */
  let written = null;
  /** @param {Setting} setting */
  const render = ({ value }) => {
    setText(now, String(value));
    // The server does not tell a secret, so the field stays empty.
    const text = kind === "secret" ? "" : String(value);
    // What an admin types stays while another setting changes.
    if (written === null || input.value === written) {
      input.value = text;
    }
    written = text;
  };
  return { element, render };
}
