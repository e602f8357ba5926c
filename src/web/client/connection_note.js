// @ts-check
// What a tile says about the connection to a person.

/** A connection attempt that takes longer, in milliseconds, is explained. */
const SLOW_AFTER = 8_000;

/**
 * @typedef {object} ConnectionFacts
 * @property {"webrtc" | "relay" | null} via how their media comes
 * @property {RTCPeerConnectionState} state of the direct connection
 * @property {number} downFor milliseconds without it
 * @property {boolean} arrives whether relayed media arrives
 * @property {boolean} online whether this device reaches the server
 * @property {string} failure why this device cannot send through the relay, as a sentence
 */

/**
 * @param {ConnectionFacts} facts
 * @param {string} shown the person's name
 */
export function connectionNote({ via, state, downFor, arrives, online, failure }, shown) {
  if (via === "webrtc") {
    return "";
  }
  if (via === "relay") {
    if (!online) {
      return "Waiting for the server…";
    }
    if (failure) {
      return failure;
    }
    return arrives ? "Using the server’s relay" : `No direct connection to ${shown}. Trying the server’s relay…`;
  }
  if (state === "failed" || (state !== "new" && downFor > SLOW_AFTER)) {
    return `Cannot connect to ${shown}. Retrying… A firewall may block the connection.`;
  }
  return state === "disconnected" ? "Reconnecting…" : "Connecting…";
}
