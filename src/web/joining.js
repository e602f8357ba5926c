// @ts-check
// Making and joining calls. A step that was half done is undone: nothing rings, and nobody is on a call, without a
// page.

import { Refused, SHORT_TIMEOUT, ServerGone, fetchIceServers, get, post, retryWhileOffline, within } from "./api.js";
import { Call } from "./call.js";
import { departIfOn, postDeparture, undo } from "./departure.js";

/** @import { Media } from "./media.js" */

/** How long, in milliseconds, each step is retried while the server is gone. */
const STEP_MAX = 10_000;

/** A channel's live call can end between two attempts to call or to join it. */
const ATTEMPTS_MAX = 4;

/**
 * @typedef {object} Visit what a call is made or joined with
 * @property {string} me
 * @property {string} channel
 * @property {Media} media open already, so that nothing rings while the browser asks for the microphone
 * @property {() => boolean} isWanted false once the person has cancelled
 */

/**
 * Calls a channel. If it has a live call, perhaps because both sides called at the same moment, joins that.
 * @param {Visit} visit
 * @returns {Promise<Call>} rejects with ServerGone if the server is gone; a call that it may have made is taken back
 *   later
 */
export async function startCall(visit) {
  // First, so that nothing has to be taken back if the server is gone.
  const iceServers = await fetchIceServers();
  await undo.withdraw(visit.channel);
  for (let attempt = 1; ; attempt += 1) {
    try {
      const id = await initiate(visit);
      return await begin(new Call({ ...visit, id }), iceServers, [], 0);
    } catch (error) {
      const liveId = error instanceof Refused && error.code === "channel_has_live_call" && error.body.call_id;
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
  const { me, id, wasAccepted = false } = visit;
  const iceServers = visit.iceServers ?? (await fetchIceServers());
  // A retried `leave` would take this person off the call again.
  await undo.withdraw(id);
  const call = new Call(visit);
  try {
    const accept = () => post(`/calls/${id}/accept`, {}, { timeout: SHORT_TIMEOUT });
    const { participants, last_signal_id: cursor } = await retryWhileOffline(accept, isStepWanted(visit));
    const others = participants.filter((/** @type {string} */ name) => name !== me);
    return await begin(call, iceServers, others, cursor);
  } catch (error) {
    call.release();
    if (error instanceof ServerGone && error.mayHaveArrived && !wasAccepted) {
      undo.run(id, () => departIfOn(id, me, () => true, "leave"));
    }
    throw error;
  }
}

/** @param {Visit} visit */
function isStepWanted({ isWanted }) {
  const isInTime = within(STEP_MAX);
  return () => isWanted() && isInTime();
}

/**
 * @param {Visit} visit
 * @returns {Promise<string>} the id of the new call
 */
async function initiate(visit) {
  const { me, channel } = visit;
  try {
    const request = () => post("/calls/initiate", { channel }, { timeout: SHORT_TIMEOUT });
    const { call_id: id } = await retryWhileOffline(request, isStepWanted(visit));
    return id;
  } catch (error) {
    if (error instanceof ServerGone && error.mayHaveArrived) {
      undo.run(channel, () => takeBackInitiate(me, channel));
    }
    throw error;
  }
}

/**
 * Leaves a call of this person in a channel that this page is not on.
 * @param {string} me
 * @param {string} channel
 */
async function takeBackInitiate(me, channel) {
  const path = `/calls/active?channel=${encodeURIComponent(channel)}`;
  const { call } = await get(path, { timeout: SHORT_TIMEOUT });
  if (call?.initiator === me && call.joined && !Call.byId(call.call_id)) {
    await postDeparture(call.call_id, "leave");
  }
}

/**
 * @param {Call} call that the server has this person on
 * @param {RTCIceServer[]} iceServers
 * @param {string[]} others
 * @param {number} cursor
 */
async function begin(call, iceServers, others, cursor) {
  try {
    await call.connect(iceServers, others, cursor);
    return call;
  } catch (error) {
    call.release();
    undo.run(call.id, () => postDeparture(call.id, "leave"));
    throw error;
  }
}
