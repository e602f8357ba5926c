// The connections of one visit to a call or a share: one peer for each of the others.
//
// Signals go to people, but a person may load the page anew, or go on with the call on another device. So each visit has a name,
// and each connection of a visit a number: together they are the session that signals carry. An offer of a session that we do
// not know replaces the connection to the one before.

import { insist, post, Refused } from "./api.js";
import { Peer } from "./peer.js";

/** Signals that came before the offer of their session; more than this is no honest client. */
const HELD_MAX = 200;

const visitOf = (session) => session.split("/")[0];

export class Mesh extends EventTarget {
  #path;
  #held = new Map();
  #retired = new Set();
  /** How many connections there have been to each person. */
  #counts = new Map();
  /** Signals to one person go one after the other, so that none overtakes another. */
  #sending = new Map();
  #closed = false;

  /** Which visit of ours this is. */
  visit = crypto.getRandomValues(new Uint32Array(3)).join("-");
  /** The peers, by name. */
  peers = new Map();

  /**
   * `path` is where signals are sent. `equip(peer, answering)` gives a new peer what we send; one that answers an offer need
   * not ask for anything.
   */
  constructor({ me, path, iceServers, streams, equip }) {
    super();
    this.me = me;
    this.#path = path;
    this.iceServers = iceServers;
    this.streams = streams;
    this.equip = equip;
  }

  /** Connects to somebody, if there is no connection yet; sending or wanting something makes the offer. */
  connect(name, answering = false) {
    if (this.#closed || this.peers.has(name)) {
      return this.peers.get(name) ?? null;
    }
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
    const peer = new Peer({
      name,
      session: this.#session(name),
      polite: this.me < name,
      iceServers: this.iceServers,
      streams: this.streams,
      send: (type, payload) => this.#send(peer, type, payload),
    });
    this.peers.set(name, peer);
    peer.addEventListener("change", () => this.#changed());
    peer.addEventListener("open", () => this.dispatchEvent(new CustomEvent("open", { detail: peer })));
    peer.addEventListener("told", ({ detail }) => this.#told(peer, detail));
    peer.addEventListener("giveway", ({ detail: offer }) => this.#giveWay(peer, offer));
    this.equip(peer, answering);
    this.#changed();
    return peer;
  }

  /** Takes a new connection in the place of one that gives way: to answer their offer, or to offer. */
  #giveWay(peer, offer) {
    this.drop(peer.name);
    peer.successor = this.connect(peer.name, offer !== null);
    if (offer) {
      peer.successor?.receive("offer", offer);
    }
  }

  /** The session of our newest connection to somebody. */
  #session(name) {
    return `${this.visit}/${this.#counts.get(name) ?? 0}`;
  }

  /** Takes a signal as the server gives it: `{from, type, payload}`. */
  receive({ from, type, payload }) {
    if (this.#closed || payload === null || typeof payload !== "object") {
      return;
    }
    if (payload.for && payload.for !== this.#session(from)) {
      return; // for an earlier connection of ours
    }
    const session = payload.session ?? "";
    if (this.#retired.has(`${from} ${session}`)) {
      return; // from an earlier one of theirs
    }
    let peer = this.peers.get(from);
    const known = peer?.theirSession ?? session;
    if (type === "offer" && known !== session) {
      this.#replace(peer, session);
      peer = null;
    }
    if (type !== "offer" && (!peer || known !== session)) {
      this.#hold(from, session, { from, type, payload });
      return;
    }
    peer ??= this.connect(from, true);
    peer.receive(type, payload);
    if (type === "offer") {
      this.#release(from, session, peer);
    }
  }

  /** They are there anew. The page or device where they were before is told, in case it is still there. */
  #replace(peer, session) {
    if (visitOf(peer.theirSession) !== visitOf(session)) {
      peer.tell({ replaced: true });
    }
    this.#retired.add(`${peer.name} ${peer.theirSession}`);
    this.peers.delete(peer.name);
    // What was told should leave before the connection does.
    setTimeout(() => peer.close(), 500);
  }

  #hold(from, session, signal) {
    const key = `${from} ${session}`;
    const held = this.#held.get(key) ?? [];
    if (held.length < HELD_MAX) {
      held.push(signal);
    }
    this.#held.set(key, held);
  }

  #release(from, session, peer) {
    const key = `${from} ${session}`;
    for (const { type, payload } of this.#held.get(key) ?? []) {
      peer.receive(type, payload);
    }
    this.#held.delete(key);
  }

  #send(peer, type, payload) {
    const body = () => ({
      to: peer.name,
      type,
      payload: { ...payload, session: peer.session, ...(peer.theirSession ? { for: peer.theirSession } : {}) },
    });
    const wanted = () => !this.#closed && !peer.closed;
    const before = this.#sending.get(peer.name) ?? Promise.resolve();
    const sent = before.then(async () => {
      if (wanted()) {
        await insist(() => post(this.#path, body()), wanted);
      }
    });
    this.#sending.set(
      peer.name,
      sent.catch((error) => {
        // Somebody who has left, or a call that is over: the event that says so is on its way.
        if (!(error instanceof Refused)) {
          this.dispatchEvent(new Event("unsent"));
        }
      }),
    );
  }

  #told(peer, message) {
    if (message.bye) {
      this.drop(peer.name);
    }
    if (message.replaced) {
      this.dispatchEvent(new Event("replaced"));
    }
  }

  /** Somebody has left. */
  drop(name) {
    const peer = this.peers.get(name);
    if (peer) {
      this.peers.delete(name);
      peer.close();
      this.#changed();
    }
  }

  /** After a change of network: new ways are looked for. */
  restart() {
    this.peers.forEach((peer) => peer.restart());
  }

  /** Tells everybody something. */
  tell(message) {
    this.peers.forEach((peer) => peer.tell(message));
  }

  close() {
    this.#closed = true;
    const peers = [...this.peers.values()];
    this.peers.clear();
    peers.forEach((peer) => peer.close());
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
