// @ts-check
// The browser's Back button and closing the window, while this page is on a call.

/** Marks the entry of the history that lies above the page while a call covers it. */
const COVERED = "call";

export class BackGuard {
  #onBack;
  #isCovered = false;
  /** The address of the page below the call. */
  #address = "";
  #isReloading = false;
  /** Whether the way back from the marked entry has begun. */
  #isLeaving = false;
  /** @type {AbortController | null} */
  #onCall = null;

  /** @param {() => void} onBack Back was pressed while the call covers the page */
  constructor(onBack) {
    this.#onBack = onBack;
    addEventListener("popstate", () => this.#onPopState());
  }

  /** From now on, leaving the page is asked about. A reload by key is not: the page comes back to its call. */
  start() {
    if (this.#onCall) {
      return;
    }
    this.#onCall = new AbortController();
    const { signal } = this.#onCall;
    addEventListener("beforeunload", (event) => this.#asks && event.preventDefault(), { signal });
    // The browser's own button for a reload cannot be distinguished from closing the page.
    const onKey = (/** @type {KeyboardEvent} */ event) => (this.#isReloading = isReload(event));
    addEventListener("keydown", onKey, { signal, capture: true });
  }

  get #asks() {
    // Browsers ask nothing on a page that nobody has touched, and log an error.
    return !this.#isReloading && (navigator.userActivation?.hasBeenActive ?? true);
  }

  stop() {
    this.uncover();
    this.#onCall?.abort();
    this.#onCall = null;
  }

  /** The call covers the page: Back leads to the page below it. */
  cover() {
    if (!this.#isCovered) {
      this.#isCovered = true;
      this.#address = location.href;
      if (!this.#isLeaving && history.state !== COVERED) {
        history.pushState(COVERED, "");
      }
    }
  }

  /** The page is to be seen. */
  uncover() {
    if (this.#isCovered) {
      this.#isCovered = false;
      if (!this.#isLeaving && history.state === COVERED) {
        this.#isLeaving = true;
        history.back();
      }
    }
  }

  #onPopState() {
    if (this.#isLeaving) {
      this.#isLeaving = false;
      if (this.#isCovered) {
        history.pushState(COVERED, ""); // another call covers the page meanwhile
      }
    } else if (this.#isCovered && history.state !== COVERED && location.href === this.#address) {
      this.#isCovered = false;
      this.#onBack();
    }
  }
}

/** @param {KeyboardEvent} event */
const isReload = ({ key, ctrlKey, metaKey }) => key === "F5" || ((ctrlKey || metaKey) && key.toLowerCase() === "r");
