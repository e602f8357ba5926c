// @ts-check
// One tile of a call: a person, a shared screen, or whom the call rings for while nobody else is on it.

import { connectionNote } from "./connection_note.js";
import { useSpeaker } from "./devices.js";
import { button, face, h, setProperties, setText } from "./dom.js";
import { icon } from "./icons.js";

/** @import { Call } from "./call.js" */
/** @import { Rect } from "./layout.js" */
/** @import { Peer } from "./peer.js" */
/** @import { Measurement } from "./quality.js" */
/** @import { Volume } from "./tiles.js" */

/** Milliseconds that a reaction is shown. */
const REACTION_TIME = 4_000;

/**
 * @typedef {object} TileItem
 * @property {string} key
 * @property {string} name whose camera or screen it is
 * @property {"self" | "peer" | "screen" | "calling"} kind
 */

/**
 * @typedef {object} TileOptions
 * @property {() => void} onBlocked the browser wants a click before it plays sound
 * @property {(tile: Tile) => void} [showMenu]
 * @property {() => void} [togglePin]
 */

/**
 * @typedef {object} TileContent
 * @property {MediaStreamTrack | null} videoTrack
 * @property {MediaStreamTrack | null} audioTrack
 * @property {boolean} isMuted
 * @property {string} note
 * @property {Peer | null} peer
 * @property {HTMLVideoElement | null} relayed plays what comes through the server, instead of the tracks
 */

const NOTHING = { videoTrack: null, audioTrack: null, isMuted: false, note: "", peer: null, relayed: null };

export class Tile {
  #kind;
  #name;
  #me;
  #shown;
  #options;
  /** Sound has an element of its own, so that it plays without video. @type {HTMLAudioElement | null} */
  #audio = null;
  /** @type {HTMLVideoElement | null} */
  #relayed = null;
  #muted = h("span", { class: "tile-muted", hidden: true },
    icon("microphoneOff"), h("span", { class: "visually-hidden" }, "Muted"));
  #hand = h("span", { class: "tile-hand", hidden: true },
    icon("hand"), h("span", { class: "visually-hidden" }, "Hand raised"));
  #bars = h("span", { class: "bars", hidden: true, role: "img" }, h("i"), h("i"), h("i"));
  #note = h("p", { class: "tile-note", role: "status" });
  #reaction = h("span", { class: "tile-reaction", "aria-hidden": "true", hidden: true });
  /** @type {HTMLButtonElement | null} */
  #pin = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #reactionTimer;

  video = h("video", { autoplay: true, playsinline: true, hidden: true });

  /**
   * @param {TileItem} item
   * @param {Call} call
   * @param {TileOptions} options
   */
  constructor({ key, name, kind }, { me, client }, options) {
    this.key = key;
    this.#name = name;
    this.#kind = kind;
    this.#me = me;
    this.#shown = client.names.shown(name);
    this.#options = options;
    this.video.muted = true;
    this.video.onresize = () => this.#renderLoading();
    if (kind === "peer" || kind === "screen") {
      this.#audio = h("audio", { autoplay: true });
      useSpeaker(this.#audio);
    }
    this.element = h(
      "figure",
      { class: `tile ${kind}`, "data-tile": name, "data-kind": kind },
      face(name, this.#shown, `huge${kind === "calling" ? " pulse" : ""}`),
      this.video,
      this.#audio,
      h("figcaption", {}, this.#hand, this.#muted,
        h("span", { class: "tile-name", title: name }, this.label), this.#bars),
      this.#note,
      this.#reaction,
      kind !== "calling" && this.#buttons(),
    );
    this.element.ondblclick = () => this.togglePin();
  }

  /** What the tile shows. */
  get label() {
    if (this.#kind === "screen") {
      return this.#name === this.#me ? "Your screen" : `${this.#shown}’s screen`;
    }
    return this.#kind === "self" ? `${this.#shown} (you)` : this.#shown;
  }

  #buttons() {
    const { showMenu, togglePin } = this.#options;
    if (!showMenu || !togglePin) {
      return null;
    }
    const pin = { icon: "pin", label: `Pin ${this.label}`, "aria-pressed": "false", "data-action": "pin" };
    this.#pin = button({ ...pin, class: "plain tile-pin", onclick: togglePin });
    const more = { icon: "more", label: `Options for ${this.label}`, "data-action": "tile-menu" };
    return h("div", { class: "tile-actions" }, this.#pin,
      button({ ...more, class: "plain", onclick: () => showMenu(this) }));
  }

  // ---- what the view sets

  /** Whether it stays large. */
  get isPinned() {
    return this.#pin?.getAttribute("aria-pressed") === "true";
  }

  set isPinned(isPinned) {
    this.#pin?.setAttribute("aria-pressed", String(isPinned));
  }

  /** What shows the picture: of a person whose media comes through the server, the element that plays that. */
  get picture() {
    return this.#relayed ?? this.video;
  }

  togglePin() {
    this.#options.togglePin?.();
  }

  /** Whether it can be made louder or quieter. */
  get hasSound() {
    return this.#audio !== null;
  }

  /** @returns {Volume} */
  get volume() {
    return { level: this.#audio?.volume ?? 1, muted: this.#audio?.muted ?? false };
  }

  set volume({ level, muted }) {
    if (this.#audio) {
      this.#audio.volume = level;
      this.#audio.muted = muted;
      if (this.#relayed) {
        this.#relayed.volume = muted ? 0 : level; // `muted` is the browser's wish for a click
      }
      this.element.classList.toggle("silenced", muted || level === 0);
    }
  }

  /**
   * @param {Rect} rect
   * @param {boolean} isLarge
   */
  place({ left, top, width, height }, isLarge) {
    const { style } = this.element;
    style.left = `${left}px`;
    style.top = `${top}px`;
    style.width = `${width}px`;
    style.height = `${height}px`;
    this.element.classList.toggle("large", isLarge);
  }

  /** @param {string} reaction */
  showReaction(reaction) {
    setText(this.#reaction, reaction);
    this.#reaction.hidden = false;
    clearTimeout(this.#reactionTimer);
    this.#reactionTimer = setTimeout(() => (this.#reaction.hidden = true), REACTION_TIME);
  }

  // ---- rendering

  /** @param {Call} call */
  render(call) {
    const content = this.#content(call);
    const { videoTrack, audioTrack, isMuted, note, peer, relayed } = content;
    this.#showRelayed(relayed);
    this.#showVideo(videoTrack);
    this.#playAudio(audioTrack);
    this.video.hidden = !videoTrack;
    this.video.classList.toggle("mirrored", this.#kind === "self");
    this.element.classList.toggle("with-video", Boolean(videoTrack) || relayed?.hidden === false);
    this.element.classList.toggle("speaking", this.#kind !== "screen" && call.speakers.has(this.#name));
    this.#muted.hidden = !isMuted;
    this.#hand.hidden = this.#kind === "screen" || !call.conversation.hands.has(this.#name);
    if (this.#kind === "screen") {
      this.#renderLoading();
    } else {
      setText(this.#note, note);
    }
    if (this.#name !== this.#me && this.#kind !== "calling") {
      this.#renderConnection(peer, call.qualities.get(this.#name) ?? null);
    }
  }

  /** Of a screen, until the first picture is there. */
  #renderLoading() {
    if (this.#kind === "screen") {
      const video = this.picture;
      const isLoading = video.hidden || video.videoWidth === 0;
      setText(this.#note, isLoading ? "Loading screen…" : "");
    }
  }

  /**
   * @param {Call} call
   * @returns {TileContent}
   */
  #content(call) {
    const { me, media, peers, relay, state } = call;
    const isScreen = this.#kind === "screen";
    if (this.#kind === "calling") {
      return { ...NOTHING, note: "Ringing…" };
    }
    if (this.#name === me) {
      const videoTrack = liveVideo(isScreen ? media.screen : media.camera);
      return { ...NOTHING, videoTrack, isMuted: !isScreen && (media.muted || !media.tracks.microphone) };
    }
    const peer = peers.get(this.#name);
    if (!peer) {
      return NOTHING;
    }
    const note = isScreen ? "" : connectionNote(factsOf(call, peer), this.#shown);
    const isMuted = !isScreen && Boolean(peer.status.muted);
    if (peer.via === "relay") {
      const isHere = isScreen === (state?.screenshare_user === this.#name);
      return { ...NOTHING, isMuted, note, peer, relayed: isHere ? (relay?.elementOf(this.#name) ?? null) : null };
    }
    const stream = peer.streamOf(isScreen ? "screen" : "camera");
    const audioTrack = stream?.getAudioTracks()[0] ?? null;
    if (isScreen) {
      return { ...NOTHING, videoTrack: arrivingVideo(stream), audioTrack, peer };
    }
    const isFilming = peer.status.camera !== false && peer.wanted.includes("camera");
    const videoTrack = isFilming ? arrivingVideo(stream) : null;
    return { ...NOTHING, videoTrack, audioTrack, isMuted, note, peer };
  }

  /**
   * @param {Peer | null} peer
   * @param {Measurement | null} quality
   */
  #renderConnection(peer, quality) {
    setProperties(this.element, {
      "data-connection": peer?.state ?? "none",
      "data-via": peer?.via ?? null,
      "data-quality": quality?.level ?? null,
      "data-bytes-received": quality?.received ?? null,
      "data-frames-decoded": quality?.frames ?? null,
    });
    this.#bars.hidden = this.#kind === "screen" || !quality;
    if (quality) {
      const { level, roundTrip, loss } = quality;
      const delay = roundTrip === null ? "" : `, ${Math.round(roundTrip)} ms`;
      const text = `Connection ${level}${delay}, ${Math.round(loss * 100)} % packet loss`;
      setProperties(this.#bars, { "aria-label": text, title: text, class: `bars ${level}` });
    }
  }

  /** @param {MediaStreamTrack | null} track */
  #showVideo(track) {
    if (trackOf(this.video) !== track) {
      this.video.srcObject = track ? new MediaStream([track]) : null;
      if (track) {
        this.video.play().catch(() => {});
      }
    }
  }

  /** @param {HTMLVideoElement | null} video */
  #showRelayed(video) {
    if (this.#relayed !== video) {
      if (this.#relayed && this.element.contains(this.#relayed)) {
        this.#relayed.remove(); // it may be in another tile by now
      }
      this.#relayed = video;
      if (video) {
        useSpeaker(video);
        this.video.after(video);
        this.volume = this.volume;
      }
    }
    if (video) {
      video.hidden = video.videoWidth === 0; // sound alone plays all the same
      if (video.muted) {
        this.#options.onBlocked();
      }
    }
  }

  /** @param {MediaStreamTrack | null} track */
  #playAudio(track) {
    const audio = this.#audio;
    if (audio && trackOf(audio) !== track) {
      audio.srcObject = track ? new MediaStream([track]) : null;
      if (track) {
        // Until a person has touched the page, for instance after a reload, browsers block its sound.
        audio.play().catch((error) => error.name === "NotAllowedError" && this.#options.onBlocked());
      }
    }
  }

  play() {
    this.#audio?.play().catch(() => {});
    if (this.#relayed) {
      this.#relayed.muted = false;
    }
  }

  useChosenSpeaker() {
    [this.#audio, this.#relayed].forEach((element) => element && useSpeaker(element));
  }

  stop() {
    clearTimeout(this.#reactionTimer);
    this.#showRelayed(null);
    this.#showVideo(null);
    this.#playAudio(null);
  }
}

/** @param {HTMLMediaElement} element */
function trackOf({ srcObject }) {
  return srcObject instanceof MediaStream ? (srcObject.getTracks()[0] ?? null) : null;
}

/** @param {MediaStream} stream of mine */
const liveVideo = (stream) => stream.getVideoTracks().find((track) => track.readyState === "live") ?? null;

/** @param {MediaStream | null} stream of a peer, whose tracks are muted while nothing arrives */
const arrivingVideo = (stream) =>
  stream?.getVideoTracks().find((track) => track.readyState === "live" && !track.muted) ?? null;

/**
 * @param {Call} call
 * @param {Peer} peer
 */
function factsOf({ relay, online }, { name, via, state, downSince }) {
  const downFor = performance.now() - downSince;
  return { via, state, downFor, online, arrives: Boolean(relay?.arrives(name)), failure: relay?.failure ?? "" };
}
