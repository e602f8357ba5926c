// @ts-check
// The server of these pages, which they come from: the client library's connection to it, with the session's cookie.

import { Calls } from "./client/calls.js";

/** @import { RequestOptions } from "./client/api.js" */

export { Refused, ServerGone, messageOf, pause, retryWhileOffline, within } from "./client/api.js";

/** The address that the paths of the API and of the pages are below. */
export const SERVER = new URL(".", document.baseURI);

/** The one client of the page. */
export let calls = new Calls({ server: SERVER });

/**
 * Makes the client of a guest the one of the page, before the page has used the other.
 * @param {Calls} client
 */
export function useClient(client) {
  calls = client;
}

/**
 * A moment of this device's clock in seconds of the server's.
 * @param {number} time in milliseconds
 */
export const onServerClock = (time) => calls.api.onServerClock(time);

/**
 * @param {string} path
 * @param {RequestOptions} [options]
 */
export const get = (path, options) => calls.api.get(path, options);

/**
 * @param {string} path
 * @param {object} [body]
 * @param {RequestOptions} [options]
 */
export const post = (path, body, options) => calls.api.post(path, body, options);

/** @param {string} path */
export const remove = (path) => calls.api.remove(path);

/**
 * @param {string} path
 * @param {Uint8Array<ArrayBuffer>} body
 */
export const postBytes = (path, body) => calls.api.postBytes(path, body);
