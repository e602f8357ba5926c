// @ts-check
// The peer connections of one visit to a call or a share: one for each of the others.
//
// Signals are addressed to people, but a person may reload the page or move to another device. So each visit has an id,
// and each connection of a visit a number: together they are the session that signals carry. An offer of an unknown
// session replaces the connection to the session before.

import { retryWhileOffline } from "./api.js";
import { Emitter } from "./emitter.js";
import { Peer } from "./peer.js";

/** @import { Api } from "./api.js" */
/** @import { Payload, PeerMessage, Signal, SignalType, StreamIds } from "./types.js" */

/** Signals kept per session until its offer arrives. */
const HELD_MAX = 200;

/** A message over the data channel needs this long, in milliseconds, to leave before the connection closes. */
const LAST_MESSAGE_TIME = 500;

/** @param {string} session */
const visitOf = (session) => session.split("/")[0];

/**
 * @typedef {object} MeshOptions
 * @property {Api} api
 * @property {string} me
 * @property {string} path where signals are posted
 * @property {RTCIceServer[]} iceServers
 * @property {StreamIds} streams the ids of our media streams
 * @property {(peer: Peer, isAnswering: boolean) => void} addMedia gives a new peer what we send; a peer that answers an
 *   offer needs no tracks of its own to negotiate
 */

/** @extends {Emitter<{ change: void, open: Peer, message: { name: string, message: PeerMessage }, replaced: void }>} */
export class Mesh extends Emitter {
  #options;
  /** @type {Map<string, Pick<Signal, "from" | "type" | "payload">[]>} */
  #held = new Map();
  /** @type {Set<string>} */
  #retired = new Set();
  /** How many connections there were to each person. @type {Map<string, number>} */
  #counts = new Map();
  /**
   * Signals to one person are posted one after the other, so that none overtakes another.
   * @type {Map<string, Promise<void>>}
   */
  #sending = new Map();
  #closed = false;

  /** The id of this visit. */
  visit = crypto.getRandomValues(new Uint32Array(3)).join("-");
  /** Peers by name. @type {Map<string, Peer>} */
  peers = new Map();

  /** @param {MeshOptions} options */
  constructor(options) {
    super();
    this.#options = options;
  }

  /**
   * Connects to a person, unless there is a connection. Adding media to the peer makes the offer.
   * @param {string} name
   * @returns {Peer | null} null once the mesh is closed
   */
  connect(name, isAnswering = false) {
    const existing = this.peers.get(name) ?? null;
    if (this.#closed || existing) {
      return existing;
    }
    const { me, iceServers, streams, addMedia } = this.#options;
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
    /** @type {Peer} */
    const peer = new Peer({
      name,
      session: this.#session(name),
      polite: me < name,
      iceServers,
      streams,
      send: (type, payload) => this.#send(peer, type, payload),
    });
    this.peers.set(name, peer);
    peer.on("change", () => this.#changed());
    peer.on("open", () => this.emit("open", peer));
    peer.on("message", (message) => this.#onMessage(peer, message));
    peer.on("yield", (offer) => this.#yield(peer, offer));
    addMedia(peer, isAnswering);
    this.#changed();
    return peer;
  }

  /**
   * Replaces a connection that yields: by one that answers their offer, or, with null, by one that offers.
   * @param {Peer} peer
   * @param {Payload | null} offer
   */
  #yield(peer, offer) {
    this.drop(peer.name);
    peer.successor = this.connect(peer.name, offer !== null);
    if (offer) {
      peer.successor?.receive("offer", offer);
    }
  }

  /**
   * The session of our newest connection to a person.
   * @param {string} name
   */
  #session(name) {
    return `${this.visit}/${this.#counts.get(name) ?? 0}`;
  }

  /** @param {Pick<Signal, "from" | "type" | "payload">} signal as the server sends it */
  receive({ from, type, payload }) {
    if (this.#closed || payload === null || typeof payload !== "object") {
      return;
    }
    const isForEarlierConnection = payload.for && payload.for !== this.#session(from);
    const session = payload.session ?? "";
    if (isForEarlierConnection || this.#retired.has(`${from} ${session}`)) {
      return;
    }
    let peer = this.peers.get(from) ?? null;
    const isOtherSession = peer !== null && peer.theirSession !== null && peer.theirSession !== session;
    if (type !== "offer") {
      if (peer && !isOtherSession) {
        peer.receive(type, payload);
      } else {
        this.#hold({ from, type, payload });
      }
      return;
    }
    if (peer && isOtherSession) {
      this.#replace(peer, session);
      peer = null;
    }
    peer ??= this.connect(from, true);
    peer?.receive(type, payload);
    this.#deliverHeld(from, session, peer);
  }

  /**
   * A person has a new connection. The page or device of the one before, which may still be there, is informed.
   * @param {Peer} peer
   * @param {string} session
   */
  #replace(peer, session) {
    if (visitOf(peer.theirSession ?? "") !== visitOf(session)) {
      peer.sendMessage({ replaced: true });
    }
    this.#retired.add(`${peer.name} ${peer.theirSession}`);
    this.peers.delete(peer.name);
    setTimeout(() => peer.close(), LAST_MESSAGE_TIME);
  }

  /** @param {Pick<Signal, "from" | "type" | "payload">} signal */
  #hold(signal) {
    const key = `${signal.from} ${signal.payload.session ?? ""}`;
    const held = this.#held.get(key) ?? [];
    if (held.length < HELD_MAX) {
      held.push(signal);
    }
    this.#held.set(key, held);
  }

  /**
   * @param {string} from
   * @param {string} session
   * @param {Peer | null} peer
   */
  #deliverHeld(from, session, peer) {
    const key = `${from} ${session}`;
    for (const { type, payload } of this.#held.get(key) ?? []) {
      peer?.receive(type, payload);
    }
    this.#held.delete(key);
  }

  /**
   * @param {Peer} peer
   * @param {SignalType} type
   * @param {Payload} payload
   */
  #send(peer, type, payload) {
    const isWanted = () => !this.#closed && !peer.closed;
    const postSignal = () => {
      const recipient = peer.theirSession ? { for: peer.theirSession } : {};
      const body = { to: peer.name, type, payload: { ...payload, session: peer.session, ...recipient } };
      return this.#options.api.post(this.#options.path, body);
    };
    const previous = this.#sending.get(peer.name) ?? Promise.resolve();
    const sent = previous.then(async () => {
      if (isWanted()) {
        await retryWhileOffline(postSignal, isWanted);
      }
    });
    // A refusal means that they left or that the call is over; the event that reports it is on its way.
    this.#sending.set(peer.name, sent.catch(() => {}));
  }

  /**
   * @param {Peer} peer
   * @param {PeerMessage} message
   */
  #onMessage(peer, message) {
    if (message.bye) {
      this.drop(peer.name);
    }
    if (message.replaced) {
      this.emit("replaced");
    }
    this.emit("message", { name: peer.name, message });
  }

  /**
   * Closes the connection to a person who left.
   * @param {string} name
   */
  drop(name) {
    const peer = this.peers.get(name);
    if (peer) {
      this.peers.delete(name);
      peer.close();
      this.#changed();
    }
  }

  /** Restarts ICE with everybody, after a network change. */
  restart() {
    this.peers.forEach((peer) => peer.restart());
  }

  /**
   * @param {PeerMessage} message
   * @returns {string[]} the people whom it could not be sent to
   */
  broadcast(message) {
    return [...this.peers.values()].filter((peer) => !peer.sendMessage(message)).map(({ name }) => name);
  }

  close() {
    this.#closed = true;
    const peers = [...this.peers.values()];
    this.peers.clear();
    peers.forEach((peer) => peer.close());
  }

  #changed() {
    this.emit("change");
  }
}
