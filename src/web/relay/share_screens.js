// @ts-check
// Screen shares on the relay: mine, and somebody else's.

import { openScreen } from "../client/devices.js";
import { Emitter } from "../client/emitter.js";
import { button, h } from "../dom.js";
import { shown } from "../names.js";
import { PlayerFigure, SendControl } from "./controls.js";

/** @import { ShareState } from "../client/types.js" */

/** Lets the person choose a screen. */
export async function openScreenStream() {
  const { videoTrack, audioTrack } = await openScreen();
  return new MediaStream(audioTrack ? [videoTrack, audioTrack] : [videoTrack]);
}

/** @extends {Emitter<{ stop: void }>} */
export class OwnShareScreen extends Emitter {
  #sending;

  /**
   * @param {string} id
   * @param {string} title of the channel
   * @param {MediaStream} stream
   */
  constructor(id, title, stream) {
    super();
    this.#sending = new SendControl(`/screenshare/${id}/media`, async () => stream);
    const properties = { icon: "screenOff", text: "Stop sharing", class: "danger", id: "leave" };
    const stop = button({ ...properties, onclick: () => this.emit("stop") });
    this.element = h(
      "div",
      {},
      h("div", { class: "row" }, h("p", { class: "quiet grow" }, `You are sharing your screen with ${title}.`), stop),
      this.#sending.amount,
      h("div", { class: "players preview" }, this.#sending.preview),
    );
    stream.getVideoTracks()[0].addEventListener("ended", () => this.emit("stop"));
    this.#sending.toggle();
  }

  reconnected() {
    this.#sending.reconnected();
  }

  stop() {
    this.#sending.stop();
  }
}

/** @extends {Emitter<{ end: string | undefined }>} */
export class ViewedShareScreen extends Emitter {
  #figure;

  /** @param {ShareState} share */
  constructor({ share_id: id, sharer }) {
    super();
    this.#figure = new PlayerFigure(sharer, `/screenshare/${id}/media?`);
    const close = button({ icon: "close", text: "Close", id: "leave", onclick: () => this.emit("end") });
    this.element = h(
      "div",
      {},
      h("div", { class: "row" }, h("p", { class: "quiet grow" }, `${shown(sharer)}’s screen`), close),
      h("div", { class: "players", id: "players" }, this.#figure.element),
    );
    this.#figure.player.on("end", () => this.emit("end", "The screen share has ended."));
  }

  stop() {
    this.#figure.player.stop();
  }
}
