// @ts-check
// Steps that are taken back in the background, such as a `leave` whose answer was lost.

import { retryWhileOffline, within } from "./api.js";

/** The server's presence timeout has taken the person off the call by then (`presence_timeout`, 60 s by default). */
const UNDO_MAX = 60_000;

export class Undo {
  /** @type {Map<string, { isWanted: boolean, done: Promise<void> }>} */
  #running = new Map();

  /**
   * Retries `action` while the server is gone. A refusal ends it: the server has nothing left to undo.
   * @param {string} key names the step, to withdraw its undoing
   * @param {(attempt: number) => Promise<unknown>} action
   * @returns {Promise<void>} settles when it is done, withdrawn or given up; never rejects
   */
  run(key, action) {
    const isInTime = within(UNDO_MAX);
    const entry = { isWanted: true, done: Promise.resolve() };
    let attempt = 0;
    entry.done = retryWhileOffline(() => action(attempt++), () => entry.isWanted && isInTime())
      .then(() => {}, () => {})
      .then(() => {
        if (this.#running.get(key) === entry) {
          this.#running.delete(key);
        }
      });
    this.#running.set(key, entry);
    return entry.done;
  }

  /**
   * Stops undoing a step that is now taken again, and waits for the request under way.
   * @param {string} key
   */
  async withdraw(key) {
    const entry = this.#running.get(key);
    if (entry) {
      entry.isWanted = false;
      await entry.done;
    }
  }
}
