// @ts-check
// A field to choose people in: type to filter, arrow keys to move, Enter to choose. The chosen ones stand above the list.

import { button, h, keyedList, setProperties, setText } from "../dom.js";
import { icon } from "../client/icons.js";
import { shown } from "../names.js";
import { byTitle, searched } from "../search.js";
import { PRESENCE_WORDS, faceWithPresence } from "./presence.js";

/** @import { Store } from "../client/store.js" */

export class PeoplePicker {
  #store;
  #onChange;
  /** @type {Set<string>} */
  #chosen = new Set();
  /** The person that Enter chooses. @type {string | null} */
  #active = null;
  #list = h("ul", { class: "options", id: "picker-list", role: "listbox", "aria-multiselectable": "true", "aria-label": "People" });
  #field = h("input", {
    id: "picker",
    role: "combobox",
    autocomplete: "off",
    autocapitalize: "none",
    spellcheck: "false",
    placeholder: "Type a name",
    "aria-label": "Choose people",
    "aria-autocomplete": "list",
    "aria-expanded": "true",
    "aria-controls": "picker-list",
  });
  #chips = h("ul", { class: "chips", "aria-label": "Chosen", tabindex: "-1" });
  #outcome = h("p", { class: "quiet", role: "status" });

  /**
   * @param {Store} store
   * @param {() => void} onChange
   */
  constructor(store, onChange) {
    this.#store = store;
    this.#onChange = onChange;
    this.element = h("div", { class: "picker" }, this.#chips, this.#field, this.#outcome, this.#list);
    this.#field.addEventListener("input", () => {
      this.#active = null;
      this.render();
    });
    this.#field.addEventListener("keydown", (event) => this.#onKey(event));
    this.render();
  }

  get chosen() {
    return [...this.#chosen];
  }

  focus() {
    this.#field.focus();
  }

  get #found() {
    const names = [...this.#store.people].sort((a, b) => byTitle(shown(a), shown(b)));
    return searched(names, this.#field.value, (name) => `${shown(name)} ${name}`);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const { key } = event;
    if (key === "ArrowDown" || key === "ArrowUp") {
      this.#move(key === "ArrowDown" ? 1 : -1);
    } else if (key === "Enter") {
      const name = this.#active ?? (this.#field.value.trim() === "" ? null : this.#found[0]);
      if (name) {
        this.#toggle(name);
      }
    } else if (key === "Backspace" && this.#field.value === "" && this.#chosen.size > 0) {
      this.#toggle(this.chosen[this.#chosen.size - 1]);
    } else {
      return;
    }
    event.preventDefault();
  }

  /** @param {number} step */
  #move(step) {
    const found = this.#found;
    const at = this.#active === null ? (step > 0 ? -1 : found.length) : found.indexOf(this.#active);
    this.#active = found[Math.min(Math.max(at + step, 0), found.length - 1)] ?? null;
    this.render();
    this.#list.querySelector(".active")?.scrollIntoView({ block: "nearest" });
  }

  /** @param {string} name */
  #toggle(name) {
    if (!this.#chosen.delete(name)) {
      this.#chosen.add(name);
      this.#field.value = "";
      this.#active = null;
    }
    this.render();
    this.#onChange();
  }

  render() {
    const found = this.#found;
    keyedList(this.#chips, this.chosen, (name) => name, (name) => ({ element: this.#chip(name) }));
    keyedList(this.#list, found, (name) => name, (name) => this.#option(name));
    const active = this.#active && found.includes(this.#active) ? found.indexOf(this.#active) : -1;
    const option = this.#list.children[active];
    setProperties(this.#field, { "aria-activedescendant": option?.id ?? null });
    setText(this.#outcome, found.length > 0 ? "" : "Nobody found.");
  }

  /** @param {string} name */
  #chip(name) {
    const remove = { icon: "close", text: shown(name), "data-chosen": name, "aria-label": `Remove ${shown(name)}` };
    return h("li", {}, button({ ...remove, class: "chip", onclick: () => { this.#toggle(name); this.focus(); } }));
  }

  /** @param {string} name */
  #option(name) {
    const face = faceWithPresence(name, "small");
    const sub = shown(name) === name ? null : h("span", { class: "entry-sub" }, name);
    const words = h("span", { class: "visually-hidden" });
    const text = h("span", { class: "entry-text" }, h("span", {}, shown(name)), words, sub);
    const check = h("span", { class: "check" }, icon("check"));
    const choose = () => {
      this.#toggle(name);
      this.focus();
    };
    const element = h("li", { id: `option-${name}`, role: "option", "data-option": name, onclick: choose }, face.element, text, check);
    const render = () => {
      const presence = this.#store.presenceOf(name);
      face.render(presence);
      setText(words, `, ${PRESENCE_WORDS[presence]}`);
      element.classList.toggle("active", this.#active === name);
      setProperties(element, { "aria-selected": String(this.#chosen.has(name)) });
    };
    return { element, render };
  }
}
