// How good a connection is, by what getStats counts between two looks.

/** What one connection has done since the last look at it. */
export class Quality {
  #before = null;

  /** `{level, roundTrip, loss, received, frames}`: good, fair or poor; milliseconds; a share of 1; bytes; pictures decoded. */
  async look(peer) {
    const stats = await peer.statistics().catch(() => null);
    if (!stats) {
      return null;
    }
    let received = 0;
    let frames = 0;
    let packets = 0;
    let lost = 0;
    let roundTrip = null;
    stats.forEach((report) => {
      if (report.type === "inbound-rtp") {
        received += report.bytesReceived ?? 0;
        frames += report.framesDecoded ?? 0;
        packets += report.packetsReceived ?? 0;
        lost += report.packetsLost ?? 0;
      } else if (report.type === "candidate-pair" && report.nominated && report.state === "succeeded") {
        roundTrip = report.currentRoundTripTime === undefined ? roundTrip : report.currentRoundTripTime * 1000;
      }
    });
    const before = this.#before ?? { packets: 0, lost: 0 };
    this.#before = { packets, lost };
    const arrived = Math.max(packets - before.packets, 0);
    const missing = Math.max(lost - before.lost, 0);
    const loss = arrived + missing > 0 ? missing / (arrived + missing) : 0;
    return { level: level(peer.state, loss, roundTrip ?? 0), roundTrip, loss, received, frames };
  }
}

function level(state, loss, roundTrip) {
  if (state !== "connected" || loss > 0.08 || roundTrip > 400) {
    return "poor";
  }
  return loss > 0.02 || roundTrip > 180 ? "fair" : "good";
}
