// @ts-check
// The page `/relay`: calls and screen shares without WebRTC. Media is recorded here, uploaded to the server, and played
// by the others a second or two later.

import { Refused, get, messageOf, post, retryWhileOffline, whenSignedOut, within } from "../api.js";
import { depart } from "../departure.js";
import { isDismissal } from "../devices.js";
import { byId, h, notify, setText } from "../dom.js";
import { accept, initiate, liveCallOf } from "../entering.js";
import { Events } from "../events.js";
import { Store, busySentence } from "../store.js";
import { signInForm } from "../views/signin.js";
import { CallScreen } from "./call_screen.js";
import { Places } from "./places.js";
import { OwnShareScreen, ViewedShareScreen, openScreenStream } from "./share_screens.js";

/** @import { Entrance } from "../entering.js" */
/** @import { CallState, ShareState } from "../types.js" */

/** Milliseconds between attempts to load the page's first data. */
const RETRY_INTERVAL = 1_500;

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
  #store = new Store();
  #events = new Events((event) => this.#store.applyEvent(event), (connected) => this.#onConnection(connected));
  /** @type {Screen | null} */
  #screen = null;

  start() {
    whenSignedOut(() => this.#showSignIn());
    return this.#load();
  }

  async #load() {
    try {
      this.#store.load(await get("/me"));
    } catch (error) {
      if (!(error instanceof Refused)) {
        this.#showBanner("Cannot reach the server. Retrying…");
        setTimeout(() => this.#load(), RETRY_INTERVAL);
      }
      return; // a 401 has shown the sign-in form
    }
    this.#showBanner("");
    this.#events.open();
    this.#showPlaces();
  }

  #showSignIn() {
    this.#screen?.stop();
    this.#screen = null;
    this.#events.close();
    this.#store.clear();
    this.#app.replaceChildren(signInForm(() => this.#load()));
  }

  /** @param {boolean} connected */
  async #onConnection(connected) {
    this.#store.online = connected;
    this.#showBanner(connected ? "" : "Reconnecting…");
    if (connected) {
      this.#screen?.reconnected?.();
    }
    const me = connected ? await get("/me").catch(() => null) : null;
    if (me && this.#store.me !== null) {
      this.#store.setDirectory(me);
    }
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
    this.#events.name(names);
    this.#screen?.stop();
    this.#screen = screen;
    const title = h("h1", { class: "grow" }, "Calls by relay");
    const link = h("a", { href: "/", class: "button plain" }, "Back to calls");
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
    return { me: this.#store.me ?? "", channel, isWanted: () => true };
  }

  /** @param {Entrance} entrance */
  #showCall({ id, joinedTs, busy = [] }) {
    const me = this.#store.me ?? "";
    if (busy.length > 0) {
      notify(busySentence(busy));
    }
    const screen = new CallScreen(this.#store, id);
    screen.on("end", (reason) => this.#leaveScreen(reason));
    screen.on("leave", () => {
      this.#showPlaces();
      depart({ id, me, joinedTs }, "leave");
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
