// @ts-check
// The lists of the routes at /admin/: loaded whole, page by page, searched here, and shown in part.

import { get, messageOf } from "../api.js";
import { button, h, keyedList, labelled, setText } from "../dom.js";

/** The largest page that the server gives. */
const PAGE_SIZE = 200;

/** How many items are shown at first, and how many more at a time. */
const SHOWN_STEP = 50;

/**
 * Loads a list that pages, from its first item to its last.
 * @param {string} path
 * @param {string} cursor the member of an item that `?after=` takes
 * @param {Record<string, string>} [query]
 * @returns {Promise<any[]>}
 */
export async function fetchAll(path, cursor, query = {}) {
  const items = [];
  for (;;) {
    const after = items.at(-1)?.[cursor] ?? "";
    const page = await get(`${path}?${new URLSearchParams({ ...query, after, limit: String(PAGE_SIZE) })}`);
    // A page of large items is shorter than its limit.
    if (page.length === 0) {
      return items;
    }
    items.push(...page);
  }
}

/** @template Item */
export class ItemList {
  #options;
  #rows;
  #message = h("p", { class: "quiet", role: "status" }, "Loading…");
  #more = button({ text: "Show more", class: "plain", hidden: true, onclick: () => this.#showMore() });
  #shown = SHOWN_STEP;
  #search = "";
  /** Answers of earlier requests are dropped. */
  #request = 0;

  /** @type {Item[]} */
  items = [];

  /**
   * @param {object} options
   * @param {string} options.id
   * @param {string} options.label
   * @param {string} options.path
   * @param {keyof Item & string} options.cursor the member that names an item
   * @param {(item: Item) => import("../client/dom.js").Row<Item>} options.create
   * @param {string} options.empty a sentence for a list without items
   * @param {(item: Item) => string} [options.searched] the text of an item; with it, the list has a search field
   */
  constructor(options) {
    this.#options = options;
    const { id, label, searched } = options;
    this.#rows = h("ul", { class: "admin-list", id, tabindex: "-1", "aria-label": label });
    const oninput = () => {
      this.#search = search.value.trim().toLowerCase();
      this.#shown = SHOWN_STEP;
      this.render();
    };
    const plain = { autocomplete: "off", spellcheck: "false" };
    const search = h("input", { id: `${id}-search`, type: "search", ...plain, oninput });
    this.element = h("div", {}, searched && labelled("Search", search), this.#rows, this.#message, this.#more);
    this.load();
  }

  async load() {
    const { path, cursor } = this.#options;
    this.#request += 1;
    const request = this.#request;
    try {
      const items = await fetchAll(path, cursor);
      if (request === this.#request) {
        this.items = items;
        this.render();
      }
    } catch (error) {
      setText(this.#message, messageOf(error));
      this.#message.hidden = false;
    }
  }

  render() {
    const { cursor, create, empty, searched } = this.#options;
    const found = this.items.filter((item) => !searched || searched(item).toLowerCase().includes(this.#search));
    keyedList(this.#rows, found.slice(0, this.#shown), (item) => String(item[cursor]), create);
    setText(this.#message, this.items.length === 0 ? empty : "Nothing found.");
    this.#message.hidden = found.length > 0;
    this.#more.hidden = found.length <= this.#shown;
  }

  /** @param {string} name */
  find(name) {
    return this.items.find((item) => item[this.#options.cursor] === name);
  }

  #showMore() {
    this.#shown += SHOWN_STEP;
    this.render();
  }
}
