// @ts-check
// The tiles of a call, and the texts beside them.

import { h, keyedList } from "./dom.js";
import { arrange, nextSpeaker, stageOf } from "./layout.js";
import { acceptedNames, pendingNames } from "./store.js";
import { Tile } from "./tile.js";

/** @import { Call } from "./call.js" */
/** @import { LayoutChoice } from "./layout.js" */
/** @import { Names } from "./names.js" */
/** @import { TileItem } from "./tile.js" */
/** @import { CallState } from "./types.js" */

/**
 * @typedef {object} TilesOptions
 * @property {() => void} onBlocked the browser wants a click before it plays sound
 * @property {(tile: Tile) => void} [showMenu] shows what can be done with a tile; without it, tiles have no buttons
 */

/** How loud somebody is for me, for the time of the call. @typedef {{ level: number, muted: boolean }} Volume */

/** A tile for each person on the call and for a shared screen, in a layout that fits the area. */
export class Tiles {
  #options;
  /** By key. @type {Map<string, Tile>} */
  #tiles = new Map();
  /** @type {TileItem[]} */
  #items = [];
  /** By key. @type {Map<string, Volume>} */
  #volumes = new Map();
  /** @type {string | null} */
  #pinned = null;
  /** @type {string | null} */
  #speaker = null;
  /** @type {LayoutChoice} */
  #layout = "grid";
  #observer;

  element = h("div", { class: "tiles", id: "tiles" });

  /** @param {TilesOptions} options */
  constructor(options) {
    this.#options = options;
    // Without it, a test has no page.
    this.#observer = globalThis.ResizeObserver && new ResizeObserver(() => this.#arrange());
    this.#observer?.observe(this.element);
  }

  get layout() {
    return this.#layout;
  }

  /** @param {LayoutChoice} layout */
  setLayout(layout) {
    this.#layout = layout;
    this.#arrange();
  }

  /**
   * Keeps a tile large, or with null none.
   * @param {string | null} key
   */
  pin(key) {
    this.#pinned = key;
    this.#tiles.forEach((tile) => (tile.isPinned = tile.key === key));
    this.#arrange();
  }

  /**
   * @param {Call} call
   * @param {CallState} state
   */
  render(call, state) {
    this.#items = tilesOf(call, state);
    this.#speaker = nextSpeaker(this.#speaker, call.speakers, call.me);
    keyedList(this.element, this.#items, ({ key }) => key, (item) => {
      const tile = this.#createTile(item, call);
      return { element: tile.element, render: () => tile.render(call) };
    });
    const keys = new Set(this.#items.map(({ key }) => key));
    for (const [key, tile] of this.#tiles) {
      if (!keys.has(key)) {
        tile.stop();
        this.#tiles.delete(key);
        this.#pinned = this.#pinned === key ? null : this.#pinned;
      }
    }
    this.#arrange();
  }

  /**
   * @param {TileItem} item
   * @param {Call} call
   */
  #createTile(item, call) {
    const { showMenu, onBlocked } = this.#options;
    const tile = new Tile(item, call, {
      onBlocked,
      ...(showMenu && { showMenu, togglePin: () => this.pin(this.#pinned === item.key ? null : item.key) }),
    });
    this.#tiles.get(item.key)?.stop();
    this.#tiles.set(item.key, tile);
    const volume = this.#volumes.get(item.key);
    if (volume) {
      tile.volume = volume;
    }
    return tile;
  }

  /** Positions the tiles. */
  #arrange() {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (width === 0 || height === 0) {
      return;
    }
    const choice = { pinned: this.#pinned, layout: this.#layout, speaker: this.#speaker };
    const stage = stageOf(this.#items, choice);
    const { rects, mode } = arrange({ items: this.#items, stage, width, height });
    Object.assign(this.element.dataset, { count: this.#items.length, layout: mode });
    this.#items.forEach(({ key }, index) => this.#tiles.get(key)?.place(rects[index], key === stage));
  }

  /**
   * Shows a reaction of a person for some seconds.
   * @param {string} name
   * @param {string} reaction
   */
  showReaction(name, reaction) {
    this.#items.filter((item) => item.name === name && item.kind !== "screen").forEach(({ key }) =>
      this.#tiles.get(key)?.showReaction(reaction));
  }

  /**
   * Sets how loud a tile is, for the time of the call.
   * @param {Tile} tile
   * @param {Volume} volume
   */
  setVolume(tile, volume) {
    this.#volumes.set(tile.key, volume);
    tile.volume = volume;
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
 * @param {Pick<Call, "me" | "peers">} call
 * @param {CallState} state
 * @returns {TileItem[]}
 */
export function tilesOf({ me, peers }, state) {
  const others = new Set([...acceptedNames(state), ...peers.keys()]);
  others.delete(me);
  /** @type {TileItem[]} */
  const tiles = [...others].map((name) => ({ key: name, name, kind: "peer" }));
  const [ringing] = pendingNames(state);
  if (tiles.length === 0 && ringing) {
    tiles.push({ key: "calling", name: ringing, kind: "calling" });
  }
  tiles.push({ key: me, name: me, kind: "self" });
  const sharer = state.screenshare_user;
  if (sharer) {
    tiles.unshift({ key: `screen ${sharer}`, name: sharer, kind: "screen" });
  }
  return tiles;
}

/**
 * How many are on the call, or whom it rings for, as a sentence.
 * @param {CallState} state
 * @param {Names} names
 */
export function statusOf(state, names) {
  const count = acceptedNames(state).length;
  if (state.state === "active" && count > 1) {
    return `${count} people`;
  }
  const ringing = names.listed(pendingNames(state));
  return ringing ? `Ringing ${ringing}…` : "Waiting for others…";
}
