// @ts-check
// Making and joining calls. A call that cannot begin here is left.

import { Refused } from "./api.js";
import { Call } from "./call.js";
import { depart } from "./departure.js";
import { accept, initiate, liveCallOf } from "./entering.js";

/** @import { Entrance, Step } from "./entering.js" */
/** @import { Media } from "./media.js" */

/** A channel's live call can end between two attempts to call or to join it. */
const ATTEMPTS_MAX = 4;

/**
 * What a call is made or joined with. `media` is open already, so that nothing rings while the browser asks for the
 * microphone.
 * @typedef {Step & { media: Media }} Visit
 */

/**
 * Calls a channel. If it has a live call, perhaps because both sides called at the same moment, joins that.
 * @param {Visit} visit
 * @returns {Promise<Call>} rejects with ServerGone if the server is gone
 */
export async function startCall(visit) {
  // First, so that nothing has to be taken back if the server is gone.
  const iceServers = await visit.client.api.fetchIceServers();
  for (let attempt = 1; ; attempt += 1) {
    try {
      const entrance = await initiate(visit);
      return await begin(new Call({ ...visit, id: entrance.id }), iceServers, entrance, false);
    } catch (error) {
      const liveId = liveCallOf(error);
      if (!liveId) {
        throw error;
      }
      const call = await joinCall({ ...visit, id: liveId, iceServers }).catch((reason) => {
        const hasEnded = reason instanceof Refused && ["call_finished", "call_not_found"].includes(reason.code);
        if (!hasEnded || attempt === ATTEMPTS_MAX) {
          throw reason;
        }
        return null;
      });
      if (call) {
        return call;
      }
    }
  }
}

/**
 * Answers a call, joins one in progress, or returns to it.
 * @param {Visit & { id: string, wasAccepted?: boolean, iceServers?: RTCIceServer[] }} visit `wasAccepted`: this person
 *   is on the call already, perhaps on another device
 * @returns {Promise<Call>}
 */
export async function joinCall(visit) {
  const iceServers = visit.iceServers ?? (await visit.client.api.fetchIceServers());
  const call = new Call(visit);
  try {
    const entrance = await accept(visit);
    return await begin(call, iceServers, entrance, visit.wasAccepted ?? false);
  } catch (error) {
    call.release();
    throw error;
  }
}

/**
 * @param {Call} call that the server has this person on
 * @param {RTCIceServer[]} iceServers
 * @param {Entrance} entrance
 * @param {boolean} wasAccepted a visit that began elsewhere stays
 */
async function begin(call, iceServers, entrance, wasAccepted) {
  try {
    await call.connect(iceServers, entrance);
    return call;
  } catch (error) {
    call.release();
    if (!wasAccepted) {
      depart({ client: call.client, id: call.id, me: call.me, joinedTs: entrance.joinedTs }, "leave");
    }
    throw error;
  }
}
