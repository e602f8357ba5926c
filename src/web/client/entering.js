// @ts-check
// The requests that make and join a call. A step that was half done is undone: nothing rings, and nobody is on a call,
// without a page.

import { Refused, SHORT_TIMEOUT, ServerGone, newKey, retryWhileOffline, within } from "./api.js";
import { departIfOn, postDeparture } from "./departure.js";

/** @import { Client } from "./types.js" */

/** How long, in milliseconds, each step is retried while the server is gone. */
const STEP_MAX = 10_000;

/** The header `Date`, which tells the server's clock, has whole seconds. */
const DATE_RESOLUTION = 1;

/**
 * @typedef {object} Step
 * @property {Client} client
 * @property {string} me
 * @property {string} channel
 * @property {() => boolean} isWanted false once the person has cancelled
 */

/**
 * What the server answers to who enters a call.
 * @typedef {object} Entrance
 * @property {string} id of the call
 * @property {string[]} others who were on it before
 * @property {number} cursor the last signal that is not for this visit
 * @property {number} joinedTs names this visit
 * @property {string[]} [busy] people for whom the call does not ring, if it rings for others
 */

/**
 * Calls a channel.
 * @param {Step} step
 * @returns {Promise<Entrance>} rejects with ServerGone if the server is gone; a call that it may have made is taken back
 *   later
 */
export async function initiate(step) {
  const { client, me, channel } = step;
  await client.undo.withdraw(channel);
  try {
    const key = newKey();
    const request = () => client.api.post("/calls/initiate", { channel }, { timeout: SHORT_TIMEOUT, key });
    const answer = await retryWhileOffline(request, isStepWanted(step));
    const { call_id: id, joined_ts: joinedTs, participants, busy } = answer;
    return { id, others: [], cursor: 0, joinedTs, busy: busy.length < participants.length - 1 ? busy : [] };
  } catch (error) {
    if (error instanceof ServerGone && error.mayHaveArrived) {
      const isOurs = beganBefore(client, Date.now());
      client.undo.run(channel, () => takeBackInitiate(client, me, channel, isOurs));
    }
    throw error;
  }
}

/**
 * The live call because of which `initiate` was refused.
 * @param {unknown} error
 * @returns {string | null}
 */
export const liveCallOf = (error) =>
  error instanceof Refused && error.code === "channel_has_live_call" ? (error.body.call_id ?? null) : null;

/**
 * Answers a call, joins one in progress, or returns to it.
 * @param {Step & { id: string, wasAccepted?: boolean }} step `wasAccepted`: this person is on the call already, perhaps
 *   on another device
 * @returns {Promise<Entrance>}
 */
export async function accept(step) {
  const { client, me, channel, id, wasAccepted = false } = step;
  // A retried `leave` would take this person off the call again. The call may also be one that was made half.
  await Promise.all([client.undo.withdraw(id), client.undo.withdraw(channel)]);
  try {
    const request = () => client.api.post(`/calls/${id}/accept`, {}, { timeout: SHORT_TIMEOUT });
    const answer = await retryWhileOffline(request, isStepWanted(step));
    const others = answer.participants.filter((/** @type {string} */ name) => name !== me);
    return { id, others, cursor: answer.last_signal_id, joinedTs: answer.joined_ts };
  } catch (error) {
    if (error instanceof ServerGone && error.mayHaveArrived && !wasAccepted) {
      const isOurs = beganBefore(client, Date.now());
      client.undo.run(id, () => departIfOn(client, id, me, isOurs, "leave"));
    }
    throw error;
  }
}

/** @param {Step} step */
function isStepWanted({ isWanted }) {
  const isInTime = within(STEP_MAX);
  return () => isWanted() && isInTime();
}

/**
 * For a visit whose `joined_ts` is unknown, because the answer is lost. What begins after this device has given up is
 * a visit of another device.
 * @param {Client} client
 * @param {number} time in milliseconds, of this device's clock
 */
const beganBefore = ({ api }, time) => (/** @type {number | null} */ ts) =>
  ts !== null && ts <= api.onServerClock(time) + DATE_RESOLUTION;

/**
 * Leaves a call that this person has made in a channel.
 * @param {Client} client
 * @param {string} me
 * @param {string} channel
 * @param {(startedTs: number) => boolean} isOurs
 */
async function takeBackInitiate(client, me, channel, isOurs) {
  const path = `/calls/active?channel=${encodeURIComponent(channel)}`;
  const { call } = await client.api.get(path, { timeout: SHORT_TIMEOUT });
  if (call?.initiator === me && call.joined && isOurs(call.started_ts)) {
    await postDeparture(client, call.call_id, "leave");
  }
}
