// @ts-check
// Connection quality, from the counters of getStats between two measurements.

/** @import { Report } from "./sending.js" */

/** @typedef {"good" | "fair" | "poor"} Level */

/**
 * @typedef {object} Measurement
 * @property {Level} level
 * @property {number | null} roundTrip milliseconds
 * @property {number} loss lost packets as a fraction of 1
 * @property {number} received bytes
 * @property {number} frames decoded video frames
 * @property {Report | null} sending of the video that is sent; null if none is
 */

/** Measures one connection. */
export class Quality {
  #before = { packets: 0, lost: 0 };

  /**
   * @param {Pick<import("./peer.js").Peer, "state" | "statistics">} peer
   * @returns {Promise<Measurement | null>} null if there are no statistics
   */
  async measure(peer) {
    const stats = await peer.statistics().catch(() => null);
    if (!stats) {
      return null;
    }
    const sum = { received: 0, frames: 0, packets: 0, lost: 0 };
    /** @type {number | null} */
    let roundTrip = null;
    let isSending = false;
    /** @type {Report} */
    const sending = { loss: 0, available: null, isCpuLimited: false };
    stats.forEach((report) => {
      if (report.type === "inbound-rtp") {
        sum.received += report.bytesReceived ?? 0;
        sum.frames += report.framesDecoded ?? 0;
        sum.packets += report.packetsReceived ?? 0;
        sum.lost += report.packetsLost ?? 0;
      } else if (report.type === "candidate-pair" && report.nominated && report.state === "succeeded") {
        roundTrip = report.currentRoundTripTime === undefined ? roundTrip : report.currentRoundTripTime * 1000;
        sending.available = report.availableOutgoingBitrate ?? null;
      } else if (report.type === "outbound-rtp" && report.kind === "video") {
        isSending ||= report.active !== false;
        sending.isCpuLimited ||= report.qualityLimitationReason === "cpu";
      } else if (report.type === "remote-inbound-rtp" && report.kind === "video") {
        sending.loss = Math.max(sending.loss, report.fractionLost ?? 0);
      }
    });
    const { packets, lost, received, frames } = sum;
    const arrived = Math.max(packets - this.#before.packets, 0);
    const missing = Math.max(lost - this.#before.lost, 0);
    this.#before = { packets, lost };
    const loss = arrived + missing > 0 ? missing / (arrived + missing) : 0;
    const level = levelOf(peer.state, loss, roundTrip ?? 0);
    return { level, roundTrip, loss, received, frames, sending: isSending ? sending : null };
  }
}

/**
 * @param {RTCPeerConnectionState} state
 * @param {number} loss
 * @param {number} roundTrip
 * @returns {Level}
 */
function levelOf(state, loss, roundTrip) {
  if (state !== "connected" || loss > 0.08 || roundTrip > 400) {
    return "poor";
  }
  return loss > 0.02 || roundTrip > 180 ? "fair" : "good";
}
