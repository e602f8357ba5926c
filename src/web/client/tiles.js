// @ts-check
// The tiles of a call, and the texts beside them.

import { h, keyedList } from "./dom.js";
import { acceptedNames, pendingNames } from "./store.js";
import { Tile } from "./tile.js";

/** @import { Call } from "./call.js" */
/** @import { Media } from "./media.js" */
/** @import { Names } from "./names.js" */
/** @import { TileItem } from "./tile.js" */
/** @import { CallState } from "./types.js" */

/** A grid with a tile for each person and for a shared screen. */
export class Tiles {
  #onBlocked;
  /** @type {Map<Element, Tile>} */
  #tiles = new Map();

  element = h("div", { class: "tiles", id: "tiles" });

  /** @param {() => void} onBlocked the browser wants a click before it plays sound */
  constructor(onBlocked) {
    this.#onBlocked = onBlocked;
  }

  /**
   * @param {Call} call
   * @param {CallState} state
   */
  render(call, state) {
    const sharer = state.screenshare_user;
    const items = tilesOf(call, state);
    this.element.dataset.count = String(items.length);
    this.element.style.setProperty("--people", String(items.length - 1));
    this.element.classList.toggle("with-screen", Boolean(sharer));
    this.element.classList.toggle("pair", !sharer && items.length === 2);
    keyedList(this.element, items, ({ key }) => key, (item) => {
      const tile = new Tile(item, call, this.#onBlocked);
      this.#tiles.set(tile.element, tile);
      return { element: tile.element, render: () => tile.render(call) };
    });
    for (const [element, tile] of this.#tiles) {
      if (!element.isConnected) {
        tile.stop();
        this.#tiles.delete(element);
      }
    }
  }

  /** Plays the sound that the browser has blocked, after a click. */
  play() {
    this.#tiles.forEach((tile) => tile.play());
  }

  useChosenSpeaker() {
    this.#tiles.forEach((tile) => tile.useChosenSpeaker());
  }

  stop() {
    this.#tiles.forEach((tile) => tile.stop());
  }
}

/**
 * @param {Call} call
 * @param {CallState} state
 * @returns {TileItem[]}
 */
function tilesOf({ me, peers }, state) {
  const others = new Set([...acceptedNames(state), ...peers.keys()]);
  others.delete(me);
  /** @type {TileItem[]} */
  const tiles = [...others].map((name) => ({ key: name, name, kind: "peer" }));
  for (const name of pendingNames(state)) {
    tiles.push({ key: `invited ${name}`, name, kind: "invited" });
  }
  tiles.push({ key: me, name: me, kind: "self" });
  const sharer = state.screenshare_user;
  if (sharer) {
    tiles.unshift({ key: `screen ${sharer}`, name: sharer, kind: "screen" });
  }
  return tiles;
}

/**
 * What a call waits for, as a sentence.
 * @param {CallState} state
 * @param {Names} names
 */
export function statusOf(state, names) {
  const count = acceptedNames(state).length;
  const ringing = names.listed(pendingNames(state));
  if (state.state === "ringing" || count < 2) {
    return ringing ? `Ringing ${ringing}…` : "Waiting for others…";
  }
  return ringing ? `${count} people, ringing ${ringing}` : `${count} people`;
}

/**
 * The text of the button that mutes.
 * @param {Media} media
 */
export function muteText({ muted, tracks }) {
  if (!tracks.microphone) {
    return "No microphone";
  }
  return muted ? "Unmute" : "Mute";
}
