// @ts-check
// The page `/`: signing in and out, routing, and wiring of server events, controllers and views.

import { Refused, get, messageOf, post, whenSignedOut } from "./api.js";
import { CallController } from "./call_controller.js";
import { byId, notify, setText } from "./dom.js";
import { Events } from "./events.js";
import { Overlay } from "./overlay.js";
import { ShareController } from "./share_controller.js";
import { Store, isLive } from "./store.js";
import { showAccount } from "./views/account.js";
import { chooseDevices } from "./views/devices.js";
import { Lobby } from "./views/lobby.js";
import { Ringing } from "./views/ringing.js";
import { signInForm } from "./views/signin.js";

/** @import { CallState, Me, ServerEvent } from "./types.js" */

/** Milliseconds between attempts to load the page's first data. */
const RETRY_INTERVAL = 1_500;

/**
 * What the address's fragment names.
 * @param {string} hash
 * @returns {string | null} null for nothing, or for what is no encoded name
 */
export function selectionOf(hash) {
  try {
    return decodeURIComponent(hash.slice(1)) || null;
  } catch {
    return null;
  }
}

/**
 * Reports a failure in a toast.
 * @param {Promise<unknown>} action
 */
const reportFailure = (action) => action.catch((error) => notify(messageOf(error), { urgent: true }));

export class Page {
  #app = byId("app");
  #banner = byId("banner");
  #store = new Store();
  #overlay;
  #calls;
  #shares;
  #events = new Events((event) => this.#onEvent(event), (connected) => this.#onConnection(connected));
  /** @type {Lobby} */
  #lobby;
  #ringing;
  /** @type {ReturnType<typeof setTimeout> | null} */
  #renderTimer = null;

  constructor() {
    this.#overlay = new Overlay(this.#app, () => this.#lobby.pane);
    this.#calls = new CallController(this.#store, this.#overlay);
    this.#shares = new ShareController(this.#store, this.#overlay);
    this.#lobby = new Lobby(this.#store, {
      call: (channel, video) => this.#calls.start(channel, video),
      join: (id, video) => this.#calls.join(id, video),
      leaveElsewhere: (id) => reportFailure(post(`/calls/${id}/leave`)),
      share: (channel) => this.#shares.share(channel),
      watch: (id) => this.#shares.watch(id),
      stopShare: (id) => this.#shares.stop(id),
      isBusy: () => this.#calls.isBusy,
      isHere: (id) => this.#calls.isHere(id),
      viewerCount: (id) => this.#shares.viewerCount(id),
      signOut: () => this.#signOut(),
      showAccount: () => showAccount(this.#store, (passwords) => this.#changePassword(passwords)),
      chooseDevices: () => chooseDevices((kind) => this.#calls.deviceChanged(kind)),
      askForNotifications: () => this.#askForNotifications(),
    });
    this.#ringing = new Ringing(this.#store, {
      answer: (id, video) => this.#calls.join(id, video),
      decline: (id) => this.#decline(id),
    });
  }

  start() {
    this.#store.on("change", () => this.#scheduleRender());
    this.#calls.on("change", () => this.#onPresence());
    this.#calls.on("missedEvents", () => this.#events.reconnect());
    this.#shares.on("change", () => this.#onPresence());
    setInterval(() => this.#store.calls.size > 0 && this.#scheduleRender(), 1000);
    whenSignedOut(() => this.#onSessionEnd());
    addEventListener("hashchange", () => this.#onNavigation());
    document.addEventListener("visibilitychange", () => this.#onVisibility());
    return this.#load();
  }

  // ---- signing in and out

  async #load() {
    try {
      this.#store.load(await get("/me"));
    } catch (error) {
      if (error instanceof Refused && error.status === 401) {
        this.#showSignIn();
      } else {
        this.#showBanner("Cannot reach the server. Retrying…");
        setTimeout(() => this.#load(), RETRY_INTERVAL);
      }
      return;
    }
    this.#showBanner("");
    this.#app.replaceChildren(this.#lobby.element);
    this.#route();
    this.#refreshMissed();
    this.#calls.rejoin();
    this.#events.open();
  }

  #showSignIn(reason = "") {
    this.#events.close();
    this.#showBanner("");
    this.#app.replaceChildren(signInForm(() => this.#load(), reason));
    byId("username").focus();
  }

  /** The server answered that the session is over. */
  #onSessionEnd() {
    if (this.#store.me !== null) {
      this.#calls.leave();
      this.#store.clear();
      this.#showSignIn("You have been signed out. Please sign in again.");
    }
  }

  async #signOut() {
    await this.#calls.leave();
    await this.#shares.stopOwn();
    this.#events.close();
    await reportFailure(post("/logout"));
    this.#store.clear();
    location.hash = "";
    this.#showSignIn();
  }

  /**
   * All sessions end, and the answer begins another. The stream of the one before closes first: without the new cookie,
   * its next attempt would show the sign-in form.
   * @param {{ old: string, new: string }} passwords
   */
  async #changePassword(passwords) {
    this.#events.close();
    try {
      await post("/password", passwords);
    } finally {
      if (this.#store.me !== null) {
        this.#onPresence();
        this.#events.open();
      }
    }
  }

  // ---- what the server sends

  /** @param {ServerEvent} event */
  #onEvent(event) {
    if (event.name === "signal") {
      this.#calls.onSignal(event.data);
      this.#shares.onSignal(event.data);
      return;
    }
    const { calls, channels } = this.#store;
    // The server lists a direct-message channel once a call in it is answered.
    const mayBeListed =
      event.name === "call" &&
      !channels.has(event.data.channel) &&
      calls.get(event.data.call_id)?.state !== event.data.state;
    this.#store.applyEvent(event);
    if (event.name === "snapshot") {
      this.#calls.refresh();
      this.#shares.refresh();
      this.#shares.keepOnly(this.#store.shares);
    } else if (event.name === "call") {
      this.#onCall(event.data);
    } else if (event.name === "share") {
      this.#shares.onState(event.data);
    }
    if (mayBeListed) {
      this.#refreshDirectory();
    }
  }

  /** The window has entered or left a call, or its screen share has started or ended. */
  #onPresence() {
    this.#events.name({ call: this.#calls.callId, share: this.#shares.ownId });
    this.#scheduleRender();
  }

  /** @param {CallState} call */
  #onCall(call) {
    this.#calls.onState(call);
    if (!isLive(call)) {
      this.#lobby.reloadHistory();
      this.#refreshMissed();
    }
  }

  /** @param {boolean} connected */
  #onConnection(connected) {
    this.#store.online = connected;
    this.#calls.setOnline(connected);
    this.#showBanner(connected ? "" : "Reconnecting…");
    if (connected) {
      this.#refreshDirectory();
      this.#refreshMissed();
      this.#shares.refresh();
    }
    this.#store.changed();
  }

  /** Channels and people have no events. */
  async #refreshDirectory() {
    /** @type {Me | null} */
    const me = await get("/me").catch(() => null);
    if (me && this.#store.me !== null) {
      this.#store.setDirectory(me);
    }
  }

  async #refreshMissed() {
    this.#store.missed = await get("/calls/missed").catch(() => this.#store.missed);
    if (this.#lobby.showsHistory && this.#store.missed.some(({ seen }) => !seen)) {
      await post("/calls/missed/seen", { up_to: this.#store.missed[0].missed_ts }).catch(() => {});
      this.#store.missed = this.#store.missed.map((call) => ({ ...call, seen: true }));
    }
    this.#store.changed();
  }

  // ---- rendering and routing

  /** @param {string} sentence */
  #showBanner(sentence) {
    setText(this.#banner, sentence);
    this.#banner.hidden = sentence === "";
  }

  /** Renders once for all changes of the same moment. */
  #scheduleRender() {
    this.#renderTimer ??= setTimeout(() => {
      this.#renderTimer = null;
      this.#render();
    });
  }

  #render() {
    const { me, online, incoming } = this.#store;
    if (me !== null) {
      this.#lobby.render();
    }
    const ringing = [...incoming.values()].filter((call) => !this.#calls.isEntered(call));
    this.#ringing.render(me !== null && online ? ringing : [], this.#calls.isOnCall);
  }

  #route() {
    this.#lobby.select(selectionOf(location.hash));
    if (this.#lobby.showsHistory) {
      this.#refreshMissed();
    }
  }

  #onNavigation() {
    if (this.#store.me !== null) {
      this.#route();
      if (!this.#lobby.isEmpty) {
        this.#lobby.pane.focus();
      }
    }
  }

  #onVisibility() {
    if (document.visibilityState === "visible" && this.#store.online) {
      this.#refreshDirectory();
    }
  }

  // ---- actions

  /** @param {string} id */
  async #decline(id) {
    this.#store.incoming.delete(id);
    this.#scheduleRender();
    await reportFailure(post(`/calls/${id}/reject`));
  }

  async #askForNotifications() {
    await Notification.requestPermission();
    this.#scheduleRender();
  }
}
