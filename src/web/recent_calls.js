// @ts-check
// My newest finished calls: they order the lists, and can be called back.

import { calls } from "./api.js";
import { Emitter } from "./client/emitter.js";

/** @import { PastCall } from "./client/types.js" */

/** How many calls are read. Older ones are in the history. */
const LIMIT = 60;

/** @extends {Emitter<{ change: void }>} */
export class RecentCalls extends Emitter {
  /** The newest call of each channel, newest first; null until they are read. @type {PastCall[] | null} */
  newest = null;

  async load() {
    const read = await calls.history({ limit: LIMIT }).catch(() => null);
    if (read) {
      const channels = new Set();
      this.newest = read.filter(({ channel }) => !channels.has(channel) && channels.add(channel));
      this.emit("change");
    }
  }

  clear() {
    this.newest = null;
  }

  /**
   * The position of a channel among the recent ones; those without a call come last.
   * @param {string} channel
   */
  rank(channel) {
    const found = this.newest?.findIndex((call) => call.channel === channel) ?? -1;
    return found < 0 ? LIMIT : found;
  }
}
