// @ts-check
// The sentences above the tiles of a call.

import { listed, shown } from "../names.js";

/** @import { Call } from "../client/call.js" */

/**
 * What is wrong with the connection to the server; empty if nothing is.
 * @param {Pick<Call, "online" | "relayed">} call
 */
export function offlineNotice({ online, relayed }) {
  if (!navigator.onLine) {
    return "This device has no network. The call continues as soon as it has one again.";
  }
  if (online) {
    return "";
  }
  const names = listed(relayed.map(({ name }) => name));
  const effect = names ? `You do not hear ${names} until then.` : "The call continues meanwhile.";
  return `Connection to the server lost. Reconnecting… ${effect}`;
}

/**
 * @param {string} sharer
 * @param {string} me
 */
export const sharingNotice = (sharer, me) =>
  sharer === me ? "You are sharing your screen." : `${shown(sharer)} is sharing their screen.`;
