// @ts-check
// One peer connection: perfect negotiation (WebRTC 1.0, section 10.7) over the signals of this API.
//
// Either side may offer at any time. When two offers cross, the impolite side ignores the other's offer and the polite
// side yields. The names decide who is polite (see mesh.js). In the standard, yielding is a rollback. In Chromium a
// rollback sometimes stops the audio and video of the yielding side for good. So between two of our pages the polite
// side closes the connection and takes a new one, which answers the offer, or offers itself if the old one was
// connected. A client that sends no `session` cannot tell connections apart: towards it the polite side rolls back.
//
// A payload is an RTCSessionDescription or RTCIceCandidate with the members of `PayloadMembers` in types.js.

import { Emitter } from "./emitter.js";

/** @import { Step } from "./sending.js" */
/** @import { Payload, PeerMessage, Role, SignalType, StreamIds } from "./types.js" */

/** Candidates kept until their description arrives. */
const EARLY_MAX = 200;

/**
 * An interrupted connection often recovers; after this many milliseconds ICE is restarted. Both sides see the same
 * interruption, so the polite side waits longer and their offers rarely cross.
 */
const INTERRUPTION_MAX = 2_500;
const POLITE_PAUSE = 2_500;

/** Milliseconds between ICE restarts while there is no connection. */
const RESTART_INTERVAL = 8_000;

/** The longest message over the data channel, in UTF-16 units. */
const MESSAGE_MAX = 16_384;

/**
 * @typedef {object} PeerOptions
 * @property {string} name
 * @property {string} session the id of this connection on our side
 * @property {boolean} polite
 * @property {RTCIceServer[]} iceServers
 * @property {StreamIds} streams the ids of our media streams
 * @property {(type: SignalType, payload: Payload) => void} send hands a signal to the server, in order
 */

/** @extends {Emitter<{ change: void, open: void, message: PeerMessage, yield: Payload | null }>} */
export class Peer extends Emitter {
  #send;
  #connection;
  #isMakingOffer = false;
  #isIgnoringOffer = false;
  #isSettingAnswer = false;
  /** Candidates whose description has not arrived. @type {Payload[]} */
  #early = [];
  /** Signals are processed one after the other, in the server's order. */
  #processing = Promise.resolve();
  /** @type {Map<Role, RTCRtpTransceiver>} */
  #transceivers = new Map();
  /** @type {Map<Role, Step>} */
  #limits = new Map();
  #streams;
  /** @type {StreamIds | null} */
  #theirStreams = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #restartTimer;
  #channel;

  closed = false;
  /** The peer that took over when this one yielded. @type {Peer | null} */
  successor = null;
  /** The session at their end; null until a description of theirs arrives. @type {string | null} */
  theirSession = null;
  /** The streams they send, by id. @type {Map<string, MediaStream>} */
  received = new Map();
  /** What they report of themselves. @type {PeerMessage} */
  status = {};
  /** The video that this side asks for. @type {Role[]} */
  wanted = ["camera", "screen"];
  /** Media goes through the server while there is no connection. */
  isRelayed = false;
  /** `performance.now()` when the connection was lost or begun; 0 while it is connected. */
  downSince = performance.now();
  /** `performance.now()` of the last report to the server that they are unreachable; 0 if they are reachable. */
  reportedAt = 0;

  /** @param {PeerOptions} options */
  constructor({ name, session, polite, iceServers, streams, send }) {
    super();
    this.name = name;
    this.session = session;
    this.polite = polite;
    this.#streams = streams;
    this.#send = send;
    const connection = new RTCPeerConnection({ iceServers });
    this.#connection = connection;
    connection.onnegotiationneeded = () => this.#offer();
    connection.onicecandidate = ({ candidate }) => candidate && this.#send("ice_candidate", candidate.toJSON());
    connection.onconnectionstatechange = () => this.#onStateChange();
    connection.ontrack = ({ track, streams: [stream] }) => this.#onTrack(track, stream);
    // A negotiated channel needs no agreement: a client without it still connects.
    this.#channel = connection.createDataChannel("state", { negotiated: true, id: 0 });
    this.#channel.onopen = () => this.emit("open");
    this.#channel.onmessage = ({ data }) => this.#onData(data);
  }

  get state() {
    return this.#connection.connectionState;
  }

  /**
   * How their media comes: directly, through the server, or not at all yet.
   * @returns {"webrtc" | "relay" | null}
   */
  get via() {
    if (this.downSince === 0) {
      return "webrtc";
    }
    return this.isRelayed ? "relay" : null;
  }

  // ---- negotiation

  async #offer() {
    try {
      this.#isMakingOffer = true;
      await this.#connection.setLocalDescription();
      this.#sendDescription();
    } catch (error) {
      if (!this.closed) {
        throw error;
      }
    } finally {
      this.#isMakingOffer = false;
    }
  }

  #sendDescription() {
    const description = this.#connection.localDescription;
    if (description) {
      const { type, sdp } = description;
      this.#send(type === "offer" ? "offer" : "answer", { type, sdp, streams: this.#streams });
    }
  }

  /**
   * Processes a signal of theirs.
   * @param {SignalType} type
   * @param {Payload} payload
   */
  receive(type, payload) {
    this.#processing = this.#processing
      .then(() => this.#process(type, payload))
      .catch((error) => {
        if (!this.closed) {
          console.warn(`A signal from ${this.name} could not be used:`, error);
        }
      });
    return this.#processing;
  }

  /**
   * @param {SignalType} type
   * @param {Payload} payload
   */
  async #process(type, payload) {
    if (this.closed) {
      this.successor?.receive(type, payload);
    } else if (type === "ice_candidate") {
      await this.#processCandidate(payload);
    } else if (type === "answer") {
      await this.#processAnswer(payload);
    } else {
      await this.#processOffer(payload);
    }
  }

  /** @param {Payload} payload */
  async #processAnswer(payload) {
    if (this.#connection.signalingState !== "have-local-offer") {
      return; // a second answer, to a repeated offer
    }
    this.#isSettingAnswer = true;
    try {
      await this.#applyRemote("answer", payload);
    } finally {
      this.#isSettingAnswer = false;
    }
    await this.#processEarly();
  }

  /** @param {Payload} payload */
  async #processOffer(payload) {
    const connection = this.#connection;
    const isStable = connection.signalingState === "stable" || this.#isSettingAnswer;
    const isCrossing = this.#isMakingOffer || !isStable;
    this.#isIgnoringOffer = isCrossing && !this.polite;
    if (this.#isIgnoringOffer) {
      // They yield. If they joined after our offer was sent, it never reached them, so it is sent again.
      if (this.theirSession === null) {
        this.#sendDescription();
      }
      return;
    }
    if (isCrossing && payload.session) {
      // A connection that was connected is not the one that the offer belongs to.
      this.emit("yield", connection.currentRemoteDescription ? null : payload);
      return;
    }
    // With an offer of ours pending, the browser rolls that back first and reports `negotiationneeded` again
    // afterwards.
    await this.#applyRemote("offer", payload);
    await connection.setLocalDescription();
    this.#sendDescription();
    await this.#processEarly();
  }

  /**
   * @param {"offer" | "answer"} type
   * @param {Payload} payload
   */
  async #applyRemote(type, payload) {
    this.theirSession = payload.session ?? "";
    this.#theirStreams = payload.streams ?? this.#theirStreams;
    await this.#connection.setRemoteDescription({ type, sdp: payload.sdp });
  }

  async #processEarly() {
    for (const candidate of this.#early.splice(0)) {
      await this.#processCandidate(candidate);
    }
    this.#changed();
  }

  /** @param {Payload} candidate */
  async #processCandidate(candidate) {
    if (candidate.message) {
      this.#onMessage(candidate.message);
      return;
    }
    const { remoteDescription } = this.#connection;
    const fragment = candidate.usernameFragment;
    // A candidate belongs to the description with its username fragment.
    const isEarly = !remoteDescription || (fragment && !remoteDescription.sdp.includes(`a=ice-ufrag:${fragment}`));
    if (isEarly) {
      if (this.#early.length < EARLY_MAX) {
        this.#early.push(candidate);
      }
      return;
    }
    const { session: _session, for: _for, ...init } = candidate;
    try {
      await this.#connection.addIceCandidate(init);
    } catch (error) {
      if (!this.#isIgnoringOffer && !this.closed) {
        throw error;
      }
    }
  }

  // ---- staying connected

  #onStateChange() {
    if (this.closed) {
      return;
    }
    clearTimeout(this.#restartTimer);
    if (this.state === "connected") {
      this.downSince = 0;
      this.isRelayed = false;
    } else {
      this.downSince ||= performance.now();
      this.#scheduleRestart();
    }
    this.#changed();
  }

  #scheduleRestart() {
    const courtesy = this.polite ? POLITE_PAUSE : 0;
    if (this.state === "failed") {
      this.#restartTimer = setTimeout(() => this.restart(), courtesy);
    } else if (this.state === "disconnected") {
      this.#restartTimer = setTimeout(() => this.restart(), INTERRUPTION_MAX + courtesy);
    }
  }

  /** Restarts ICE, and again while there is no connection. */
  restart() {
    if (this.closed) {
      return;
    }
    clearTimeout(this.#restartTimer);
    this.#connection.restartIce();
    this.#restartTimer = setTimeout(() => this.state !== "connected" && this.restart(), RESTART_INTERVAL);
  }

  /** Sends and receives through the server, and restarts ICE until there is a connection. */
  relay() {
    if (!this.isRelayed) {
      this.isRelayed = true;
      if (this.#connection.currentRemoteDescription) {
        clearTimeout(this.#restartTimer);
        this.#restartTimer = setTimeout(() => this.restart(), RESTART_INTERVAL + (this.polite ? POLITE_PAUSE : 0));
      }
      this.#changed();
    }
  }

  close() {
    if (this.closed) {
      return;
    }
    this.closed = true;
    clearTimeout(this.#restartTimer);
    this.#connection.close();
    this.received.clear();
    this.#changed();
  }

  // ---- media

  /**
   * Sends a track in a role instead of the one before; null stops sending.
   * @param {Role} role
   * @param {MediaStreamTrack | null} track
   * @param {MediaStream} stream
   */
  async sendTrack(role, track, stream) {
    const transceiver = this.#transceivers.get(role);
    try {
      if (transceiver) {
        // Needs no negotiation. That a role is off is sent as a message, or is in the call's state (whose screen is
        // shared).
        await transceiver.sender.replaceTrack(track);
      } else if (track) {
        const sender = this.#connection.addTrack(track, stream);
        const added = this.#connection.getTransceivers().find((one) => one.sender === sender);
        if (added) {
          this.#transceivers.set(role, added);
        }
      }
    } catch (error) {
      if (!this.closed) {
        throw error;
      }
    }
  }

  /**
   * Offers to receive without sending.
   * @param {("audio" | "video")[]} kinds
   */
  receiveOnly(...kinds) {
    for (const kind of kinds) {
      this.#connection.addTransceiver(kind, { direction: "recvonly" });
    }
  }

  /**
   * Limits the video of a role; nothing of it is sent while they do not show it.
   * @param {Role} role
   * @param {Step} step
   */
  async limit(role, step) {
    this.#limits.set(role, step);
    const sender = this.#transceivers.get(role)?.sender;
    const parameters = sender?.getParameters();
    const [encoding] = parameters?.encodings ?? [];
    if (!sender?.track || !parameters || !encoding) {
      return;
    }
    const { width = 0, height = 0 } = sender.track.getSettings();
    const wanted = {
      active: !Array.isArray(this.status.wants) || this.status.wants.includes(role),
      maxBitrate: step.bits,
      maxFramerate: step.frames,
      scaleResolutionDownBy: Math.max(Math.min(width, height) / step.lines, 1),
    };
    const isSame = Object.entries(wanted).every(([name, value]) => Reflect.get(encoding, name) === value);
    if (!isSame) {
      Object.assign(encoding, wanted);
      // Refused during a negotiation; the next periodic check repeats it.
      await sender.setParameters(parameters).catch(() => {});
    }
  }

  /**
   * Asks for the video of these roles and no other.
   * @param {Role[]} roles
   */
  want(roles) {
    if (String(this.wanted) !== String(roles)) {
      this.wanted = roles;
      this.sendMessage({ wants: roles });
      this.#changed();
    }
  }

  /**
   * @param {MediaStreamTrack} track
   * @param {MediaStream | undefined} stream
   */
  #onTrack(track, stream) {
    if (!stream) {
      return;
    }
    this.received.set(stream.id, stream);
    stream.onremovetrack = () => this.#changed();
    track.onmute = track.onunmute = track.onended = () => this.#changed();
    this.#changed();
  }

  /**
   * Their stream of camera and microphone, or of the screen. Without stream ids from the client, the first
   * stream is the camera's.
   * @param {"camera" | "screen"} kind
   */
  streamOf(kind) {
    const streams = [...this.received.values()].filter((stream) => stream.getTracks().length > 0);
    if (this.#theirStreams) {
      const id = this.#theirStreams[kind];
      return streams.find((stream) => stream.id === id) ?? null;
    }
    return streams[kind === "camera" ? 0 : 1] ?? null;
  }

  statistics() {
    return this.#connection.getStats();
  }

  // ---- messages between clients

  /**
   * Sends a message over the data channel. Without one, it travels in a signal if their media is relayed, too. What
   * people write does not: a server keeps signals while the call lasts.
   * @param {PeerMessage} message
   * @returns {boolean} whether it was sent
   */
  sendMessage(message) {
    if (this.#channel.readyState === "open") {
      this.#channel.send(JSON.stringify(message));
      return true;
    }
    if (!this.isRelayed || this.closed || message.text) {
      return false;
    }
    // A client that does not know `message` takes it for the end of the candidates.
    this.#send("ice_candidate", { candidate: "", message });
    return true;
  }

  /** @param {unknown} data */
  #onData(data) {
    if (typeof data !== "string" || data.length > MESSAGE_MAX) {
      return;
    }
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    this.#onMessage(message);
  }

  /** @param {PeerMessage} message */
  #onMessage(message) {
    if (message && typeof message === "object") {
      const { muted = this.status.muted, camera = this.status.camera, wants = this.status.wants } = message;
      this.status = { muted, camera, wants };
      if (message.wants) {
        this.#limits.forEach((step, role) => this.limit(role, step));
      }
      this.emit("message", message);
      this.#changed();
    }
  }

  #changed() {
    this.emit("change");
  }
}
