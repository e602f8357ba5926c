// @ts-check
// Creating and updating elements. Text is only ever set as text, so nothing that a person types becomes markup.

import { icon } from "./icons.js";

/**
 * @typedef {Record<string, unknown>} Properties functions are event handlers; true and false set and remove an
 *   attribute
 */
/** @typedef {Node | string | null | undefined | false} Child */

/**
 * Creates an element: `h("button", { class: "quiet", onclick, "aria-label": "…" }, "text", child)`.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Properties} [properties]
 * @param {(Child | Child[])[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  setProperties(element, properties);
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) {
      element.append(child);
    }
  }
  return element;
}

/**
 * Sets what differs: attributes and event handlers.
 * @param {HTMLElement} element
 * @param {Properties} properties
 */
export function setProperties(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") {
      Object.assign(element, { [name]: value });
    } else if (value === null || value === undefined || value === false) {
      element.removeAttribute(name);
    } else {
      const text = value === true ? "" : String(value);
      if (element.getAttribute(name) !== text) {
        element.setAttribute(name, text);
      }
    }
  }
}

/**
 * Sets an element's text if it differs: a live region announces each assignment.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

/**
 * @template Item
 * @typedef {{ element: HTMLElement, render?: (item: Item) => void }} Row
 */

/** @type {WeakMap<Element, Map<string, Row<any>>>} */
const rowsOf = new WeakMap();

/**
 * Makes the children of `parent` those of `items`. A row is created once for a key and then rendered, so that the focus
 * or a playing video stays. If the row with the focus goes, the list gets the focus, where it has a tabindex.
 * @template Item
 * @param {HTMLElement} parent has no other children
 * @param {Item[]} items
 * @param {(item: Item) => string} key
 * @param {(item: Item) => Row<Item>} create
 */
export function keyedList(parent, items, key, create) {
  const before = rowsOf.get(parent) ?? new Map();
  /** @type {Map<string, Row<Item>>} */
  const rows = new Map();
  for (const item of items) {
    const name = key(item);
    const row = before.get(name) ?? create(item);
    row.element.dataset.key = name;
    row.render?.(item);
    rows.set(name, row);
  }
  rowsOf.set(parent, rows);
  for (const [name, row] of before) {
    if (!rows.has(name)) {
      const hadFocus = row.element.contains(document.activeElement);
      row.element.remove();
      if (hadFocus) {
        parent.focus();
      }
    }
  }
  [...rows.values()].forEach(({ element }, index) => {
    if (parent.children[index] !== element) {
      parent.insertBefore(element, parent.children[index] ?? null);
    }
  });
}

/**
 * A button with an icon, a text, or both. With `label` instead of `text`, the text is for screen readers and the
 * tooltip.
 * @param {{ icon?: string, text?: string, label?: string } & Properties} properties
 */
export function button({ icon: name, text, label, ...properties }) {
  return h(
    "button",
    { type: "button", "aria-label": label, title: label, ...properties },
    name && icon(name),
    text && h("span", {}, text),
  );
}

/**
 * Sets the text of a {@link button} that was made with one.
 * @param {HTMLButtonElement} element
 * @param {string} text
 */
export function setButtonText(element, text) {
  if (element.lastElementChild) {
    setText(element.lastElementChild, text);
  }
}

/**
 * @param {HTMLButtonElement} element
 * @param {string} name
 */
export function setIcon(element, name) {
  if (element.dataset.icon !== name) {
    element.dataset.icon = name;
    element.querySelector("svg")?.remove();
    element.prepend(icon(name));
  }
}

/**
 * The first letter of a name, on a colour that depends on the name.
 * @param {string} name
 * @param {string} shown what people see of it
 */
export function face(name, shown, classes = "") {
  const hue = [...name].reduce((sum, letter) => (sum * 31 + (letter.codePointAt(0) ?? 0)) % 360, 7);
  const properties = { class: `avatar hue-${Math.floor(hue / 45)} ${classes}`, "aria-hidden": "true" };
  return h("span", properties, [...shown][0].toUpperCase());
}
