// @ts-check
// What this browser remembers about calls. Without storage, each choice is the default.

/** @typedef {"call-layout" | "call-shortcuts" | "call-check"} Preference */

/**
 * @param {Preference} name
 * @returns {string} empty without a choice
 */
export function preference(name) {
  try {
    return localStorage.getItem(name) ?? "";
  } catch {
    return "";
  }
}

/**
 * @param {Preference} name
 * @param {string} value
 */
export function setPreference(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // The choice is lost.
  }
}
