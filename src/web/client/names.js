// @ts-check
// What people see of each other: display names, by user name.

/** @import { CallState } from "./types.js" */

/**
 * Whether a user came by a link: the server gives them such names.
 * @param {string} name
 */
const isGuest = (name) => /^guest-[0-9a-f]{12}$/.test(name);

export class Names {
  /** @type {Map<string, string>} */
  #shown = new Map();
  /** Guests, whom no directory lists. @type {Map<string, string>} */
  #guests = new Map();

  /**
   * People of one display name are told apart by their user names.
   * @param {Record<string, string>} displayNames by user name, as GET /me has them
   */
  set(displayNames) {
    const all = Object.entries(displayNames);
    /** @type {Map<string, number>} */
    const uses = new Map();
    for (const [, shown] of all) {
      uses.set(shown, (uses.get(shown) ?? 0) + 1);
    }
    this.#shown.clear();
    for (const [name, shown] of all) {
      this.#shown.set(name, shown !== name && (uses.get(shown) ?? 0) > 1 ? `${shown} (${name})` : shown);
    }
  }

  /**
   * Learns the guests of a call. Anybody can call themself anything, so the names say that they are guests.
   * @param {Pick<CallState, "participants" | "waiting">} call
   */
  learn({ participants, waiting = [] }) {
    for (const { username, display_name: shown } of [...participants, ...waiting]) {
      if (isGuest(username)) {
        this.#guests.set(username, `${shown} (guest)`);
      }
    }
  }

  /**
   * What people see of a user. A removed user has no display name.
   * @param {string} name
   */
  shown(name) {
    return this.#shown.get(name) ?? this.#guests.get(name) ?? name;
  }

  /** @param {string[]} names */
  listed(names) {
    return names.map((name) => this.shown(name)).join(", ");
  }
}
