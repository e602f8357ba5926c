// @ts-check
// What can be done with a tile: pin it, show it on the whole screen or in a window of its size, and set how loud it is.

import { button, h, notify, setText, showDialog } from "../dom.js";

/** @import { Tile } from "../client/tile.js" */
/** @import { Tiles } from "../client/tiles.js" */

/**
 * @param {Tile} tile
 * @param {Tiles} tiles
 */
export function showTileMenu(tile, tiles) {
  /** Closes the dialog first: an element on the whole screen would cover it. @param {() => unknown} action */
  const closing = (action) => async () => {
    dialog.close();
    try {
      await action();
    } catch {
      notify("The browser does not allow it now.", { urgent: true });
    }
  };
  const { picture } = tile;
  const hasVideo = !picture.hidden;
  const isFull = document.fullscreenElement === tile.element;
  const isFloating = document.pictureInPictureElement === picture;
  const pin = button({ icon: "pin", text: tile.isPinned ? "Unpin" : "Pin", class: "wide", "data-action": "menu-pin",
    onclick: closing(() => tile.togglePin()) });
  const full = button({ icon: "expand", text: isFull ? "Exit fullscreen" : "Fullscreen", class: "wide",
    "data-action": "tile-fullscreen",
    onclick: closing(() => (isFull ? document.exitFullscreen() : tile.element.requestFullscreen())) });
  const float = button({ icon: "shrink", text: isFloating ? "Exit picture in picture" : "Picture in picture",
    class: "wide", "data-action": "picture-in-picture",
    onclick: closing(() => (isFloating ? document.exitPictureInPicture() : picture.requestPictureInPicture())) });
  const dialog = showDialog({
    id: "tile-menu",
    title: tile.label,
    body: [
      h("div", { class: "stack" }, pin, document.fullscreenEnabled && full,
        document.pictureInPictureEnabled && hasVideo && float),
      ...(tile.hasSound ? volume(tile, tiles) : []),
    ],
  });
}

/**
 * @param {Tile} tile
 * @param {Tiles} tiles
 */
function volume(tile, tiles) {
  const { level, muted } = tile.volume;
  const slider = h("input", { type: "range", id: "tile-volume", min: "0", max: "100", step: "5",
    value: String(Math.round(level * 100)) });
  const mute = h("input", { type: "checkbox", id: "tile-mute", checked: muted });
  const percent = h("output", { for: "tile-volume" });
  const apply = () => {
    setText(percent, `${slider.value} %`);
    tiles.setVolume(tile, { level: Number(slider.value) / 100, muted: mute.checked });
  };
  slider.oninput = mute.onchange = apply;
  apply();
  return [
    h("div", { class: "field" }, h("label", { for: "tile-volume" }, "Volume for me, during this call"),
      h("div", { class: "volume" }, slider, percent)),
    h("div", { class: "check" }, mute, h("label", { for: "tile-mute" }, "Mute for me")),
  ];
}
