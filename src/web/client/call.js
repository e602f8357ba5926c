// @ts-check
// A call that this client is on: its state as the server sends it, what I send, and the connections to the others.
//
// Who joins a call offers to everybody who is on it, so of two people exactly one offers first. A reloaded page and
// another device do the same.

import { Refused, SHORT_TIMEOUT, ServerGone } from "./api.js";
import { Checks } from "./checks.js";
import { Conversation } from "./conversation.js";
import { depart } from "./departure.js";
import { Emitter } from "./emitter.js";
import { Mesh } from "./mesh.js";
import { MutedVoice } from "./muted_voice.js";
import { Speaking } from "./speaking.js";
import { acceptedNames, busySentence, endSentence, isLive, participantOf, stateOf } from "./store.js";

/** @import { Entrance } from "./entering.js" */
/** @import { Media } from "./media.js" */
/** @import { Peer } from "./peer.js" */
/** @import { Measurement } from "./quality.js" */
/** @import { Relay } from "./relay.js" */
/** @import { CallState, Client, PeerMessage, Role, SignalEvent } from "./types.js" */

/** Milliseconds to wait for a newcomer's offer before this side offers. */
const OFFER_TIMEOUT = 3_000;

const REMOVED = "You were removed from the call.";

/** @extends {Emitter<{ change: void, end: void, notice: string, missedEvents: void }>} */
export class Call extends Emitter {
  #cursor = 0;
  /** Signals that arrived before the cursor was known. @type {SignalEvent[]} */
  #early = [];
  /** @type {Checks | null} */
  #checks = null;
  #speaking;
  #mutedVoice;
  #isJoined = false;
  /** People for whom my call does not ring, while it rings for others. @type {string[]} */
  busy = [];
  /** The visit that the server has answered; a state that arrives later can have a newer one. */
  #joinedTs = 0;

  over = false;
  /** Why it is over, as a sentence. */
  reason = "";
  /** The newest state from the server. @type {CallState | null} */
  state = null;
  /** @type {Mesh | null} */
  mesh = null;
  /** Who speaks now. @type {Set<string>} */
  speakers = new Set();
  speaksMuted = false;
  /** When each person last began to speak. @type {Map<string, number>} */
  spokeAt = new Map();
  /** Whose pictures the view shows; null is everybody's. @type {Set<string> | null} */
  shown = null;
  /** @type {Map<string, Measurement>} */
  qualities = new Map();
  /** Whether the event stream is open. */
  online = true;
  /** When the state was last read, by `performance.now()`. */
  refreshedAt = performance.now();

  /**
   * @param {object} options
   * @param {Client} options.client
   * @param {string} options.me
   * @param {string} options.id
   * @param {string} options.channel
   * @param {Media} options.media
   */
  constructor({ client, me, id, channel, media }) {
    super();
    client.calls.set(id, this);
    this.client = client;
    this.me = me;
    this.id = id;
    this.channel = channel;
    this.media = media;
    this.conversation = new Conversation(me, (message) => this.#sendToOthers(message));
    for (const event of /** @type {const} */ (["hand", "reaction", "message"])) {
      this.conversation.on(event, () => this.#changed());
    }
    media.on("track", (role) => this.#sendTrack(role));
    media.on("change", () => this.#onMediaChange());
    media.on("deviceLost", (role) => this.#onDeviceLost(role));
    this.#speaking = new Speaking((name, isSpeaking) => {
      if (isSpeaking) {
        this.speakers.add(name);
        this.spokeAt.set(name, performance.now());
      } else {
        this.speakers.delete(name);
      }
      this.#changed();
    });
    this.#mutedVoice = new MutedVoice((isSpeaking) => {
      this.speaksMuted = isSpeaking;
      this.#changed();
    });
  }

  /** The connections to the others, by name. @type {Map<string, Peer>} */
  get peers() {
    return this.mesh?.peers ?? new Map();
  }

  /**
   * What the others send, for the elements that play it. A `camera` also has the sound.
   * @returns {{ name: string, kind: "camera" | "screen", stream: MediaStream }[]}
   */
  get streams() {
    return [...this.peers.values()].flatMap((peer) =>
      /** @type {const} */ (["camera", "screen"]).flatMap((kind) => {
        const stream = peer.streamOf(kind);
        return stream ? [{ name: peer.name, kind, stream }] : [];
      }));
  }

  /**
   * Those whose media comes through the server, with the elements that play it.
   * @returns {{ name: string, element: HTMLVideoElement }[]}
   */
  get relayed() {
    return this.relay?.playing ?? [];
  }

  /**
   * Media through the server, to and from those whom WebRTC does not reach.
   * @returns {Relay | null}
   */
  get relay() {
    return this.#checks?.relay ?? null;
  }

  /** Guests whom nobody has admitted yet. */
  get waiting() {
    return this.state?.waiting ?? [];
  }

  /** Names this visit to the call. */
  get joinedTs() {
    const mine = this.state && participantOf(this.state, this.me);
    return mine?.state === "accepted" ? (mine.joined_ts ?? this.#joinedTs) : this.#joinedTs;
  }

  // ---- joining and leaving

  /**
   * Begins, once the server has accepted this person.
   * @param {RTCIceServer[]} iceServers
   * @param {Pick<Entrance, "others" | "cursor" | "joinedTs" | "busy">} entrance
   */
  async connect(iceServers, { others, cursor, joinedTs, busy = [] }) {
    this.busy = busy;
    const mesh = new Mesh({
      api: this.client.api,
      me: this.me,
      path: `/calls/${this.id}/signal`,
      iceServers,
      streams: this.media.streams,
      addMedia: (peer, isAnswering) => this.#addMedia(peer, isAnswering),
    });
    this.mesh = mesh;
    mesh.on("change", () => this.#onPeersChange());
    mesh.on("open", (peer) => {
      peer.sendMessage({ ...this.status, wants: peer.wanted });
      this.#checks?.limit(peer);
    });
    mesh.on("message", ({ name, message }) => this.conversation.receive(name, message));
    mesh.on("replaced", () => this.#finish("You are on this call on another device or in another window now."));
    this.#cursor = cursor;
    this.#joinedTs = joinedTs;
    this.#isJoined = true;
    others.forEach((name) => mesh.connect(name));
    this.#early.splice(0).forEach((signal) => this.onSignal(signal));
    this.#checks = new Checks(this);
    this.#checks.on("change", () => this.#changed());
    this.#onMediaChange();
    await this.refresh();
  }

  /** Leaves; the call continues while two people are on it. */
  async leave(reason = "You have left the call.") {
    this.#finish(reason);
    await depart(this, "leave");
  }

  /** Ends the call for everybody. */
  async end() {
    this.#finish(this.state?.state === "ringing" ? "You have cancelled the call." : "You have ended the call.");
    await depart(this, "end");
  }

  /** @param {string} reason */
  #finish(reason) {
    if (this.over) {
      return;
    }
    this.over = true;
    this.reason = reason;
    this.release();
    this.media.close();
    this.emit("end");
  }

  /** Frees what the call holds, except the media. */
  release() {
    if (this.client.calls.get(this.id) === this) {
      this.client.calls.delete(this.id);
    }
    this.#checks?.close();
    this.#checks = null;
    this.mesh?.close();
    this.#speaking.close();
    this.#mutedVoice.close();
  }

  // ---- what the server sends

  /** @param {CallState} state an event or an answer */
  update(state) {
    if (this.over || (this.state && state.version < this.state.version)) {
      return;
    }
    const before = this.state;
    this.state = state;
    this.client.names.learn(state);
    if (!isLive(state)) {
      this.#finish(this.#endReason(state));
      return;
    }
    if (state.removed) {
      this.#finish(REMOVED);
      return;
    }
    if (this.#isJoined && stateOf(state, this.me) !== "accepted") {
      this.#finish("You are no longer on this call: the connection to the server was lost, or somebody removed you.");
      return;
    }
    this.#followParticipants(state);
    this.conversation.keepOnly(acceptedNames(state));
    this.#followSharer(before, state);
    this.#changed();
  }

  /** @param {CallState} state */
  #endReason(state) {
    const isLost = (/** @type {Peer} */ peer) => peer.reportedAt > 0 && !this.relay?.arrives(peer.name);
    const unreachable = [...this.peers.values()].filter(isLost).map(({ name }) => name);
    if (state.ended_reason === "hangup" && unreachable.length > 0) {
      return `The connection to ${unreachable.map((name) => this.client.names.shown(name)).join(" and ")} was lost, and the call has ended.`;
    }
    return endSentence(state, this.client.names);
  }

  /**
   * Re-reads the state and the signals. Emits `missedEvents` if the event stream should have delivered something of it.
   */
  async refresh() {
    this.refreshedAt = performance.now();
    const before = [this.state?.version, this.#cursor];
    try {
      this.update(await this.client.api.get(`/calls/${this.id}/state`, { timeout: SHORT_TIMEOUT }));
      if (!this.over) {
        const path = `/calls/${this.id}/signals?after=${this.#cursor}`;
        /** @type {SignalEvent[]} */
        const signals = await this.client.api.get(path, { timeout: SHORT_TIMEOUT });
        signals.forEach((signal) => this.onSignal(signal));
      }
    } catch (error) {
      if (error instanceof Refused && [403, 404].includes(error.status)) {
        this.#finish(error.code === "removed_from_call" ? REMOVED : "The call has ended.");
      } else if (error instanceof ServerGone) {
        this.emit("missedEvents");
      }
      return;
    }
    if (this.state?.version !== before[0] || this.#cursor !== before[1]) {
      this.emit("missedEvents");
    }
  }

  /** @param {SignalEvent} signal one that arrives twice, from the stream and from a read, is used once */
  onSignal(signal) {
    if (!this.#isJoined) {
      this.#early.push(signal);
    } else if (signal.id > this.#cursor && !this.over) {
      this.#cursor = signal.id;
      this.mesh?.receive(signal);
    }
  }

  /** @param {CallState} state */
  #followParticipants(state) {
    const others = acceptedNames(state).filter((name) => name !== this.me);
    for (const name of [...this.peers.keys()].filter((name) => !others.includes(name))) {
      this.mesh?.drop(name);
    }
    for (const name of others.filter((name) => !this.peers.has(name))) {
      setTimeout(() => this.isOn(name) && this.mesh?.connect(name), OFFER_TIMEOUT);
    }
  }

  /**
   * @param {CallState | null} before
   * @param {CallState} state
   */
  #followSharer(before, { screenshare_user: sharer }) {
    if (before?.screenshare_user === this.me && sharer !== this.me) {
      this.media.closeScreen();
      if (sharer) {
        this.emit("notice", `${this.client.names.shown(sharer)} is sharing their screen now. You are no longer sharing yours.`);
      }
    }
  }

  /**
   * Whether a person is on the call.
   * @param {string} name
   */
  isOn(name) {
    return !this.over && this.state !== null && stateOf(this.state, name) === "accepted";
  }

  /** @param {boolean} online whether the event stream is open */
  setOnline(online) {
    if (this.online !== online) {
      this.online = online;
      this.#changed();
      if (online) {
        this.relay?.reconnected();
        this.refresh();
      }
    }
  }

  // ---- media

  /**
   * @param {Peer} peer
   * @param {boolean} isAnswering
   */
  #addMedia(peer, isAnswering) {
    for (const role of /** @type {Role[]} */ (Object.keys(this.media.tracks))) {
      peer.sendTrack(role, this.media.tracks[role], this.media.streamOf(role));
    }
    if (!this.media.tracks.microphone && !isAnswering) {
      peer.receiveOnly("audio");
    }
  }

  /** @param {Role} role */
  #sendTrack(role) {
    if (!this.over) {
      const [track, stream] = [this.media.tracks[role], this.media.streamOf(role)];
      this.peers.forEach((peer) => peer.sendTrack(role, track, stream));
    }
  }

  /** What the others have to know of this side. @returns {PeerMessage} */
  get status() {
    return { ...this.#mediaStatus(), ...this.conversation.status };
  }

  /** @returns {PeerMessage} */
  #mediaStatus() {
    const { microphone, camera } = this.media.tracks;
    return { muted: this.media.muted || !microphone, camera: Boolean(camera) };
  }

  /**
   * @param {PeerMessage} message
   * @returns {string[]} the people on the call whom it did not reach
   */
  #sendToOthers(message) {
    const others = this.state ? acceptedNames(this.state).filter((name) => name !== this.me) : [];
    const unreached = this.mesh?.broadcast(message) ?? others;
    return others.filter((name) => unreached.includes(name) || !this.peers.has(name));
  }

  #onMediaChange() {
    if (!this.over) {
      this.#speaking.listen(this.me, this.media.camera);
      this.#mutedVoice.follow(this.media);
      this.mesh?.broadcast(this.#mediaStatus());
      this.#changed();
    }
  }

  /** @param {Role} role */
  #onDeviceLost(role) {
    if (role === "screen") {
      this.#stopScreen();
    } else if (role !== "screenSound") {
      this.emit("notice", `The ${role} was disconnected. Choose another one under Devices.`);
    }
  }

  /**
   * Shares a screen and takes over from anybody else: a call has one sharer.
   * @param {MediaStream | boolean} [screen] true lets the person choose one; false stops
   */
  async share(screen = true) {
    if (screen === false) {
      await this.#stopScreen();
      return;
    }
    await this.media.openScreen(screen === true ? undefined : screen);
    try {
      await this.client.api.post(`/calls/${this.id}/screenshare`, { on: true });
    } catch (error) {
      this.media.closeScreen();
      throw error;
    }
  }

  async #stopScreen() {
    this.media.closeScreen();
    await this.client.api.post(`/calls/${this.id}/screenshare`, { on: false }).catch(() => {});
  }

  mute(muted = true) {
    this.media.mute(muted);
  }

  /** Turns the chosen camera on or off. */
  async camera(on = true) {
    if (on) {
      await this.media.openCamera();
    } else {
      this.media.closeCamera();
    }
  }

  /** @param {string} username */
  async invite(username) {
    const { busy } = await this.client.api.post(`/calls/${this.id}/invite`, { username });
    if (busy.length > 0) {
      this.emit("notice", busySentence(busy, this.client.names));
    }
  }

  /** @param {string} username */
  remove(username) {
    return this.client.api.post(`/calls/${this.id}/remove`, { username });
  }

  /**
   * Lets a guest in who waits.
   * @param {string} username
   */
  admit(username) {
    return this.invite(username);
  }

  /**
   * Turns a guest away who waits.
   * @param {string} username
   */
  dismiss(username) {
    return this.client.api.post(`/calls/${this.id}/dismiss`, { username });
  }

  // ---- checking the connections

  #onPeersChange() {
    this.#checks?.followConnections();
    for (const [name, peer] of this.peers) {
      this.#speaking.listen(name, peer.streamOf("camera"));
    }
    this.#speaking.keepOnly(new Set([this.me, ...this.peers.keys()]));
    [...this.qualities.keys()].filter((name) => !this.peers.has(name)).forEach((name) => this.qualities.delete(name));
    this.#changed();
  }

  /**
   * Says whose pictures a view shows; the others send none. Sound always comes from everybody.
   * @param {Iterable<string> | null} names null is everybody
   */
  show(names) {
    this.shown = names && new Set(names);
    this.#checks?.wantPictures();
  }

  #changed() {
    if (!this.over) {
      this.emit("change");
    }
  }
}
