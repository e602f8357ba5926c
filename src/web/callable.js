// @ts-check
// Which channels I can call.

/** @import { Store } from "./client/store.js" */

/**
 * Whether a channel is one of mine, as far as this page knows: a call of somebody else's channel can be in my history.
 * @param {Store} store
 * @param {string} channel
 */
export function isCallable(store, channel) {
  const names = channel.startsWith("dm:") ? channel.slice(3).split(":") : [];
  const others = names.filter((name) => name !== store.me);
  const isDirect = others.length > 0 && others.length < names.length && others.every((name) => store.people.includes(name));
  return isDirect || store.channels.has(channel);
}
