// @ts-check
// The client: one person at one server. It follows their calls, rings, and is on one call at a time.

import { Api, Refused } from "./api.js";
import { Emitter } from "./emitter.js";
import { Events } from "./events.js";
import { joinCall, startCall } from "./joining.js";
import { openMedia } from "./media.js";
import { OwnShare, ViewedShare } from "./screen_share.js";
import { Store, isLive, stateOf } from "./store.js";
import { Undo } from "./undo.js";

/** @import { ServerAddresses } from "./addresses.js" */
/** @import { Call } from "./call.js" */
/** @import { Media, MediaOptions } from "./media.js" */
/** @import { ScreenShare } from "./screen_share.js" */
/** @import { TokenSource } from "./tokens.js" */
/** @import { CallState, GuestLink, IncomingCall, MissedCall, NewLink, PastCall, ServerEvent } from "./types.js" */

/**
 * `connecting` until the server has said who this is, then `open` or, without a connection, `reconnecting`.
 * `signed-out` until `open`, and `closed` after `close`.
 * @typedef {"connecting" | "open" | "reconnecting" | "signed-out" | "closed"} ConnectionState
 */

/**
 * How to enter a call.
 * @typedef {MediaOptions & EntryOptions} CallOptions
 */

/**
 * @typedef {object} EntryOptions
 * @property {() => Promise<Media>} [openMedia] opens what I send, instead of the media options
 * @property {AbortSignal} [signal] gives up entering
 */

/**
 * @typedef {object} CallsEvents
 * @property {ConnectionState} state
 * @property {string} signed-in the name of the person
 * @property {IncomingCall} incoming a call rings for me
 * @property {IncomingCall} incoming-ended it rings no longer
 * @property {CallState} call a call of mine has changed
 * @property {MissedCall[]} missed
 * @property {Call | null} current this client has entered a call, or is on none any more
 * @property {unknown} error an attempt to connect or to renew the token has failed; it is repeated
 * @property {void} change anything of the above, or of the store
 */

/** Milliseconds between attempts to read the first data. */
const RETRY_INTERVAL = 1_500;

/** @extends {Emitter<CallsEvents>} */
export class Calls extends Emitter {
  #events;
  /** What `open` has started. @type {AbortController | null} */
  #opening = null;
  /** The call being made or joined; `id` is null for a new one. @type {{ channel: string, id: string | null } | null} */
  #entry = null;
  /** Calls whose ringing was reported. @type {Map<string, IncomingCall>} */
  #ringing = new Map();
  /** @type {Set<ScreenShare>} */
  #shares = new Set();
  /** @type {{ call?: string, share?: string }} */
  #presence = {};
  /** The pause before the directory is read again. @type {ReturnType<typeof setTimeout> | null} */
  #directoryPause = null;

  /** @type {ConnectionState} */
  state = "connecting";
  /** The call that this client is on. @type {Call | null} */
  current = null;
  /** Calls by id, including those being joined. @type {Map<string, Call>} */
  calls = new Map();
  store = new Store();
  undo = new Undo();

  /**
   * @param {object} options
   * @param {ServerAddresses} options.server its address, below which the paths of the API are, or those of a cluster
   * @param {TokenSource} [options.token] without it, the cookie of the page's own server
   */
  constructor({ server, token }) {
    super();
    this.api = new Api({ server, token });
    this.#events = new Events(this.api, (event) => this.#onEvent(event), (connected) => this.#onConnection(connected));
    this.api.on("signedOut", () => this.#onSignedOut());
    this.api.on("error", (error) => this.emit("error", error));
    this.store.on("change", () => this.#onStoreChange());
  }

  /** My name; null until the server has said it. */
  get me() {
    return this.store.me;
  }

  /** Whether I came by a link. Guests are on one call, and let nobody in. */
  get isGuest() {
    return this.store.isGuest;
  }

  get names() {
    return this.store.names;
  }

  /** The call being made or joined. */
  get entering() {
    return this.#entry;
  }

  // ---- the connection

  /** Connects, also again after `signed-out`. */
  open() {
    this.#opening?.abort();
    this.#opening = new AbortController();
    this.#setState("connecting");
    this.#load(this.#opening.signal);
    return this;
  }

  /** @param {AbortSignal} signal */
  async #load(signal) {
    try {
      const me = await this.api.get("/me");
      if (signal.aborted) {
        return;
      }
      this.api.learnAddresses(me);
      this.store.load(me);
    } catch (error) {
      const isOver = signal.aborted || (error instanceof Refused && error.status === 401);
      if (!isOver) {
        this.emit("error", error);
        this.#setState("reconnecting");
        setTimeout(() => signal.aborted || this.#load(signal), RETRY_INTERVAL);
      }
      return;
    }
    this.emit("signed-in", this.me ?? "");
    this.#events.open();
    this.#namePresence();
    this.#readMissed();
  }

  /** Leaves the call, ends the shares, and closes the connection. */
  async close() {
    const left = this.#stop();
    this.#setState("closed");
    await left;
    this.api.close();
  }

  /** Ends the session, too. */
  async signOut() {
    await this.#stop();
    try {
      await this.api.post("/logout");
    } finally {
      this.#setState("signed-out");
    }
  }

  /**
   * Runs an action that ends this session and begins another. The stream is closed meanwhile: without the new session,
   * its next attempt would be refused.
   * @template T
   * @param {() => Promise<T>} action
   * @returns {Promise<T>}
   */
  async renewSession(action) {
    this.#events.close();
    try {
      return await action();
    } finally {
      if (this.me !== null) {
        this.#events.open();
        this.#namePresence();
      }
    }
  }

  /**
   * Ends everything but the session.
   * @param {string} [reason] why the call is over
   */
  async #stop(reason) {
    this.#opening?.abort();
    clearTimeout(this.#directoryPause ?? undefined);
    this.#directoryPause = null;
    const left = Promise.all([this.current?.leave(reason), ...[...this.#shares].map((share) => share.stop())]);
    this.#events.close();
    this.store.clear();
    await left;
  }

  #onSignedOut() {
    if (this.state !== "signed-out" && this.state !== "closed") {
      // The session of a guest ends with the call.
      const reason = this.isGuest ? "The call has ended." : "You have been signed out, so you have left the call.";
      this.#setState("signed-out");
      this.#stop(reason);
    }
  }

  /** @param {ConnectionState} state */
  #setState(state) {
    if (state !== this.state) {
      this.state = state;
      if (state === "signed-out") {
        this.api.forgetAddresses();
      }
      this.emit("state", state);
      this.emit("change");
    }
  }

  /** @param {boolean} connected */
  #onConnection(connected) {
    this.store.online = connected;
    this.current?.setOnline(connected);
    this.#setState(connected ? "open" : "reconnecting");
    if (connected) {
      this.#readDirectory();
      this.#readMissed();
      this.#shares.forEach((share) => share.refresh());
    }
  }

  // ---- what the server sends

  /** @param {ServerEvent} event */
  #onEvent(event) {
    if (event.name === "signal") {
      this.calls.get(event.data.call_id)?.onSignal(event.data);
      this.#shareOf(event.data.call_id)?.onSignal(event.data);
      return;
    }
    if (event.name === "directory") {
      this.#onDirectoryChange(event.data.within);
      return;
    }
    this.store.applyEvent(event);
    if (event.name === "snapshot") {
      this.#onSnapshot();
    } else if (event.name === "call") {
      this.#onCall(event.data);
    } else if (event.name === "share" && event.data.state === "ended") {
      this.#shareOf(event.data.share_id)?.end(SHARE_ENDED);
    }
  }

  #onSnapshot() {
    this.current?.refresh();
    for (const share of this.#shares) {
      if (this.store.shares.has(share.id)) {
        share.refresh();
      } else {
        share.end(SHARE_ENDED);
      }
    }
  }

  /** @param {CallState} call */
  #onCall(call) {
    this.calls.get(call.call_id)?.update(call);
    this.emit("call", call);
    if (!isLive(call)) {
      this.#readMissed();
    }
  }

  /** Reports what rings, and what rings no longer. */
  #onStoreChange() {
    const before = this.#ringing;
    this.#ringing = new Map(this.store.incoming);
    for (const [id, call] of before) {
      if (!this.#ringing.has(id)) {
        this.emit("incoming-ended", call);
      }
    }
    for (const [id, call] of this.#ringing) {
      if (!before.has(id)) {
        this.emit("incoming", call);
      }
    }
    this.emit("change");
  }

  /**
   * People or channels have changed. All clients learn it at once, and the server says how many seconds they have to read it.
   * @param {number} within
   */
  #onDirectoryChange(within) {
    this.#directoryPause ??= setTimeout(() => {
      this.#directoryPause = null;
      this.#readDirectory();
    }, Math.random() * within * 1_000);
  }

  async #readDirectory() {
    const me = await this.api.get("/me").catch(() => null);
    if (me && this.me !== null) {
      this.api.learnAddresses(me);
      this.store.setDirectory(me);
    }
  }

  async #readMissed() {
    await this.missed().catch(() => {});
  }

  // ---- calls

  /**
   * Calls a channel. Answers the call that rings from it, or joins its live call, if there is one. Leaves the call that
   * this client is on.
   * @param {string} channel `dm:NAME:NAME`, `private:ID`, or `ext:ID` of a host application
   * @param {CallOptions} [options]
   * @returns {Promise<Call>}
   */
  call(channel, options = {}) {
    const name = this.store.canonical(channel);
    return this.#enter({ channel: name, id: this.store.incomingIn(name)?.call_id ?? null }, options);
  }

  /**
   * Answers a call that rings, joins one in progress, or returns to it. Leaves the call that this client is on.
   * @param {string} id
   * @param {CallOptions} [options]
   * @returns {Promise<Call>}
   */
  async answer(id, options = {}) {
    const known = this.store.calls.get(id) ?? this.store.incoming.get(id);
    if (!known) {
      throw new Error("This call has ended, or is none of yours.");
    }
    return this.#enter({ channel: known.channel, id }, options);
  }

  /** @param {string} id */
  async decline(id) {
    this.store.incoming.delete(id);
    this.store.changed();
    await this.api.post(`/calls/${id}/reject`);
  }

  /**
   * Opens the microphone, and only then makes phones ring.
   * @param {{ channel: string, id: string | null }} entry
   * @param {CallOptions} options
   */
  async #enter(entry, { openMedia: open = () => openMedia(wanted), signal, ...wanted }) {
    if (this.#entry) {
      throw new Error("Another call is being entered.");
    }
    signal?.throwIfAborted();
    this.#entry = entry;
    const left = this.current?.leave();
    this.#namePresence();
    /** @type {Media | null} */
    let media = null;
    try {
      media = await open();
      signal?.throwIfAborted();
      await left;
      const call = await this.#connect(entry, media, signal);
      if (signal?.aborted) {
        await call.leave();
        signal.throwIfAborted();
      }
      this.#setCurrent(call);
      return call;
    } catch (error) {
      media?.close();
      throw error;
    } finally {
      this.#entry = null;
      this.#namePresence();
      this.emit("change");
    }
  }

  /**
   * @param {{ channel: string, id: string | null }} entry
   * @param {Media} media
   * @param {AbortSignal} [signal]
   */
  #connect({ channel, id }, media, signal) {
    const me = this.me ?? "";
    const visit = { client: this, me, channel, media, isWanted: () => !signal?.aborted };
    if (id === null) {
      return startCall(visit);
    }
    const known = this.store.calls.get(id);
    return joinCall({ ...visit, id, wasAccepted: known !== undefined && stateOf(known, me) === "accepted" });
  }

  /** @param {Call} call */
  #setCurrent(call) {
    if (call.over) {
      return;
    }
    this.current = call;
    call.on("missedEvents", () => this.#events.reconnect());
    call.on("end", () => {
      if (this.current === call) {
        this.current = null;
        this.emit("current", null);
        this.#namePresence();
        this.emit("change");
      }
    });
    this.emit("current", call);
  }

  /**
   * My finished calls, newest first.
   * @param {{ channel?: string, person?: string, outcome?: string, before?: string, limit?: number }} [page]
   *   `person`: who was called or took part; `before`: the `call_id` of the last one known
   * @returns {Promise<PastCall[]>}
   */
  history(page = {}) {
    const given = Object.entries(page).filter(([, value]) => value !== undefined);
    return this.api.get(`/calls/history?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`);
  }

  /**
   * The calls that I have missed, newest first.
   * @returns {Promise<MissedCall[]>}
   */
  async missed() {
    this.#setMissed(await this.api.get("/calls/missed"));
    return this.store.missed;
  }

  /**
   * Marks missed calls as seen: those of a channel, or all.
   * @param {string | null} [channel]
   */
  async markMissedSeen(channel = null) {
    const { missed } = this.store;
    const isMeant = (/** @type {MissedCall} */ call) => channel === null || call.channel === channel;
    if (missed.some((call) => !call.seen && isMeant(call))) {
      await this.api.post("/calls/missed/seen", { up_to: missed[0].missed_ts, channel });
      this.#setMissed(missed.map((call) => ({ ...call, seen: call.seen || isMeant(call) })));
    }
  }

  /** @param {MissedCall[]} missed */
  #setMissed(missed) {
    const hasChanged = JSON.stringify(missed) !== JSON.stringify(this.store.missed);
    if (hasChanged && this.me !== null) {
      this.store.missed = missed;
      this.emit("missed", missed);
      this.store.changed();
    }
  }

  // ---- links for guests

  /**
   * Makes a link by which people without an account come to the calls of a channel. It lasts a day, for ten guests, who
   * wait until somebody on the call admits them, unless the options say otherwise.
   * @param {string} channel
   * @param {{ seconds?: number, uses?: number, admit?: boolean }} [options]
   * @returns {Promise<NewLink>}
   */
  link(channel, options = {}) {
    return this.api.post("/links", { ...options, channel: this.store.canonical(channel) });
  }

  /**
   * The valid links of a channel.
   * @param {string} channel
   * @returns {Promise<GuestLink[]>}
   */
  links(channel) {
    return this.api.get(`/links?${new URLSearchParams({ channel: this.store.canonical(channel) })}`);
  }

  /** @param {string} id of a link */
  revokeLink(id) {
    return this.api.remove(`/links/${id}`);
  }

  // ---- screens shared outside a call

  /**
   * Lets the person choose a screen, and shares it in a channel.
   * @param {string} channel
   * @returns {Promise<OwnShare>}
   */
  async shareScreen(channel) {
    return this.#addShare(await OwnShare.start(this, this.me ?? "", channel));
  }

  /**
   * Watches a screen.
   * @param {string} id of a share in the store
   * @returns {Promise<ViewedShare>}
   */
  async watch(id) {
    const share = this.store.shares.get(id);
    if (!share) {
      throw new Error(SHARE_ENDED);
    }
    return this.#addShare(await ViewedShare.start(this, this.me ?? "", share));
  }

  /**
   * @template {ScreenShare} Share
   * @param {Share} share
   */
  #addShare(share) {
    this.#shares.add(share);
    share.on("change", () => this.emit("change"));
    share.on("end", () => {
      this.#shares.delete(share);
      this.#namePresence();
      this.emit("change");
    });
    this.#namePresence();
    this.emit("change");
    return share;
  }

  /** @param {string} id */
  #shareOf(id) {
    return [...this.#shares].find((share) => share.id === id);
  }

  // ---- presence

  /**
   * Proves presence on a call or share that another client than this one has entered, such as the relay's page.
   * @param {{ call?: string, share?: string }} presence
   */
  provePresence(presence) {
    this.#presence = presence;
    this.#namePresence();
  }

  /** Only a stream that names a call or a share proves presence there. A reloaded page names it before it is back. */
  #namePresence() {
    const own = [...this.#shares].find((share) => share instanceof OwnShare);
    const call = this.current?.id ?? this.#entry?.id;
    this.#events.name({ call: call ?? this.#presence.call, share: own?.id ?? this.#presence.share });
  }
}

const SHARE_ENDED = "The screen share has ended.";

/**
 * Connects to a server.
 * @param {{ server: ServerAddresses, token?: TokenSource }} options
 */
export const connect = (options) => new Calls(options).open();

/**
 * Opens a link, as a guest who calls themself `name`. The guest waits, or the call rings for them at once. The client's
 * session, and with it `token`, ends with the call.
 * @param {{ server: ServerAddresses, link: string, name: string }} options
 * @returns {Promise<{ calls: Calls, token: string, callId: string, waits: boolean }>} rejects with Refused, whose code is
 *   `no_active_call` while the call has not begun
 */
export async function openLink({ server, link, name }) {
  const { token, call_id: callId, waits } = await new Api({ server }).post("/guest", { link, name });
  return { calls: connect({ server, token }), token, callId, waits };
}
