// @ts-check
// The page `/`: signing in and out, routing, and wiring of the client library, controllers and views.

import { calls, messageOf, post } from "./api.js";
import { Badge } from "./badge.js";
import { CallController } from "./call_controller.js";
import { isLive } from "./client/store.js";
import { byId, notify, setText } from "./dom.js";
import { linkOf } from "./join_page.js";
import { shown } from "./names.js";
import { Overlay } from "./overlay.js";
import { ShareController } from "./share_controller.js";
import { showAccount } from "./views/account.js";
import { chooseDevices } from "./views/devices.js";
import { showLink } from "./views/link.js";
import { Lobby } from "./views/lobby.js";
import { Ringing } from "./views/ringing.js";
import { signInForm } from "./views/signin.js";

/** @import { ConnectionState } from "./client/calls.js" */

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
  #store = calls.store;
  #overlay;
  #calls;
  #shares;
  /** @type {Lobby} */
  #lobby;
  #ringing;
  #badge = new Badge();
  /** @type {ReturnType<typeof setTimeout> | null} */
  #renderTimer = null;
  /** Whether the sign-in form follows a session. */
  #hasSignedIn = false;
  #isSigningOut = false;

  constructor() {
    this.#overlay = new Overlay(this.#app, () => this.#lobby.pane);
    this.#calls = new CallController(this.#store, this.#overlay);
    this.#shares = new ShareController(this.#store, this.#overlay);
    this.#lobby = new Lobby(this.#store, {
      call: (channel, video) => this.#calls.start(channel, video),
      join: (id, video) => this.#calls.join(id, video),
      leaveElsewhere: (id) => reportFailure(post(`/calls/${id}/leave`)),
      share: (channel) => this.#shares.share(channel),
      showLink: (channel) => reportFailure(showLink(channel)),
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
      decline: (id) => reportFailure(calls.decline(id)),
    });
  }

  start() {
    calls.on("change", () => this.#scheduleRender());
    calls.on("state", (state) => this.#onState(state));
    calls.on("signed-in", () => this.#showLobby());
    calls.on("call", (call) => isLive(call) || this.#lobby.reloadHistory());
    calls.on("missed", () => this.#markMissedSeen());
    this.#calls.on("change", () => this.#scheduleRender());
    this.#shares.on("change", () => this.#scheduleRender());
    setInterval(() => this.#store.calls.size > 0 && this.#scheduleRender(), 1000);
    addEventListener("hashchange", () => this.#onNavigation());
    calls.open();
  }

  // ---- signing in and out

  /** @param {ConnectionState} state */
  #onState(state) {
    if (state === "signed-out") {
      this.#calls.stop();
      this.#showSignIn();
    }
    const retrying = calls.me === null ? "Cannot reach the server. Retrying…" : "Reconnecting…";
    this.#showBanner(state === "reconnecting" ? retrying : "");
  }

  #showLobby() {
    this.#showBanner("");
    this.#app.replaceChildren(this.#lobby.element);
    this.#hasSignedIn = true;
    this.#route();
    this.#calls.rejoin();
  }

  #showSignIn() {
    const isOver = this.#hasSignedIn && !this.#isSigningOut;
    const reason = isOver ? "You have been signed out. Please sign in again." : "";
    this.#app.replaceChildren(signInForm(() => calls.open(), reason));
    byId("username").focus();
  }

  async #signOut() {
    this.#isSigningOut = true;
    this.#calls.stop();
    location.hash = "";
    await reportFailure(calls.signOut());
    this.#isSigningOut = false;
  }

  /**
   * All sessions end, and the answer begins another.
   * @param {{ old: string, new: string }} passwords
   */
  async #changePassword(passwords) {
    await calls.renewSession(() => post("/password", passwords));
  }

  #markMissedSeen() {
    if (this.#lobby.showsHistory) {
      calls.markMissedSeen().catch(() => {});
    }
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
    const { me, online, incoming, missed } = this.#store;
    if (me !== null) {
      this.#lobby.render();
    }
    const canRing = me !== null && online;
    const ringing = canRing ? [...incoming.values()].filter((call) => !this.#calls.isEntered(call)) : [];
    this.#ringing.render(ringing, this.#calls.isOnCall);
    this.#badge.render(ringing.length > 0 ? shown(ringing[0].initiator) : null, missed.filter(({ seen }) => !seen).length);
  }

  #route() {
    this.#lobby.select(selectionOf(location.hash));
    this.#markMissedSeen();
  }

  #onNavigation() {
    if (linkOf(location.hash) !== null) {
      location.reload(); // a guest has a client of their own
      return;
    }
    if (this.#store.me !== null) {
      this.#route();
      if (!this.#lobby.isEmpty) {
        this.#lobby.pane.focus();
      }
    }
  }

  async #askForNotifications() {
    await Notification.requestPermission();
    this.#scheduleRender();
  }
}
