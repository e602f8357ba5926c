// @ts-check
// Leaving a call on the server, also when its answers are lost.

import { SHORT_TIMEOUT } from "./api.js";
import { participantOf } from "./store.js";

/** @import { Client, Me } from "./types.js" */

/**
 * @param {Client} client
 * @param {string} id
 * @param {"leave" | "end"} action
 */
export const postDeparture = ({ api }, id, action) =>
  api.post(`/calls/${id}/${action}`, {}, { keepalive: true, timeout: SHORT_TIMEOUT });

/**
 * Tells the server that this person leaves or ends a call, until it has the message.
 * @param {{ client: Client, id: string, me: string, joinedTs: number }} visit
 * @param {"leave" | "end"} action
 */
export function depart({ client, id, me, joinedTs }, action) {
  // If an answer is lost, this person may join again before the retry, here or on another device. That visit stays.
  const isSameVisit = (/** @type {number | null} */ ts) => ts === joinedTs;
  return client.undo.run(id, (attempt) =>
    attempt === 0 ? postDeparture(client, id, action) : departIfOn(client, id, me, isSameVisit, action));
}

/**
 * @param {Client} client
 * @param {string} id
 * @param {string} me
 * @param {(joinedTs: number | null) => boolean} isOurVisit
 * @param {"leave" | "end"} action
 */
export async function departIfOn(client, id, me, isOurVisit, action) {
  // GET /me, because a read of the call's state would count as presence on it.
  /** @type {Me} */
  const { calls } = await client.api.get("/me", { timeout: SHORT_TIMEOUT });
  const call = calls.find(({ call_id: other }) => other === id);
  const mine = call && participantOf(call, me);
  if (mine?.state === "accepted" && isOurVisit(mine.joined_ts)) {
    await postDeparture(client, id, action);
  }
}
