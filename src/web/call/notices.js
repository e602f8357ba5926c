// @ts-check
// The sentences above the tiles of a call.

import { shown } from "../names.js";

/**
 * What is wrong with the connection to the server; empty if nothing is.
 * @param {{ online: boolean }} call
 */
export function offlineNotice({ online }) {
  if (!navigator.onLine) {
    return "This device has no network. The call continues as soon as it has one again.";
  }
  return online ? "" : "Connection to the server lost. Reconnecting… The call continues meanwhile.";
}

/**
 * @param {string} sharer
 * @param {string} me
 */
export const sharingNotice = (sharer, me) =>
  sharer === me ? "You are sharing your screen." : `${shown(sharer)} is sharing their screen.`;
