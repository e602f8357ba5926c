// @ts-check
// Views that cover the page: calls and watched screens. The view of a call can also be a bar at the lower edge.

export class Overlay {
  #page;
  #fallback;
  /** Views that cover the page. @type {Set<HTMLElement>} */
  #open = new Set();
  /** What had the focus before the first view opened. @type {Element | null} */
  #focusBefore = null;

  /**
   * @param {HTMLElement} page inert while it is covered
   * @param {() => HTMLElement} fallback gets the focus if the element before is gone
   */
  constructor(page, fallback) {
    this.#page = page;
    this.#fallback = fallback;
  }

  /** @param {HTMLElement} view */
  open(view) {
    this.#focusBefore ??= document.activeElement;
    this.#open.add(view);
    this.#page.inert = true;
    document.body.append(view);
    view.focus();
  }

  /**
   * Makes an open view a bar below the page, which is no longer covered.
   * @param {HTMLElement} view
   */
  shrink(view) {
    this.#open.delete(view);
    this.#page.inert = this.#open.size > 0;
    this.#focusBefore = null;
    this.#fallback().focus();
  }

  /**
   * Covers the page with the view of a bar again.
   * @param {HTMLElement} view
   */
  expand(view) {
    this.#open.add(view);
    this.#page.inert = true;
    view.focus();
  }

  /** @param {HTMLElement} view */
  close(view) {
    view.remove();
    if (!this.#open.delete(view) || this.#open.size > 0) {
      return;
    }
    this.#page.inert = false;
    const before = this.#focusBefore;
    this.#focusBefore = null;
    // A card that rings may have taken the focus.
    if (document.activeElement === document.body) {
      (canTakeFocus(before) ? before : this.#fallback()).focus();
    }
  }
}

/**
 * @param {Element | null} element
 * @returns {element is HTMLElement}
 */
function canTakeFocus(element) {
  return element instanceof HTMLElement && element.isConnected && element !== document.body && !element.hidden;
}
