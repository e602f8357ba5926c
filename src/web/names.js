// @ts-check
// What people see of each other: display names, by user name.

/** @type {Map<string, string>} */
const shownNames = new Map();

/**
 * People of one display name are told apart by their user names.
 * @param {Record<string, string>} displayNames by user name, as GET /me has them
 */
export function setDisplayNames(displayNames) {
  const all = Object.entries(displayNames);
  /** @type {Map<string, number>} */
  const uses = new Map();
  for (const [, shown] of all) {
    uses.set(shown, (uses.get(shown) ?? 0) + 1);
  }
  shownNames.clear();
  for (const [name, shown] of all) {
    shownNames.set(name, shown !== name && (uses.get(shown) ?? 0) > 1 ? `${shown} (${name})` : shown);
  }
}

/**
 * What people see of a user. A removed user has no display name.
 * @param {string} name
 */
export const shown = (name) => shownNames.get(name) ?? name;

/** @param {string[]} names */
export const listed = (names) => names.map(shown).join(", ");
