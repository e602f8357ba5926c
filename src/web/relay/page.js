// @ts-check
// The page `/relay`: calls and screen shares without WebRTC. Media is recorded here, uploaded to the server, and played
// by the others a second or two later.

import { calls, messageOf, post, retryWhileOffline, within } from "../api.js";
import { depart } from "../client/departure.js";
import { isDismissal } from "../client/devices.js";
import { accept, initiate, liveCallOf } from "../client/entering.js";
import { busySentence } from "../client/store.js";
import { byId, h, notify, setText } from "../dom.js";
import { signInForm } from "../views/signin.js";
import { CallScreen } from "./call_screen.js";
import { Places } from "./places.js";
import { OwnShareScreen, ViewedShareScreen, openScreenStream } from "./share_screens.js";

/** @import { ConnectionState } from "../client/calls.js" */
/** @import { Entrance } from "../client/entering.js" */
/** @import { CallState, ShareState } from "../client/types.js" */

/** How long, in milliseconds, starting and stopping a share are retried while the server is gone. */
const START_MAX = 10_000;
const STOP_MAX = 60_000;

/**
 * What the page shows: the places, a call, or a share.
 * @typedef {object} Screen
 * @property {HTMLElement} element
 * @property {() => void} stop
 * @property {() => void} [reconnected] the event stream is open again
 */

export class RelayPage {
  #app = byId("app");
  #banner = byId("banner");
  #store = calls.store;
  /** @type {Screen | null} */
  #screen = null;

  start() {
    calls.on("signed-in", () => this.#showPlaces());
    calls.on("state", (state) => this.#onState(state));
    calls.open();
  }

  /** @param {ConnectionState} state */
  #onState(state) {
    if (state === "signed-out") {
      this.#screen?.stop();
      this.#screen = null;
      calls.provePresence({});
      this.#app.replaceChildren(signInForm(() => calls.open()));
    } else if (state === "open") {
      this.#screen?.reconnected?.();
    }
    const retrying = calls.me === null ? "Cannot reach the server. Retrying…" : "Reconnecting…";
    this.#showBanner(state === "reconnecting" ? retrying : "");
  }

  /** @param {string} sentence */
  #showBanner(sentence) {
    setText(this.#banner, sentence);
    this.#banner.hidden = sentence === "";
  }

  /**
   * @param {Screen} screen
   * @param {{ call?: string, share?: string }} [names] the call that it is on, or the share that it sends
   */
  #show(screen, names = {}) {
    calls.provePresence(names);
    this.#screen?.stop();
    this.#screen = screen;
    const title = h("h1", { class: "grow" }, "Calls by relay");
    const link = h("a", { href: "./", class: "button plain" }, "Back to calls");
    const header = h("header", {}, title, link);
    this.#app.replaceChildren(h("main", { class: "relay", "data-view": "relay" }, header, screen.element));
  }

  #showPlaces() {
    this.#show(
      new Places(this.#store, {
        call: (channel) => this.#startCall(channel),
        join: (call) => this.#joinCall(call),
        share: (channel) => this.#startShare(channel),
        watch: (share) => this.#watch(share),
      }),
    );
  }

  /**
   * Returns to the places.
   * @param {string} [reason]
   */
  #leaveScreen(reason) {
    if (reason) {
      notify(reason);
    }
    this.#showPlaces();
  }

  // ---- calls

  /** @param {string} channel */
  async #startCall(channel) {
    const entrance = await reportFailure(this.#callOrJoin(channel));
    if (entrance) {
      this.#showCall(entrance);
    }
  }

  /**
   * Calls a channel, or joins its live call.
   * @param {string} channel
   */
  async #callOrJoin(channel) {
    const step = this.#step(channel);
    try {
      return await initiate(step);
    } catch (error) {
      const id = liveCallOf(error);
      if (!id) {
        throw error;
      }
      return accept({ ...step, id });
    }
  }

  /** @param {CallState} call */
  async #joinCall({ call_id: id, channel, participants }) {
    const me = this.#store.me;
    const wasAccepted = participants.some(({ username, state }) => username === me && state === "accepted");
    const entrance = await reportFailure(accept({ ...this.#step(channel), id, wasAccepted }));
    if (entrance) {
      this.#showCall(entrance);
    }
  }

  /** @param {string} channel */
  #step(channel) {
    return { client: calls, me: this.#store.me ?? "", channel, isWanted: () => true };
  }

  /** @param {Entrance} entrance */
  #showCall({ id, joinedTs, busy = [] }) {
    const me = this.#store.me ?? "";
    if (busy.length > 0) {
      notify(busySentence(busy, this.#store.names));
    }
    const screen = new CallScreen(this.#store, id);
    screen.on("end", (reason) => this.#leaveScreen(reason));
    screen.on("leave", () => {
      this.#showPlaces();
      depart({ client: calls, id, me, joinedTs }, "leave");
    });
    this.#show(screen, { call: id });
  }

  // ---- screen shares

  /** @param {string} channel */
  async #startShare(channel) {
    const stream = await reportFailure(openScreenStream());
    if (!stream) {
      return;
    }
    const start = () => post("/screenshare/start", { channel });
    const started = await reportFailure(retryWhileOffline(start, within(START_MAX)));
    if (!started) {
      stream.getTracks().forEach((track) => track.stop());
      return;
    }
    const { share_id: id } = started;
    const screen = new OwnShareScreen(id, this.#store.title(channel), stream);
    screen.on("stop", () => this.#stopShare(id));
    this.#show(screen, { share: id });
  }

  /** @param {ShareState} share */
  #watch(share) {
    const screen = new ViewedShareScreen(share);
    screen.on("end", (reason) => this.#leaveScreen(reason));
    this.#show(screen);
  }

  /** @param {string} id */
  async #stopShare(id) {
    this.#showPlaces();
    await retryWhileOffline(() => post(`/screenshare/${id}/stop`), within(STOP_MAX)).catch(() => {});
  }
}

/**
 * Reports a failure in a toast.
 * @template T
 * @param {Promise<T>} action
 * @returns {Promise<T | undefined>}
 */
async function reportFailure(action) {
  try {
    return await action;
  } catch (error) {
    if (!isDismissal(error)) {
      notify(messageOf(error), { urgent: true });
    }
    return undefined;
  }
}
