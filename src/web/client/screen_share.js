// @ts-check
// A screen shared in a channel outside a call, with any number of viewers.
//
// A viewer offers to receive, and the sharer answers with the video. So the sharer needs no list of viewers, and late
// viewers are no special case.

import { newKey, retryWhileOffline, within } from "./api.js";
import { openScreen } from "./devices.js";
import { Emitter } from "./emitter.js";
import { Mesh } from "./mesh.js";

/** @import { Peer } from "./peer.js" */
/** @import { Client, ShareState, Signal, StreamIds } from "./types.js" */

/** A message over the data channel needs this long, in milliseconds, to leave before the connections close. */
const LAST_MESSAGE_TIME = 300;

/** How long, in milliseconds, starting and stopping a share are retried. */
const START_MAX = 10_000;
const STOP_MAX = 60_000;

/**
 * @typedef {object} ScreenShareOptions
 * @property {Client} client
 * @property {string} me
 * @property {string} id
 * @property {RTCIceServer[]} iceServers
 * @property {number} cursor the last signal that is not for this visit
 * @property {StreamIds} streams
 * @property {(peer: Peer, isAnswering: boolean) => void} addMedia
 */

/**
 * What the sharer and the viewers have in common: a mesh over the share's signals.
 * @extends {Emitter<{ change: void, end: void }>}
 */
export class ScreenShare extends Emitter {
  #cursor;

  over = false;
  /** Why it is over, as a sentence; empty if this person closed it. */
  reason = "";

  /** @param {ScreenShareOptions} options */
  constructor({ client, me, id, iceServers, cursor, streams, addMedia }) {
    super();
    this.api = client.api;
    this.id = id;
    this.#cursor = cursor;
    this.mesh = new Mesh({ api: client.api, me, path: `/screenshare/${id}/signal`, iceServers, streams, addMedia });
    this.mesh.on("change", () => this.emit("change"));
  }

  /** @param {Signal} signal */
  onSignal(signal) {
    if (!this.over && signal.id > this.#cursor) {
      this.#cursor = signal.id;
      this.mesh.receive(signal);
    }
  }

  /** Reads the signals that the event stream may have missed. */
  async refresh() {
    /** @type {Signal[]} */
    const signals = await this.api.get(`/screenshare/${this.id}/signals?after=${this.#cursor}`).catch(() => []);
    signals.forEach((signal) => this.onSignal(signal));
  }

  /** Ends it, also on the server if it is mine. */
  async stop() {
    this.end();
  }

  end(reason = "") {
    if (!this.over) {
      this.over = true;
      this.reason = reason;
      this.mesh.broadcast({ bye: true });
      setTimeout(() => this.mesh.close(), LAST_MESSAGE_TIME);
      this.emit("end");
    }
  }
}

/** My screen. */
export class OwnShare extends ScreenShare {
  #tracks;

  /**
   * Lets the person choose a screen, and shares it.
   * @param {Client} client
   * @param {string} me
   * @param {string} channel
   */
  static async start(client, me, channel) {
    const { videoTrack, audioTrack } = await openScreen();
    try {
      const iceServers = await client.api.fetchIceServers();
      const key = newKey();
      const start = () => client.api.post("/screenshare/start", { channel }, { key });
      const { share_id: id } = await retryWhileOffline(start, within(START_MAX));
      return new OwnShare({ client, me, id, iceServers, videoTrack, audioTrack });
    } catch (error) {
      videoTrack.stop();
      audioTrack?.stop();
      throw error;
    }
  }

  /**
   * @param {Pick<ScreenShareOptions, "client" | "me" | "id" | "iceServers">
   *   & { videoTrack: MediaStreamTrack, audioTrack: MediaStreamTrack | null }} options
   */
  constructor({ client, me, id, iceServers, videoTrack, audioTrack }) {
    const tracks = audioTrack ? [videoTrack, audioTrack] : [videoTrack];
    const stream = new MediaStream(tracks);
    /** @param {Peer} peer */
    const addMedia = (peer) => {
      peer.sendTrack("screen", videoTrack, stream);
      peer.sendTrack("screenSound", audioTrack, stream);
    };
    super({ client, me, id, iceServers, cursor: 0, streams: { screen: stream.id }, addMedia });
    this.#tracks = tracks;
    videoTrack.onended = () => this.stop();
    addEventListener("pagehide", this.#onPageHide);
  }

  get viewerCount() {
    return [...this.mesh.peers.values()].filter((peer) => peer.state === "connected").length;
  }

  #onPageHide = () => this.stop();

  /** @override */
  async stop() {
    this.end();
    const postStop = () => this.api.post(`/screenshare/${this.id}/stop`, {}, { keepalive: true });
    await retryWhileOffline(postStop, within(STOP_MAX)).catch(() => {});
  }

  /** @override */
  end(reason = "") {
    removeEventListener("pagehide", this.#onPageHide);
    this.#tracks.forEach((track) => track.stop());
    super.end(reason);
  }
}

/** Somebody else's screen. */
export class ViewedShare extends ScreenShare {
  /**
   * @param {Client} client
   * @param {string} me
   * @param {ShareState} share
   */
  static async start(client, me, { share_id: id, sharer }) {
    const iceServers = await client.api.fetchIceServers();
    // The signals of an earlier visit are not for this one.
    /** @type {Signal[]} */
    const earlier = await client.api.get(`/screenshare/${id}/signals?after=0`);
    return new ViewedShare({ client, me, id, sharer, iceServers, cursor: earlier.at(-1)?.id ?? 0 });
  }

  /** @param {Pick<ScreenShareOptions, "client" | "me" | "id" | "iceServers" | "cursor"> & { sharer: string }} options */
  constructor({ sharer, ...options }) {
    /**
     * @param {Peer} peer
     * @param {boolean} isAnswering
     */
    const addMedia = (peer, isAnswering) => {
      if (!isAnswering) {
        peer.receiveOnly("video", "audio");
      }
    };
    super({ ...options, streams: {}, addMedia });
    this.sharer = sharer;
    this.mesh.connect(sharer);
  }

  get peer() {
    return this.mesh.peers.get(this.sharer) ?? null;
  }
}
