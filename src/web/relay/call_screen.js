// @ts-check
// A call on the relay. It follows the call's state by long polling (`?wait=`), which also proves presence on the call.

import { ServerGone, get, messageOf, pause } from "../api.js";
import { openCamera, openMicrophone } from "../client/devices.js";
import { Emitter } from "../client/emitter.js";
import { acceptedNames, endSentence, isLive, stateOf } from "../client/store.js";
import { button, h, keyedList, setText } from "../dom.js";
import { listed } from "../names.js";
import { PlayerFigure, SendControl } from "./controls.js";

/** @import { Store } from "../client/store.js" */
/** @import { CallState } from "../client/types.js" */

/** Seconds that the server waits for a change before it answers. */
const WAIT = 25;
const RETRY_INTERVAL = 1_000;

/** @extends {Emitter<{ end: string, leave: void }>} */
export class CallScreen extends Emitter {
  #store;
  #id;
  #isStopped = false;
  /** @type {Map<string, PlayerFigure>} */
  #figures = new Map();
  #players = h("div", { class: "players", id: "players" });
  #status = h("p", { class: "quiet grow", role: "status" }, "Connecting…");
  #sending;

  /**
   * @param {Store} store
   * @param {string} id
   */
  constructor(store, id) {
    super();
    this.#store = store;
    this.#id = id;
    this.#sending = new SendControl(`/calls/${id}/media`, openCameraAndMicrophone);
    const properties = { icon: "hangup", text: "Leave", class: "danger", id: "leave" };
    const leave = button({ ...properties, onclick: () => this.emit("leave") });
    this.element = h(
      "div",
      {},
      h("div", { class: "row" }, this.#status, this.#sending.button, leave),
      this.#sending.amount,
      this.#players,
      h("div", { class: "players preview" }, this.#sending.preview),
    );
    this.#follow();
  }

  reconnected() {
    this.#sending.reconnected();
  }

  stop() {
    this.#isStopped = true;
    this.#sending.stop();
    this.#figures.forEach(({ player }) => player.stop());
  }

  async #follow() {
    /** @type {number | null} */
    let version = null;
    while (!this.#isStopped) {
      const query = version === null ? "" : `?wait=${WAIT}&seen=${version}`;
      try {
        /** @type {CallState} */
        const state = await get(`/calls/${this.#id}/state${query}`, { timeout: (WAIT + 10) * 1000 });
        version = state.version;
        this.#update(state);
      } catch (error) {
        if (!(error instanceof ServerGone)) {
          this.#end(messageOf(error));
          return;
        }
        await pause(RETRY_INTERVAL);
      }
    }
  }

  /** @param {CallState} state */
  #update(state) {
    const { me } = this.#store;
    if (!isLive(state)) {
      this.#end(endSentence(state, this.#store.names));
    } else if (stateOf(state, me) !== "accepted") {
      this.#end("You are no longer on this call.");
    } else if (!this.#isStopped) {
      this.#render(state, acceptedNames(state).filter((name) => name !== me));
    }
  }

  /** @param {string} reason */
  #end(reason) {
    if (!this.#isStopped) {
      this.stop();
      this.emit("end", reason);
    }
  }

  /**
   * @param {CallState} state
   * @param {string[]} others
   */
  #render(state, others) {
    setText(this.#status, statusOf(state, others));
    for (const [name, { player }] of this.#figures) {
      if (!others.includes(name)) {
        player.stop();
        this.#figures.delete(name);
      }
    }
    keyedList(this.#players, others, (name) => name, (name) => {
      const figure = new PlayerFigure(name, `/calls/${this.#id}/media?sender=${encodeURIComponent(name)}&`);
      this.#figures.set(name, figure);
      return { element: figure.element };
    });
  }
}

/**
 * @param {CallState} state
 * @param {string[]} others
 */
function statusOf(state, others) {
  if (state.state === "ringing") {
    return "Ringing…";
  }
  return others.length > 0 ? `With ${listed(others)}` : "Waiting for others…";
}

/** Opens the camera and the microphone, or the one that works. */
async function openCameraAndMicrophone() {
  const opened = await Promise.allSettled([openMicrophone(), openCamera()]);
  const tracks = opened.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  if (tracks.length === 0) {
    throw opened[0].status === "rejected" && opened[0].reason;
  }
  return new MediaStream(tracks);
}
