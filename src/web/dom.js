// Making and renewing elements. Text is only ever set as text, so nothing that anybody types becomes markup.

import { icon } from "./icons.js";

/**
 * An element: `h("button", {class: "quiet", onclick, "aria-label": "…"}, "text", child)`. Properties that are functions are
 * listeners; true and false set and remove an attribute.
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  set(element, properties);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Sets attributes and listeners, and leaves alone what is as it should be. */
export function set(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") {
      element[name] = value;
    } else if (value === null || value === undefined || value === false) {
      element.removeAttribute(name);
    } else {
      const text = value === true ? "" : String(value);
      if (element.getAttribute(name) !== text) {
        element.setAttribute(name, text);
      }
    }
  }
  return element;
}

/** Sets an element's text, if it is another: a live region says what changes, and should not say it twice. */
export function say(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
  return element;
}

/**
 * Makes the children of `parent` those of `items`, one each, in order. An element is made once for a key and then renewed, so
 * that focus, a playing video, or a finger on a button stays where it is.
 */
export function list(parent, items, { key, make, renew = () => {} }) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const wanted = items.map((item) => {
    const name = key(item);
    const element = known.get(name) ?? make(item);
    element.dataset.key = name;
    known.delete(name);
    renew(element, item);
    return element;
  });
  known.forEach((child) => child.remove());
  wanted.forEach((element, index) => {
    if (parent.children[index] !== element) {
      parent.insertBefore(element, parent.children[index] ?? null);
    }
  });
}

/** A button with an icon, and a text that is seen, or only heard if `label` is given instead. */
export function button({ icon: name, text, label, ...properties }) {
  return h(
    "button",
    { type: "button", "aria-label": label, title: label, ...properties },
    name && icon(name),
    text && h("span", {}, text),
  );
}

/** Puts another icon on a button. */
export function setIcon(element, name) {
  if (element.dataset.icon !== name) {
    element.dataset.icon = name;
    element.querySelector("svg")?.remove();
    element.prepend(icon(name));
  }
}

/** The first letter of a name, on a colour that is always the same for that name. */
export function avatar(name, extra = "") {
  const hue = [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
  return h("span", { class: `avatar hue-${Math.floor(hue / 45)} ${extra}`, "aria-hidden": "true" }, [...name][0].toUpperCase());
}

// ---- what is told to people, whether they see it or hear it

/** Tells something in passing, at the foot of the page. `urgent` interrupts a screen reader. */
export function notify(sentence, { urgent = false } = {}) {
  const region = document.getElementById(urgent ? "alerts" : "notices");
  const close = button({ icon: "close", label: "Dismiss", class: "plain", onclick: () => toast.remove() });
  const toast = h("div", { class: `toast ${urgent ? "urgent" : ""}`, "data-toast": urgent ? "alert" : "notice" }, h("p", {}, sentence), close);
  [...region.children].slice(0, -2).forEach((old) => old.remove());
  region.append(toast);
  setTimeout(() => toast.remove(), urgent ? 12_000 : 6_000);
}

/**
 * Asks in a dialog; answers the value of the button that was chosen, or null if it was dismissed. Focus returns to where it was.
 * `buttons` are `{value, text, class}`.
 */
export function ask({ id, title, body = [], buttons }) {
  return new Promise((resolve) => {
    const before = document.activeElement;
    const dialog = h(
      "dialog",
      { id, class: "dialog", "aria-labelledby": `${id}-title` },
      h("h2", { id: `${id}-title` }, title),
      ...body,
      h(
        "div",
        { class: "row end" },
        buttons.map(({ value, text, ...rest }) =>
          button({ text, "data-answer": value, onclick: () => dialog.close(value), ...rest })),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      before?.focus?.();
      resolve(dialog.returnValue || null);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

// ---- times

export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

export function day(seconds) {
  const date = new Date(seconds * 1000);
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const midnight = new Date().setHours(0, 0, 0, 0);
  if (date >= midnight) {
    return time;
  }
  if (date >= midnight - 86_400_000) {
    return `Yesterday, ${time}`;
  }
  return `${date.toLocaleDateString([], { day: "numeric", month: "short", year: "numeric" })}, ${time}`;
}
