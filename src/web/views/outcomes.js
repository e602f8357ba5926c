// @ts-check
// Finished calls in words, from my side.

/** @import { Store } from "../client/store.js" */
/** @import { MissedCall, PastCall } from "../client/types.js" */

/** The icon of an outcome, for incoming and outgoing calls, and its word. @type {Record<string, string[]>} */
const OUTCOMES = {
  answered: ["incoming", "outgoing", "Answered"],
  missed: ["missed", "outgoing", "Missed"],
  declined: ["incoming", "outgoing", "Declined"],
  cancelled: ["missed", "outgoing", "Cancelled"],
};

/**
 * @typedef {object} Outcome
 * @property {string} icon
 * @property {string} word
 * @property {string} reason why I missed it, where it did not ring; or empty
 * @property {boolean} isMissed by me
 */

/**
 * @param {Store} store
 * @param {PastCall} call
 * @returns {Outcome}
 */
export function outcomeOf(store, { initiator, outcome, reason, missed_reason: missedReason }) {
  const isMine = initiator === store.me;
  const [incomingIcon, outgoingIcon, word] = OUTCOMES[outcome] ?? ["incoming", "outgoing", outcome];
  const unanswered = reason === "busy" ? "Busy" : "No answer";
  return {
    icon: isMine ? outgoingIcon : incomingIcon,
    word: outcome === "missed" && isMine ? unanswered : word,
    reason: reasonText(missedReason),
    isMissed: outcome === "missed" && !isMine,
  };
}

/** @param {MissedCall["reason"] | null} reason */
export function reasonText(reason) {
  if (reason === "busy") {
    return "you were on another call";
  }
  return reason === "quiet" ? "do not disturb" : "";
}
