// @ts-check
// A list whose items are one stop of the Tab key: the arrow keys move among them.

export class Roving {
  #container;
  #selector;
  /** The item that Tab reaches. @type {HTMLElement | null} */
  #current = null;

  /**
   * @param {HTMLElement} container
   * @param {string} selector of its items
   * @param {(key: string) => boolean} [onOtherKey] handles a key that moves nothing; says whether it did
   */
  constructor(container, selector, onOtherKey = () => false) {
    this.#container = container;
    this.#selector = selector;
    container.addEventListener("focusin", ({ target }) => {
      if (target instanceof HTMLElement && target.matches(selector)) {
        this.#setCurrent(target);
      }
    });
    container.addEventListener("keydown", (event) => {
      const isItem = event.target instanceof HTMLElement && event.target.matches(selector);
      const hasModifier = event.ctrlKey || event.metaKey || event.altKey;
      if (isItem && !hasModifier && (this.#move(event.key) || onOtherKey(event.key))) {
        event.preventDefault();
      }
    });
  }

  /** @type {HTMLElement[]} */
  get #items() {
    return [...this.#container.querySelectorAll(this.#selector)].filter(isShown);
  }

  get first() {
    return this.#items.at(0);
  }

  /** To call after a change of the items. */
  refresh() {
    const items = this.#items;
    const isItem = this.#current !== null && items.includes(this.#current);
    items.forEach((item) => (item.tabIndex = -1));
    this.#current = isItem ? this.#current : (items.find((item) => item.ariaCurrent) ?? items[0] ?? null);
    if (this.#current) {
      this.#current.tabIndex = 0;
    }
  }

  /** @param {HTMLElement} item */
  #setCurrent(item) {
    if (this.#current) {
      this.#current.tabIndex = -1;
    }
    this.#current = item;
    item.tabIndex = 0;
  }

  /** @param {string} key */
  #move(key) {
    const items = this.#items;
    const at = items.findIndex((item) => item === document.activeElement);
    const last = items.length - 1;
    /** @type {Record<string, number>} */
    const targets = { ArrowDown: Math.min(at + 1, last), ArrowUp: Math.max(at - 1, 0), Home: 0, End: last };
    items[targets[key]]?.focus();
    return key in targets;
  }
}

/**
 * @param {Element} element
 * @returns {element is HTMLElement}
 */
const isShown = (element) => element instanceof HTMLElement && element.closest("[hidden]") === null;
