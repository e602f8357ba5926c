// A call that this page is on: its state as the server gives it, what I send, and the connections to the others.
//
// Who comes on the call offers to everybody who is on it already; POST /calls/ID/accept answers who that is, so of two people
// exactly one offers first. A page that was loaded anew, or another device, does the same again.

import { Refused, ServerGone, get, insist, post } from "./api.js";
import { Mesh } from "./mesh.js";
import { isLive, peopleOn, stateOf, whyEnded } from "./picture.js";
import { Quality } from "./quality.js";
import { Speaking } from "./speaking.js";

/** Somebody who has not offered after this many milliseconds may wait for us to. */
const OFFER_PATIENCE = 3_000;

/** A connection that is down for so long is reported to the server, and again after each such time. */
const GONE_AFTER = 8_000;

/** How often connections are looked after. */
const LOOK = 2_000;

/** How often the server is asked although it tells everything by itself: a stream can die without a sign. */
const ASK = 10_000;
const ANSWER = 6_000;

export class Call extends EventTarget {
  #cursor = 0;
  /** Signals that came before we know from which on they are ours. */
  #waiting = [];
  #timer = 0;
  #asked = performance.now();
  #qualities = new Map();
  #speaking;
  #joined = false;

  over = false;
  /** Why it is over, as a sentence. */
  reason = "";
  /** What the server said last; null before. */
  state = null;
  mesh = null;
  speakers = new Set();
  qualities = new Map();
  /** Whether the server can be reached. */
  online = true;

  constructor({ me, id, channel, media }) {
    super();
    Call.#known.set(id, this);
    this.me = me;
    this.id = id;
    this.channel = channel;
    this.media = media;
    media.addEventListener("track", ({ detail: role }) => this.#sendTrack(role));
    media.addEventListener("change", () => this.#mediaChanged());
    media.addEventListener("lost", ({ detail: role }) => this.#lost(role));
    this.#speaking = new Speaking((name, speaking) => {
      speaking ? this.speakers.add(name) : this.speakers.delete(name);
      this.#changed();
    });
  }

  // ---- coming and going

  /**
   * Calls a channel, with media that is open already, so that nobody's phone rings while a question for the microphone is
   * answered. If there is a call in the channel already, perhaps because both called at the same moment, this joins it.
   */
  static async start({ me, channel, media }) {
    for (let attempt = 0; ; attempt += 1) {
      try {
        const { call_id: id } = await post("/calls/initiate", { channel });
        const call = new Call({ me, id, channel, media });
        await call.#begin([], 0).catch((error) => {
          call.#forget();
          throw error;
        });
        return call;
      } catch (error) {
        const live = error instanceof Refused && error.code === "channel_has_live_call" && error.body.call_id;
        if (!live || attempt > 2) {
          throw error;
        }
        try {
          return await Call.join({ me, id: live, channel, media });
        } catch (joining) {
          // It was over in between: call again.
          if (!(joining instanceof Refused) || !["call_finished", "call_not_found"].includes(joining.code)) {
            throw joining;
          }
        }
      }
    }
  }

  /** Answers a call, joins one that goes on, or comes back to it. */
  static async join({ me, id, channel, media }) {
    const call = new Call({ me, id, channel, media });
    try {
      const { participants, last_signal_id: last } = await post(`/calls/${id}/accept`);
      await call.#begin(participants.filter((name) => name !== me), last);
      return call;
    } catch (error) {
      call.#forget();
      throw error;
    }
  }

  /** The calls of this page by id, also those whose answer is still under way. */
  static #known = new Map();

  static of(id) {
    return Call.#known.get(id);
  }

  async #begin(others, cursor) {
    const { ice_servers: iceServers } = await get("/calls/ice");
    this.mesh = new Mesh({
      me: this.me,
      path: `/calls/${this.id}/signal`,
      iceServers,
      streams: this.media.streams,
      equip: (peer, answering) => this.#equip(peer, answering),
    });
    this.mesh.addEventListener("change", () => this.#peersChanged());
    this.mesh.addEventListener("open", ({ detail: peer }) => peer.tell(this.#says()));
    this.mesh.addEventListener("replaced", () => this.#end("You are on this call on another device or in another window now."));
    this.#cursor = cursor;
    this.#joined = true;
    others.forEach((name) => this.mesh.connect(name));
    this.#waiting.splice(0).forEach((signal) => this.signal(signal));
    this.#timer = setInterval(() => this.#look(), LOOK);
    addEventListener("online", this.#networkChanged);
    navigator.connection?.addEventListener("change", this.#networkChanged);
    this.#mediaChanged();
    await this.refresh();
  }

  /** Goes; the others talk on while there are two. */
  async leave() {
    this.#end("You have left the call.");
    await insist(() => post(`/calls/${this.id}/leave`, {}, { keepalive: true }), () => true).catch(() => {});
  }

  /** Hangs up for everyone. */
  async endForAll() {
    this.#end(this.state?.state === "ringing" ? "You have cancelled the call." : "You have ended the call.");
    await insist(() => post(`/calls/${this.id}/end`, {}, { keepalive: true }), () => true).catch(() => {});
  }

  #end(reason) {
    if (this.over) {
      return;
    }
    this.over = true;
    this.reason = reason;
    this.#forget();
    this.media.close();
    this.mesh?.close();
    this.dispatchEvent(new Event("end"));
  }

  #forget() {
    Call.#known.delete(this.id);
    clearInterval(this.#timer);
    removeEventListener("online", this.#networkChanged);
    navigator.connection?.removeEventListener("change", this.#networkChanged);
    this.#speaking.close();
  }

  // ---- what the server says

  /** Takes the state of the call, as an event or as an answer. */
  update(state) {
    if (this.over || (this.state && state.version < this.state.version)) {
      return;
    }
    const before = this.state;
    this.state = state;
    if (!isLive(state)) {
      this.#end(this.#reason(state));
      return;
    }
    const mine = stateOf(state, this.me);
    if (this.#joined && mine !== "accepted") {
      this.#end("You are no longer on this call: the server had not heard from you, or somebody took you off it.");
      return;
    }
    this.#follow(before, state);
    this.#changed();
  }

  #reason(state) {
    const unreachable = [...(this.mesh?.peers.values() ?? [])].filter((peer) => peer.reported);
    if (state.ended_reason === "hangup" && unreachable.length > 0) {
      return `The connection to ${unreachable.map(({ name }) => name).join(" and ")} was lost, and the call has ended.`;
    }
    return whyEnded(state);
  }

  /**
   * Asks for the state, and for signals that the stream may have missed. Whoever listens to `unheard` is told when there was
   * news, or no answer: the stream should have told it.
   */
  async refresh() {
    this.#asked = performance.now();
    const [version, cursor] = [this.state?.version, this.#cursor];
    try {
      this.update(await get(`/calls/${this.id}/state`, { timeout: ANSWER }));
      if (!this.over) {
        const signals = await get(`/calls/${this.id}/signals?after=${this.#cursor}`, { timeout: ANSWER });
        signals.forEach((signal) => this.signal(signal));
      }
    } catch (error) {
      if (error instanceof Refused && [403, 404].includes(error.status)) {
        this.#end("The call has ended.");
      } else if (error instanceof ServerGone) {
        this.dispatchEvent(new Event("unheard"));
      }
      return;
    }
    if (this.state?.version !== version || this.#cursor !== cursor) {
      this.dispatchEvent(new Event("unheard"));
    }
  }

  /** A signal for me, as the server gives it; what comes twice, by the stream and by asking, is taken once. */
  signal(signal) {
    if (!this.#joined) {
      this.#waiting.push(signal);
    } else if (signal.id > this.#cursor && !this.over) {
      this.#cursor = signal.id;
      this.mesh.receive(signal);
    }
  }

  /** Who has come and gone, and who shares the screen. */
  #follow(before, state) {
    if (!this.mesh) {
      return;
    }
    const now = peopleOn(state).filter((name) => name !== this.me);
    for (const name of this.mesh.peers.keys()) {
      if (!now.includes(name)) {
        this.mesh.drop(name);
      }
    }
    for (const name of now.filter((name) => !this.mesh.peers.has(name))) {
      setTimeout(() => this.#isOn(name) && this.mesh.connect(name), OFFER_PATIENCE);
    }
    if (before && before.screenshare_user === this.me && state.screenshare_user !== this.me) {
      this.media.closeScreen();
      if (state.screenshare_user) {
        this.#notice(`${state.screenshare_user} shows a screen now, so yours is no longer shown.`);
      }
    }
  }

  #isOn(name) {
    return !this.over && this.state !== null && stateOf(this.state, name) === "accepted";
  }

  /** Whether the stream of events is open. */
  setOnline(online) {
    if (this.online !== online) {
      this.online = online;
      this.#changed();
      if (online) {
        this.refresh();
      }
    }
  }

  // ---- media

  #equip(peer, answering) {
    for (const [role, track] of Object.entries(this.media.tracks)) {
      peer.sendTrack(role, track, this.media.streamOf(role));
    }
    if (!this.media.tracks.microphone && !answering) {
      peer.wantToReceive("audio");
    }
  }

  #sendTrack(role) {
    if (!this.over) {
      const [track, stream] = [this.media.tracks[role], this.media.streamOf(role)];
      this.mesh?.peers.forEach((peer) => peer.sendTrack(role, track, stream));
    }
  }

  #says() {
    const { microphone, camera } = this.media.tracks;
    return { muted: this.media.muted || !microphone, camera: Boolean(camera) };
  }

  #mediaChanged() {
    if (!this.over) {
      this.#speaking.listen(this.me, this.media.camera);
      this.mesh?.tell(this.#says());
      this.#changed();
    }
  }

  #lost(role) {
    if (role === "screen") {
      this.stopScreen();
    } else if (role !== "screenSound") {
      this.#notice(`The ${role} is gone. Choose another one under Devices.`);
    }
  }

  /** Shows my screen, instead of anybody else's: a call has one sharer. */
  async shareScreen() {
    await this.media.openScreen();
    try {
      await post(`/calls/${this.id}/screenshare`, { on: true });
    } catch (error) {
      this.media.closeScreen();
      throw error;
    }
  }

  async stopScreen() {
    this.media.closeScreen();
    await post(`/calls/${this.id}/screenshare`, { on: false }).catch(() => {});
  }

  invite(username) {
    return post(`/calls/${this.id}/invite`, { username });
  }

  remove(username) {
    return post(`/calls/${this.id}/remove`, { username });
  }

  // ---- looking after the connections

  #peersChanged() {
    for (const [name, peer] of this.mesh.peers) {
      this.#speaking.listen(name, peer.streamOf("camera"));
    }
    for (const name of this.#qualities.keys()) {
      if (!this.mesh.peers.has(name)) {
        this.#qualities.delete(name);
        this.qualities.delete(name);
        this.#speaking.forget(name);
      }
    }
    this.#changed();
  }

  #networkChanged = () => {
    this.mesh?.restart();
    this.refresh();
  };

  async #look() {
    if (this.online && performance.now() - this.#asked > ASK) {
      this.refresh();
    }
    const peers = [...this.mesh.peers.values()];
    for (const peer of peers) {
      this.#report(peer);
      if (!this.#qualities.has(peer.name)) {
        this.#qualities.set(peer.name, new Quality());
      }
      const quality = await this.#qualities.get(peer.name).look(peer);
      if (quality && this.mesh.peers.get(peer.name) === peer) {
        this.qualities.set(peer.name, quality);
      }
      // In a mesh everybody sends to everybody, so the more they are, the less each gets.
      peer.limit("camera", Math.max(250_000, Math.round(1_800_000 / peers.length)));
    }
    this.#changed();
  }

  /** Says that somebody cannot be reached; the server takes them off the call if it does not hear from them either. */
  #report(peer) {
    const now = performance.now();
    if (peer.downSince === 0) {
      peer.reported = 0;
      return;
    }
    if (now - Math.max(peer.downSince, peer.reported) < GONE_AFTER || !this.#isOn(peer.name)) {
      return;
    }
    peer.reported = now;
    post(`/calls/${this.id}/gone`, { username: peer.name }).catch(() => {});
  }

  #notice(sentence) {
    this.dispatchEvent(new CustomEvent("notice", { detail: sentence }));
  }

  #changed() {
    if (!this.over) {
      this.dispatchEvent(new Event("change"));
    }
  }
}
