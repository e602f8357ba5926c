// @ts-check
// Where the tiles of a call are, in an area of any size: a grid, one large tile with the others in a strip, or two people
// with one of them in a corner. Nothing here touches the page.

/** @import { TileItem } from "./tile.js" */

/**
 * @typedef {object} Rect in pixels
 * @property {number} left
 * @property {number} top
 * @property {number} width
 * @property {number} height
 */

/** @typedef {"grid" | "speaker"} LayoutChoice */

/**
 * The widths of a tile for one of height 1: a face is not cut to a strip.
 * @typedef {{ min: number, max: number }} Aspect
 */

/** Pixels between tiles. */
const GAP = 8;

/** @type {Aspect} */
const GRID_ASPECT = { min: 3 / 4, max: 16 / 9 };

/** A tile that has the area to itself may also be as tall as a phone's picture. @type {Aspect} */
const LARGE_ASPECT = { min: 9 / 16, max: 16 / 9 };

/** Tiles below the minimum would show nothing: they get this width instead, and the area scrolls. */
const TILE_MIN = 46;
const TILE_WIDTH = 80;

/**
 * The key of the tile that is large, or null.
 * @param {TileItem[]} items
 * @param {{ pinned: string | null, layout: LayoutChoice, speaker: string | null }} choice
 */
export function stageOf(items, { pinned, layout, speaker }) {
  if (items.length < 2) {
    return null;
  }
  const others = items.filter(({ kind }) => kind === "peer");
  const chosen =
    items.find(({ key }) => key === pinned) ??
    items.find(({ kind }) => kind === "screen") ??
    (layout === "speaker" && items.length > 2 ? (others.find(({ name }) => name === speaker) ?? others[0]) : null);
  return chosen?.key ?? null;
}

/**
 * Who speaks, to be shown large: one of the others, who stays until another one speaks alone.
 * @param {string | null} current
 * @param {Set<string>} speakers
 * @param {string} me
 */
export function nextSpeaker(current, speakers, me) {
  if (current !== null && speakers.has(current)) {
    return current;
  }
  return [...speakers].find((name) => name !== me) ?? current;
}

/**
 * A rectangle for each tile.
 * @param {object} options
 * @param {TileItem[]} options.items
 * @param {string | null} options.stage the key of the large tile
 * @param {number} options.width of the area
 * @param {number} options.height
 * @returns {{ rects: Rect[], mode: "grid" | "stage" | "pair" }}
 */
export function arrange({ items, stage, width, height }) {
  const area = { left: 0, top: 0, width: Math.max(width, TILE_WIDTH), height: Math.max(height, TILE_WIDTH) };
  if (stage !== null) {
    return { rects: arrangeStage(items, stage, area), mode: "stage" };
  }
  if (items.length === 2) {
    const large = fit(area, LARGE_ASPECT);
    const corner = cornerOf(large);
    return { rects: items.map(({ kind }) => (kind === "self" ? corner : large)), mode: "pair" };
  }
  const aspect = items.length === 1 ? LARGE_ASPECT : GRID_ASPECT;
  return { rects: grid(items.length, area, aspect), mode: "grid" };
}

/**
 * The largest rectangle of an aspect within another one, in its middle.
 * @param {Rect} area
 * @param {Aspect} aspect
 * @returns {Rect}
 */
function fit({ left, top, width, height }, { min, max }) {
  const aspect = Math.min(Math.max(width / height, min), max);
  const fitted = { width: Math.min(width, height * aspect), height: Math.min(height, width / aspect) };
  return { left: left + (width - fitted.width) / 2, top: top + (height - fitted.height) / 2, ...fitted };
}

/**
 * My own picture in the lower right corner.
 * @param {Rect} area
 * @returns {Rect}
 */
function cornerOf({ left, top, width, height }) {
  const isPortrait = width < height;
  const aspect = isPortrait ? 3 / 4 : 16 / 9;
  const wanted = isPortrait ? clamp(width * 0.28, 80, 180) : clamp(width * 0.22, 112, 256);
  const tall = Math.min(wanted / aspect, height * 0.4);
  const wide = tall * aspect;
  return { left: left + width - wide - GAP, top: top + height - tall - GAP, width: wide, height: tall };
}

/**
 * Rows of equal tiles, as large as they can be. The last row is in the middle.
 * @param {number} count
 * @param {Rect} area
 * @param {Aspect} aspect
 * @returns {Rect[]}
 */
function grid(count, area, aspect) {
  const { width, height } = area;
  let best = { columns: 1, tile: { left: 0, top: 0, width: 0, height: 0 } };
  for (let columns = 1; columns <= count; columns += 1) {
    const tile = fit({ left: 0, top: 0, ...cell(area, columns, Math.ceil(count / columns)) }, aspect);
    if (Math.min(tile.width, tile.height) > 0 && tile.width * tile.height > best.tile.width * best.tile.height) {
      best = { columns, tile };
    }
  }
  if (Math.min(best.tile.width, best.tile.height) < TILE_MIN) {
    const columns = Math.max(1, Math.floor((width + GAP) / (TILE_WIDTH + GAP)));
    const wide = (width - GAP * (columns - 1)) / columns;
    best = { columns, tile: { left: 0, top: 0, width: wide, height: wide * 0.75 } };
  }
  const { columns, tile } = best;
  const rows = Math.ceil(count / columns);
  const top = area.top + Math.max(0, (height - rows * (tile.height + GAP) + GAP) / 2);
  return Array.from({ length: count }, (_, index) => {
    const row = Math.floor(index / columns);
    const inRow = row === rows - 1 ? count - row * columns : columns;
    const left = area.left + (width - inRow * (tile.width + GAP) + GAP) / 2;
    return {
      left: left + (index % columns) * (tile.width + GAP),
      top: top + row * (tile.height + GAP),
      width: tile.width,
      height: tile.height,
    };
  });
}

/**
 * @param {Rect} area
 * @param {number} columns
 * @param {number} rows
 */
const cell = ({ width, height }, columns, rows) =>
  ({ width: (width - GAP * (columns - 1)) / columns, height: (height - GAP * (rows - 1)) / rows });

/**
 * One large tile, and the others beside it, or below it in a tall area.
 * @param {TileItem[]} items
 * @param {string} stage
 * @param {Rect} area
 */
function arrangeStage(items, stage, area) {
  const { width, height } = area;
  const isTall = width < height;
  const others = items.length - 1;
  // More people get a wider strip, in which their tiles have two columns or rows.
  const share = others > 8 ? 2 : others > 5 ? 1.5 : 1;
  const strip = isTall
    ? Math.min(clamp(height * 0.2, 72, 160) * share, height * 0.45)
    : Math.min(clamp(width * 0.2, 96, 240) * share, width * 0.4);
  const large = isTall ? { ...area, height: height - strip - GAP } : { ...area, width: width - strip - GAP };
  const rest = isTall
    ? { ...area, top: height - strip, height: strip }
    : { ...area, left: width - strip, width: strip };
  const small = grid(others, rest, GRID_ASPECT);
  return items.map(({ key, kind }) => {
    if (key !== stage) {
      return /** @type {Rect} */ (small.shift());
    }
    return kind === "screen" ? large : fit(large, LARGE_ASPECT);
  });
}

/**
 * @param {number} value
 * @param {number} min
 * @param {number} max
 */
const clamp = (value, min, max) => Math.min(Math.max(value, min), max);
