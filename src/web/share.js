// A screen shown in a channel outside a call, to any number of viewers.
//
// Whoever watches offers to receive, and the sharer answers with the picture: so the sharer needs no list of viewers, and
// somebody who comes later watches like everybody else.

import { get, insist, post } from "./api.js";
import { openScreen } from "./devices.js";
import { Mesh } from "./mesh.js";

/** What the sharer and the viewers have in common: a mesh over the share's signals. */
class Share extends EventTarget {
  #cursor;

  constructor(me, id, iceServers, cursor, streams, equip) {
    super();
    this.me = me;
    this.id = id;
    this.over = false;
    this.#cursor = cursor;
    this.mesh = new Mesh({ me, path: `/screenshare/${id}/signal`, iceServers, streams, equip });
    this.mesh.addEventListener("change", () => this.dispatchEvent(new Event("change")));
  }

  signal(signal) {
    if (!this.over && signal.id > this.#cursor) {
      this.#cursor = signal.id;
      this.mesh.receive(signal);
    }
  }

  /** Asks for signals that the stream may have missed. */
  async refresh() {
    const signals = await get(`/screenshare/${this.id}/signals?after=${this.#cursor}`).catch(() => []);
    signals.forEach((signal) => this.signal(signal));
  }

  end(reason = "") {
    if (!this.over) {
      this.over = true;
      this.reason = reason;
      this.mesh.tell({ bye: true });
      // What was told should leave before the connections do.
      setTimeout(() => this.mesh.close(), 300);
      this.dispatchEvent(new Event("end"));
    }
  }
}

/** My screen. */
export class MyShare extends Share {
  #tracks;

  /** Asks which screen, and shows it in a channel. */
  static async start(me, channel) {
    const { picture, sound } = await openScreen();
    try {
      const { ice_servers: iceServers } = await get("/calls/ice");
      const { share_id: id } = await post("/screenshare/start", { channel });
      return new MyShare(me, id, iceServers, picture, sound);
    } catch (error) {
      picture.stop();
      sound?.stop();
      throw error;
    }
  }

  constructor(me, id, iceServers, picture, sound) {
    const stream = new MediaStream([picture, sound].filter(Boolean));
    super(me, id, iceServers, 0, { screen: stream.id }, (peer) => {
      peer.sendTrack("screen", picture, stream);
      peer.sendTrack("screenSound", sound, stream);
    });
    this.#tracks = [picture, sound].filter(Boolean);
    picture.onended = () => this.stop();
    addEventListener("pagehide", this.#hidden);
  }

  get viewers() {
    return [...this.mesh.peers.values()].filter((peer) => peer.state === "connected").length;
  }

  #hidden = () => this.stop();

  async stop() {
    this.end();
    await insist(() => post(`/screenshare/${this.id}/stop`, {}, { keepalive: true }), () => true).catch(() => {});
  }

  end(reason) {
    removeEventListener("pagehide", this.#hidden);
    this.#tracks.forEach((track) => track.stop());
    super.end(reason);
  }
}

/** Somebody else's screen. */
export class Watched extends Share {
  static async start(me, { share_id: id, sharer }) {
    const { ice_servers: iceServers } = await get("/calls/ice");
    // What was signalled at an earlier visit is not for this one.
    const before = await get(`/screenshare/${id}/signals?after=0`);
    return new Watched(me, id, sharer, iceServers, before.at(-1)?.id ?? 0);
  }

  constructor(me, id, sharer, iceServers, cursor) {
    super(me, id, iceServers, cursor, {}, (peer, answering) => answering || peer.wantToReceive("video", "audio"));
    this.sharer = sharer;
    this.mesh.connect(sharer);
  }

  get peer() {
    return this.mesh.peers.get(this.sharer) ?? null;
  }
}
