// @ts-check
// What people see of each other on this page.

import { calls } from "./api.js";

/** @param {string} name */
export const shown = (name) => calls.names.shown(name);

/** @param {string[]} names */
export const listed = (names) => calls.names.listed(names);
