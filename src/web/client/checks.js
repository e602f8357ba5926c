// @ts-check
// What a call repeats for each of its connections: it measures, adapts what is sent, says whose picture it shows, reports
// people who cannot be reached, and reaches them through the server.

import { Emitter } from "./emitter.js";
import { onNetworkChange } from "./network.js";
import { Quality } from "./quality.js";
import { Relay } from "./relay.js";
import { CAMERA_STEPS, SCREEN_STEPS, UNLOWERED, adapt, stepFor, wantedCameras } from "./sending.js";
import { acceptedNames } from "./store.js";

/** @import { Call } from "./call.js" */
/** @import { Peer } from "./peer.js" */
/** @import { Adaptation } from "./sending.js" */

const CHECK_INTERVAL = 2_000;

/** Milliseconds without a connection to a person before they are reported to the server, and between two reports. */
const GONE_AFTER = 8_000;

/** Milliseconds without a connection to a person before media goes through the server. */
const RELAY_AFTER = 6_000;

/** The state is re-read this often, because an event stream can die silently. */
const REFRESH_INTERVAL = 10_000;

/** @extends {Emitter<{ change: void }>} */
export class Checks extends Emitter {
  #call;
  #timer;
  #stopFollowing;
  /** @type {WeakMap<Peer, Quality>} */
  #meters = new WeakMap();
  /** @type {WeakMap<Peer, Adaptation>} */
  #adaptations = new WeakMap();
  /** When each person was last connected, or came, by `performance.now()`. @type {Map<string, number>} */
  #downSince = new Map();

  /** @param {Call} call */
  constructor(call) {
    super();
    this.#call = call;
    this.relay = new Relay(call.client.api, `/calls/${call.id}/media`, call.media);
    this.relay.on("change", () => this.emit("change"));
    this.#timer = setInterval(() => this.run(), CHECK_INTERVAL);
    document.addEventListener("visibilitychange", this.wantPictures);
    this.#stopFollowing = onNetworkChange(() => {
      call.mesh?.restart();
      call.refresh();
    });
  }

  async run() {
    const { peers, online, refreshedAt } = this.#call;
    if (online && performance.now() - refreshedAt > REFRESH_INTERVAL) {
      this.#call.refresh();
    }
    this.wantPictures();
    this.followConnections();
    for (const peer of [...peers.values()]) {
      this.#reportIfGone(peer);
      await this.#measure(peer);
      this.limit(peer);
    }
    this.emit("change");
  }

  /** @param {Peer} peer */
  async #measure(peer) {
    const meter = this.#meters.get(peer) ?? new Quality();
    this.#meters.set(peer, meter);
    const quality = await meter.measure(peer);
    const { peers, qualities } = this.#call;
    if (!quality || peers.get(peer.name) !== peer) {
      return;
    }
    qualities.set(peer.name, quality);
    if (quality.sending) {
      const before = this.#adaptation(peer);
      const { bits } = stepFor(CAMERA_STEPS, peers.size + 1, before.lowered);
      this.#adaptations.set(peer, adapt(before, quality.sending, bits));
    }
  }

  /** @param {Peer} peer */
  #adaptation(peer) {
    return this.#adaptations.get(peer) ?? UNLOWERED;
  }

  /**
   * Limits the video that is sent to a person.
   * @param {Peer} peer
   */
  limit(peer) {
    const people = this.#call.peers.size + 1;
    const { lowered } = this.#adaptation(peer);
    peer.limit("camera", stepFor(CAMERA_STEPS, people, lowered));
    peer.limit("screen", stepFor(SCREEN_STEPS, people, lowered));
  }

  /** Tells everybody whether their picture is shown here: not while the page is hidden, and not too many. */
  wantPictures = () => {
    const { peers, shown, spokeAt } = this.#call;
    const names = [...peers.keys()].filter((name) => shown?.has(name) ?? true);
    const cameras = wantedCameras(names, spokeAt);
    const isHidden = document.visibilityState === "hidden" && !document.pictureInPictureElement;
    for (const [name, peer] of peers) {
      if (isHidden) {
        peer.want([]);
      } else {
        peer.want(cameras.has(name) ? ["camera", "screen"] : ["screen"]);
      }
    }
  };

  /** Relays to and from those without a connection, and goes back to WebRTC when there is one. */
  followConnections() {
    const { client, me, state, peers, status } = this.#call;
    const now = performance.now();
    const others = state ? acceptedNames(state).filter((name) => name !== me) : [];
    const down = others.filter((name) => peers.get(name)?.downSince !== 0);
    this.#downSince = new Map(down.map((name) => [name, this.#downSince.get(name) ?? now]));
    for (const name of this.relay.names.filter((name) => peers.get(name)?.via === "webrtc")) {
      this.#call.emit("notice", `${client.names.shown(name)} is connected directly again.`);
    }
    const relayed = down.filter((name) => now - (this.#downSince.get(name) ?? now) >= RELAY_AFTER);
    this.relay.follow(relayed);
    for (const peer of relayed.flatMap((name) => peers.get(name) ?? []).filter(({ isRelayed }) => !isRelayed)) {
      peer.relay();
      peer.sendMessage(status);
    }
  }

  /**
   * Reports a person who cannot be reached; the server removes them if it has lost them, too.
   * @param {Peer} peer
   */
  #reportIfGone(peer) {
    const now = performance.now();
    if (peer.downSince === 0) {
      peer.reportedAt = 0;
      return;
    }
    if (now - Math.max(peer.downSince, peer.reportedAt) >= GONE_AFTER && this.#call.isOn(peer.name)) {
      peer.reportedAt = now;
      this.#call.client.api.post(`/calls/${this.#call.id}/gone`, { username: peer.name }).catch(() => {});
    }
  }

  close() {
    clearInterval(this.#timer);
    this.relay.close();
    document.removeEventListener("visibilitychange", this.wantPictures);
    this.#stopFollowing();
  }
}
