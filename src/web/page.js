// @ts-check
// The page `/`: signing in and out, routing, and wiring of the client library, controllers and views.

import { calls, get, messageOf, post } from "./api.js";
import { Badge } from "./badge.js";
import { CallController } from "./call_controller.js";
import { isLive } from "./client/store.js";
import { byId, notify, setText } from "./dom.js";
import { linkOf } from "./join_page.js";
import { shown } from "./names.js";
import { Notifications, takeAnswer } from "./notifications.js";
import { Overlay } from "./overlay.js";
import { RecentCalls } from "./recent_calls.js";
import { ShareController } from "./share_controller.js";
import { showAccount } from "./views/account.js";
import { chooseDevices } from "./views/devices.js";
import { showLink } from "./views/link.js";
import { Lobby } from "./views/lobby.js";
import { showNewCall, showNewChannel } from "./views/new_call.js";
import { showQuiet } from "./views/quiet.js";
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
  #recents = new RecentCalls();
  #overlay;
  #calls;
  #shares;
  /** @type {Lobby} */
  #lobby;
  #ringing;
  #badge = new Badge();
  #notifications = new Notifications();
  /** @type {ReturnType<typeof setTimeout> | null} */
  #renderTimer = null;
  /** Whether the sign-in form follows a session. */
  #hasSignedIn = false;
  #isSigningOut = false;

  constructor() {
    this.#overlay = new Overlay(this.#app, () => this.#lobby.focusTarget);
    this.#calls = new CallController(this.#store, this.#overlay);
    this.#shares = new ShareController(this.#store, this.#overlay);
    this.#lobby = new Lobby(this.#store, this.#recents, {
      call: (channel, video) => this.#call(channel, video),
      join: (id, video) => this.#calls.join(id, video),
      leaveElsewhere: (id) => reportFailure(post(`/calls/${id}/leave`)),
      share: (channel) => this.#shares.share(channel),
      showLink: (channel) => reportFailure(showLink(channel)),
      watch: (id) => this.#shares.watch(id),
      stopShare: (id) => this.#shares.stop(id),
      isBusy: () => this.#calls.isBusy,
      isHere: (id) => this.#calls.isHere(id),
      returnToCall: () => this.#calls.expand(),
      viewerCount: (id) => this.#shares.viewerCount(id),
      newCall: () => showNewCall(this.#store, (channel, video) => this.#call(channel, video)),
      newChannel: () => showNewChannel(this.#store, (channel) => this.#openChannel(channel)),
      markMissedSeen: () => reportFailure(calls.markMissedSeen()),
      showQuiet: () => showQuiet(this.#store),
      showAccount: () => showAccount(this.#store, this.#notifications, {
        changePassword: (passwords) => this.#changePassword(passwords),
        signOut: () => this.#signOut(),
      }),
      chooseDevices: () => chooseDevices((kind) => this.#calls.deviceChanged(kind)),
      askForNotifications: () => reportFailure(this.#notifications.ask()),
    });
    this.#ringing = new Ringing(this.#store, {
      answer: (id, video) => this.#calls.join(id, video),
      decline: (id) => reportFailure(calls.decline(id)),
      showNotification: (id, caller, title) => this.#notifications.showRing(id, caller, title),
      closeNotification: (id) => this.#notifications.closeRing(id),
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
    this.#recents.on("change", () => this.#scheduleRender());
    this.#notifications.on("change", () => this.#scheduleRender());
    this.#notifications.on("answer", (id) => this.#answer(id));
    setInterval(() => this.#store.calls.size > 0 && this.#scheduleRender(), 1000);
    addEventListener("hashchange", () => this.#onNavigation());
    addEventListener("keydown", (event) => this.#onKey(event));
    calls.open();
  }

  // ---- signing in and out

  /** @param {ConnectionState} state */
  #onState(state) {
    if (state === "signed-out") {
      this.#calls.stop();
      this.#recents.clear();
      this.#showSignIn();
    }
    const retrying = calls.me === null ? "Cannot reach the server. Retrying…" : "Reconnecting…";
    this.#showBanner(state === "reconnecting" ? retrying : "");
  }

  #showLobby() {
    this.#showBanner("");
    this.#app.replaceChildren(this.#lobby.element);
    this.#hasSignedIn = true;
    this.#recents.load();
    this.#route();
    this.#calls.rejoin();
    reportFailure(this.#notifications.signedIn(this.#store.me ?? ""));
    const wanted = takeAnswer();
    if (wanted !== null) {
      this.#answer(wanted);
    }
  }

  /**
   * A notification was answered.
   * @param {string} id
   */
  #answer(id) {
    if (this.#store.calls.has(id) || this.#store.incoming.has(id)) {
      this.#calls.join(id, false);
    } else {
      notify("The call is over.");
    }
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
    await this.#notifications.forget().catch(() => {});
    await reportFailure(calls.signOut());
    this.#isSigningOut = false;
  }

  /**
   * All sessions end, and the answer begins another.
   * @param {{ old: string, new: string }} passwords
   */
  async #changePassword(passwords) {
    await calls.renewSession(() => post("/password", passwords));
    await this.#notifications.signedIn(this.#store.me ?? "");
  }

  /** The history shows all missed calls, and a conversation its own. */
  #markMissedSeen() {
    const { channel, showsHistory } = this.#lobby;
    if (showsHistory || channel !== null) {
      calls.markMissedSeen(channel).catch(() => {});
    }
  }

  // ---- calling

  /**
   * @param {string} channel
   * @param {boolean} video
   */
  #call(channel, video) {
    calls.markMissedSeen(channel).catch(() => {});
    this.#calls.start(channel, video);
  }

  /**
   * Shows a channel that was just added.
   * @param {string} channel
   */
  async #openChannel(channel) {
    this.#store.setDirectory(await get("/me"));
    location.hash = encodeURIComponent(channel);
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
      this.#lobby.focusTarget.focus();
    }
  }

  /**
   * `/` and Ctrl+K search, unless a dialog or a call covers the page.
   * @param {KeyboardEvent} event
   */
  #onKey(event) {
    const { altKey, ctrlKey, key, metaKey, target } = event;
    const isTyping = target instanceof HTMLElement && target.matches("input, select, textarea");
    const isSlash = key === "/" && !ctrlKey && !metaKey && !altKey && !isTyping;
    const isShortcut = isSlash || (key.toLowerCase() === "k" && (ctrlKey || metaKey) && !altKey);
    const isCovered = this.#app.inert || document.querySelector("dialog[open]") !== null;
    if (isShortcut && !isCovered && this.#store.me !== null) {
      event.preventDefault();
      this.#lobby.focusSearch();
    }
  }
}
