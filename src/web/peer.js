// One connection to one other person: perfect negotiation (WebRTC 1.0, section 10.7), with the signals of this API.
//
// Either side may offer at any time. When two offers cross, the impolite side ignores the other's, and the polite side gives way;
// who is polite is settled by the names (see mesh.js), so both sides agree on it without asking. In the standard's example, giving way is a
// rollback. In Chromium that costs the sound and the picture of the one who gives way, now and then, for good; so here the polite
// side takes a new connection, which answers the other's offer, or offers again if the old one had been connected. It is seldom
// needed: only the first picture of a camera or a screen, and a new way through the network, is negotiated at all.
//
// A signal's payload is the RTCSessionDescription or RTCIceCandidate itself, with three more members, which a client may leave out:
//   session   which connection of the sender's this is: a page that was loaded anew has another
//   for       the session of the recipient's that it is meant for, as far as the sender knows
//   streams   in a description: which media stream is the camera's (with the microphone) and which the screen's

/** Candidates that wait for their description; more than this is no honest client. */
const EARLY_MAX = 200;

/**
 * A connection that was interrupted often comes back by itself; after this many milliseconds it is helped. Both sides see the
 * same interruption, so the polite one waits longer, lest their offers cross.
 */
const INTERRUPTION = 2_500;
const POLITE_PAUSE = 2_500;

/** While a connection is down, a new way is looked for this often. */
const RETRY = 8_000;

export class Peer extends EventTarget {
  #send;
  #connection;
  #makingOffer = false;
  #ignoringOffer = false;
  #settingAnswer = false;
  /** Candidates whose description has not come yet. */
  #early = [];
  /** Signals are taken one after the other, in the order in which the server has them. */
  #taking = Promise.resolve();
  /** What is sent, by role: microphone, camera, screen, screenSound. */
  #transceivers = new Map();
  #streams;
  #theirStreams = null;
  #restarting = 0;
  #channel;

  /** Whether it was closed. */
  closed = false;
  /** The peer that took over when this one gave way. */
  successor = null;
  /** The session of theirs that this is a connection to; null until they have said. */
  theirSession = null;
  /** What they send, by the id of the stream. */
  received = new Map();
  /** What they say of themselves: `{muted, camera}`. */
  says = {};
  /** Since when it is not connected, in milliseconds; 0 while it is. */
  downSince = performance.now();
  /** When the server was last told that they cannot be reached; 0 if they can. */
  reported = 0;

  /**
   * `send(type, payload)` hands a signal to the server, in order. `streams` are the ids of our media streams,
   * `{camera, screen}`.
   */
  constructor({ name, session, polite, iceServers, streams, send }) {
    super();
    this.name = name;
    /** Which connection of ours this is. */
    this.session = session;
    this.polite = polite;
    this.#streams = streams;
    this.#send = send;
    const connection = new RTCPeerConnection({ iceServers });
    this.#connection = connection;
    connection.onnegotiationneeded = () => this.#offer();
    connection.onicecandidate = ({ candidate }) => candidate && this.#send("ice_candidate", candidate.toJSON());
    connection.onconnectionstatechange = () => this.#stateChanged();
    connection.ontrack = ({ track, streams: [stream] }) => this.#received(track, stream);
    // A channel of our own for what is said between clients. `negotiated` needs no agreement, and a client without it does no harm.
    this.#channel = connection.createDataChannel("state", { negotiated: true, id: 0 });
    this.#channel.onopen = () => this.dispatchEvent(new Event("open"));
    this.#channel.onmessage = ({ data }) => this.#told(data);
  }

  /** new, connecting, connected, disconnected, failed or closed. */
  get state() {
    return this.#connection.connectionState;
  }

  // ---- negotiation

  async #offer() {
    try {
      this.#makingOffer = true;
      await this.#connection.setLocalDescription();
      this.#describe();
    } catch (error) {
      if (!this.closed) {
        throw error;
      }
    } finally {
      this.#makingOffer = false;
    }
  }

  #describe() {
    const { type, sdp } = this.#connection.localDescription;
    this.#send(type, { type, sdp, streams: this.#streams });
  }

  /** Takes a signal from them. */
  receive(type, payload) {
    this.#taking = this.#taking.then(() => this.#take(type, payload)).catch((error) => {
      if (!this.closed) {
        console.warn(`A signal from ${this.name} could not be used:`, error);
      }
    });
    return this.#taking;
  }

  async #take(type, payload) {
    if (this.closed) {
      this.successor?.receive(type, payload);
      return;
    }
    if (type === "ice_candidate") {
      await this.#takeCandidate(payload);
      return;
    }
    const connection = this.#connection;
    if (type === "answer" && connection.signalingState !== "have-local-offer") {
      return; // a second answer to an offer that was repeated
    }
    const ready = !this.#makingOffer && (connection.signalingState === "stable" || this.#settingAnswer);
    const crossed = type === "offer" && !ready;
    if (crossed && this.polite) {
      // A connection that has been made before is no longer what the other's offer is about.
      const offer = connection.currentRemoteDescription ? null : payload;
      this.dispatchEvent(new CustomEvent("giveway", { detail: offer }));
      return;
    }
    this.#ignoringOffer = crossed;
    if (crossed) {
      // They give way. What was sent before they came on the call has not reached them, so it is said again.
      if (this.theirSession === null && connection.localDescription) {
        this.#describe();
      }
      return;
    }
    this.theirSession = payload.session ?? "";
    this.#theirStreams = payload.streams ?? this.#theirStreams;
    this.#settingAnswer = type === "answer";
    try {
      await connection.setRemoteDescription({ type, sdp: payload.sdp });
    } finally {
      this.#settingAnswer = false;
    }
    if (type === "offer") {
      await connection.setLocalDescription();
      this.#describe();
    }
    const early = this.#early.splice(0);
    for (const candidate of early) {
      await this.#takeCandidate(candidate);
    }
    this.#changed();
  }

  async #takeCandidate(candidate) {
    const { remoteDescription } = this.#connection;
    const fragment = candidate.usernameFragment;
    // A candidate belongs to the description with its user name fragment, which may not have come yet.
    if (!remoteDescription || (fragment && !remoteDescription.sdp.includes(`a=ice-ufrag:${fragment}`))) {
      if (this.#early.length < EARLY_MAX) {
        this.#early.push(candidate);
      }
      return;
    }
    const { session, for: visit, ...init } = candidate;
    try {
      await this.#connection.addIceCandidate(init);
    } catch (error) {
      if (!this.#ignoringOffer && !this.closed) {
        throw error;
      }
    }
  }

  // ---- staying connected

  #stateChanged() {
    if (this.closed) {
      return;
    }
    clearTimeout(this.#restarting);
    if (this.state === "connected") {
      this.downSince = 0;
    } else {
      this.downSince ||= performance.now();
      const pause = { failed: 0, disconnected: INTERRUPTION }[this.state];
      if (pause !== undefined) {
        this.#restarting = setTimeout(() => this.restart(), pause + (this.polite ? POLITE_PAUSE : 0));
      }
    }
    this.#changed();
  }

  /** Looks for a new way to them (an ICE restart), and again while there is none. */
  restart() {
    if (this.closed) {
      return;
    }
    clearTimeout(this.#restarting);
    this.#connection.restartIce();
    this.#restarting = setTimeout(() => this.state !== "connected" && this.restart(), RETRY);
  }

  close() {
    if (this.closed) {
      return;
    }
    this.closed = true;
    clearTimeout(this.#restarting);
    this.#connection.close();
    this.received.clear();
    this.#changed();
  }

  // ---- media

  /** Sends a track in a role, another one than before, or none. */
  async sendTrack(role, track, stream) {
    try {
      await this.#sendTrack(role, track, stream);
    } catch (error) {
      if (!this.closed) {
        throw error;
      }
    }
  }

  async #sendTrack(role, track, stream) {
    const transceiver = this.#transceivers.get(role);
    if (!transceiver) {
      if (track) {
        const sender = this.#connection.addTrack(track, stream);
        this.#transceivers.set(role, this.#connection.getTransceivers().find((one) => one.sender === sender));
      }
      return;
    }
    // No track, or another one, needs no negotiation. That there is nothing to see any more is told (see `tell`), or is in the
    // call's state, which knows whose screen is shown.
    await transceiver.sender.replaceTrack(track);
  }

  /** Asks to be sent something, without sending anything: somebody who only watches. */
  wantToReceive(...kinds) {
    for (const kind of kinds) {
      this.#connection.addTransceiver(kind, { direction: "recvonly" });
    }
  }

  /** Keeps what is sent in a role below so many bits a second. */
  async limit(role, bits) {
    const sender = this.#transceivers.get(role)?.sender;
    const parameters = sender?.getParameters();
    if (!parameters?.encodings?.length || parameters.encodings[0].maxBitrate === bits) {
      return;
    }
    parameters.encodings[0].maxBitrate = bits;
    // It is refused while a negotiation is under way; the next look repeats it.
    await sender.setParameters(parameters).catch(() => {});
  }

  #received(track, stream) {
    if (!stream) {
      return;
    }
    this.received.set(stream.id, stream);
    stream.onremovetrack = () => this.#changed();
    track.onmute = track.onunmute = track.onended = () => this.#changed();
    this.#changed();
  }

  /** Their camera and microphone, or their screen. Of a client that does not say which is which, the first stream is the camera's. */
  streamOf(what) {
    const streams = [...this.received.values()].filter((stream) => stream.getTracks().length > 0);
    const named = this.#theirStreams?.[what];
    if (this.#theirStreams) {
      return streams.find((stream) => stream.id === named) ?? null;
    }
    return streams[what === "camera" ? 0 : 1] ?? null;
  }

  statistics() {
    return this.#connection.getStats();
  }

  // ---- what clients tell each other

  /** Tells them something about us, as an object; lost if they are not connected. */
  tell(message) {
    if (this.#channel.readyState === "open") {
      this.#channel.send(JSON.stringify(message));
    }
  }

  #told(data) {
    let message;
    try {
      message = JSON.parse(data);
    } catch {
      return;
    }
    if (message && typeof message === "object") {
      Object.assign(this.says, message);
      this.dispatchEvent(new CustomEvent("told", { detail: message }));
      this.#changed();
    }
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
