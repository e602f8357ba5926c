// @ts-check
// What a person sees of the page in another tab or window: its title, its icon, and the badge of the installed app.

const ICON = "web/icon.svg";
const ICON_WITH_BADGE = "web/icon-badge.svg";

export class Badge {
  #title = document.title;
  /** @type {HTMLLinkElement | null} */
  #icon = document.querySelector("link[rel=icon]");
  #missed = 0;

  /**
   * @param {string | null} caller who calls now
   * @param {number} missed the missed calls that this person has not seen
   */
  render(caller, missed) {
    const title = missed > 0 ? `(${missed}) ${this.#title}` : this.#title;
    document.title = caller === null ? title : `${caller} is calling`;
    const icon = caller === null && missed === 0 ? ICON : ICON_WITH_BADGE;
    // Assigning the same address makes some browsers load it again.
    if (this.#icon && this.#icon.getAttribute("href") !== icon) {
      this.#icon.setAttribute("href", icon);
    }
    if (missed !== this.#missed) {
      this.#missed = missed;
      // Only an installed app has a badge, and not in every browser.
      navigator.setAppBadge?.(missed).catch(() => {});
    }
  }
}
