// @ts-check
// The call of this page and its view: calling, answering, hanging up, and what the buttons of the call do.

import { ServerGone, messageOf } from "./api.js";
import { Call } from "./call.js";
import { isDismissal } from "./devices.js";
import { notify } from "./dom.js";
import { Emitter } from "./emitter.js";
import { joinCall, startCall } from "./joining.js";
import { audioContext, failureTone, joinedTone, leftTone } from "./sound.js";
import { busySentence, stateOf } from "./store.js";
import { CallView } from "./views/call.js";
import { chooseDevices, openMedia } from "./views/devices.js";
import { showPeople } from "./views/people.js";

/** @import { Media } from "./media.js" */
/** @import { Overlay } from "./overlay.js" */
/** @import { Store } from "./store.js" */
/** @import { CallState, DeviceKind, SignalEvent } from "./types.js" */

/**
 * @typedef {object} Entry a call being made or joined
 * @property {string} channel
 * @property {string | null} id of the call to join; null to call the channel
 * @property {boolean} video
 * @property {boolean} muted
 * @property {boolean} cancelled
 */

/** Where a reload finds the call to return to. */
const REMEMBERED = "call";

/** @extends {Emitter<{ change: void, missedEvents: void }>} */
export class CallController extends Emitter {
  #store;
  #overlay;
  /** The call that this page is on. @type {Call | null} */
  #call = null;
  /** @type {Entry | null} */
  #entry = null;
  /** The view of the call, of the entry, or of a call that has ended. @type {CallView | null} */
  #view = null;
  #peerCount = 0;

  /**
   * @param {Store} store
   * @param {Overlay} overlay
   */
  constructor(store, overlay) {
    super();
    this.#store = store;
    this.#overlay = overlay;
  }

  get isOnCall() {
    return this.#call !== null;
  }

  get isBusy() {
    return this.#call !== null || this.#entry !== null;
  }

  /** The id of the call that this window is on or enters. A reloaded window names it before it is back. */
  get callId() {
    return this.#call?.id ?? this.#entry?.id ?? null;
  }

  /** @param {string} id */
  isHere(id) {
    return this.#call?.id === id;
  }

  /**
   * Whether an incoming call is the one that this page is on or enters: it does not ring.
   * @param {{ call_id: string, channel: string }} incoming
   */
  isEntered({ call_id: id, channel }) {
    return this.isHere(id) || this.#entry?.channel === channel;
  }

  // ---- entering a call

  /**
   * Calls a channel, or answers the call that rings from it.
   * @param {string} channel
   * @param {boolean} video
   */
  start(channel, video) {
    const id = this.#store.incomingIn(channel)?.call_id ?? null;
    return this.#enter({ channel, id, video, muted: false, cancelled: false });
  }

  /**
   * Answers or joins a call.
   * @param {string} id
   * @param {boolean} video
   */
  async join(id, video, muted = false) {
    const known = this.#store.calls.get(id) ?? this.#store.incoming.get(id);
    if (known) {
      await this.#enter({ channel: known.channel, id, video, muted, cancelled: false });
    }
  }

  /**
   * Shows the view, opens the microphone, and only then makes phones ring.
   * @param {Entry} entry
   */
  async #enter(entry) {
    if (this.#entry) {
      return;
    }
    this.#entry = entry;
    const left = this.#call?.leave();
    const view = this.#openView(entry);
    audioContext();
    /** @type {Media | null} */
    let media = null;
    try {
      view.showProgress("Allow the microphone if the browser asks…");
      media = await openMedia(entry.video, entry.muted);
      if (!media || entry.cancelled) {
        media?.close();
        this.#closeView(view);
        return;
      }
      view.showProgress("Connecting…");
      await left;
      const call = await this.#connect(entry, media);
      if (entry.cancelled) {
        await call.leave();
      } else {
        this.#attach(call, view);
      }
    } catch (error) {
      media?.close();
      if (!entry.cancelled) {
        failureTone();
        view.showEnd(entryFailure(error, entry), true);
      }
    } finally {
      this.#entry = null;
      this.emit("change");
    }
  }

  /**
   * @param {Entry} entry
   * @param {Media} media
   */
  #connect(entry, media) {
    const { channel, id } = entry;
    const me = this.#store.me ?? "";
    const visit = { me, channel, media, isWanted: () => !entry.cancelled };
    if (id === null) {
      return startCall(visit);
    }
    const known = this.#store.calls.get(id);
    return joinCall({ ...visit, id, wasAccepted: known !== undefined && stateOf(known, me) === "accepted" });
  }

  /** @param {Entry} entry */
  #openView({ channel, video }) {
    this.close();
    const view = new CallView(this.#store.title(channel), {
      toggleMute: () => this.#toggleMute(),
      toggleCamera: () => this.#toggleCamera(),
      toggleScreen: () => this.#toggleScreen(),
      showPeople: () => this.#call && showPeople(this.#store, this.#call),
      chooseDevices: () => chooseDevices((kind) => this.deviceChanged(kind)),
      leave: () => this.#leaveOrCancel(),
      callAgain: () => this.start(channel, video),
      close: () => this.close(),
    });
    this.#view = view;
    document.body.classList.add("in-call");
    this.#overlay.open(view.element);
    this.emit("change");
    return view;
  }

  /**
   * @param {Call} call
   * @param {CallView} view
   */
  #attach(call, view) {
    if (call.over) {
      view.showEnd(call.reason);
      return;
    }
    this.#call = call;
    this.#peerCount = call.peers.size;
    this.#remember(call);
    call.on("end", () => this.#onEnd(call, view));
    call.on("missedEvents", () => this.emit("missedEvents"));
    call.on("change", () => this.#onCallChange(call));
    view.attach(call);
    if (call.busy.length > 0) {
      notify(busySentence(call.busy));
    }
  }

  /** @param {Call} call */
  #onCallChange(call) {
    if (call.peers.size > this.#peerCount) {
      joinedTone();
    }
    this.#peerCount = call.peers.size;
    this.#remember(call);
  }

  /**
   * @param {Call} call
   * @param {CallView} view
   */
  #onEnd(call, view) {
    leftTone();
    sessionStorage.removeItem(REMEMBERED);
    view.showEnd(call.reason);
    if (this.#call === call) {
      this.#call = null;
    }
    this.emit("change");
  }

  // ---- leaving it

  #leaveOrCancel() {
    if (this.#call) {
      this.#hangUp(this.#call);
    } else if (this.#entry) {
      this.#entry.cancelled = true;
      this.close();
    }
  }

  /** @param {Call} call */
  #hangUp(call) {
    const isMyRingingCall = call.state?.state === "ringing" && call.state.initiator === this.#store.me;
    return isMyRingingCall ? call.endForAll() : call.leave();
  }

  /** Leaves the call, if there is one, and closes the view. */
  async leave() {
    const left = this.#call?.leave();
    if (this.#entry) {
      this.#entry.cancelled = true;
    }
    this.close();
    await left;
  }

  /** Closes the view of an entry or of a call that has ended. */
  close() {
    if (this.#view) {
      this.#closeView(this.#view);
    }
  }

  /** @param {CallView} view */
  #closeView(view) {
    view.stop();
    this.#overlay.close(view.element);
    if (this.#view === view) {
      this.#view = null;
      document.body.classList.remove("in-call");
    }
    this.emit("change");
  }

  // ---- what the server sends

  /** @param {CallState} state */
  onState(state) {
    Call.byId(state.call_id)?.update(state);
  }

  /** @param {SignalEvent} signal */
  onSignal(signal) {
    Call.byId(signal.call_id)?.onSignal(signal);
  }

  refresh() {
    return this.#call?.refresh();
  }

  /** @param {boolean} online */
  setOnline(online) {
    this.#call?.setOnline(online);
  }

  // ---- what the buttons do

  #toggleMute() {
    const media = this.#call?.media;
    media?.mute(!media.muted);
  }

  async #toggleCamera() {
    const media = this.#call?.media;
    if (media?.tracks.camera) {
      media.closeCamera();
    } else if (media) {
      await media.openCamera().catch(reportError);
    }
  }

  async #toggleScreen() {
    if (this.#call?.media.tracks.screen) {
      await this.#call.stopScreen();
    } else {
      await this.#call?.shareScreen().catch(reportError);
    }
  }

  /** @param {DeviceKind} kind a device of this kind was chosen */
  async deviceChanged(kind) {
    const media = this.#call?.media;
    if (kind === "speaker") {
      this.#view?.useChosenSpeaker();
    } else if (media && kind === "microphone") {
      await media.openMicrophone().catch(reportError);
    } else if (media?.tracks.camera) {
      await media.openCamera().catch(reportError);
    }
  }

  // ---- a reloaded page returns to its call

  /** @param {Call} call */
  #remember({ id, media, over }) {
    if (!over) {
      const remembered = { id, video: Boolean(media.tracks.camera), muted: media.muted };
      sessionStorage.setItem(REMEMBERED, JSON.stringify(remembered));
    }
  }

  async rejoin() {
    const remembered = JSON.parse(sessionStorage.getItem(REMEMBERED) ?? "null");
    sessionStorage.removeItem(REMEMBERED);
    const live = remembered && this.#store.calls.get(remembered.id);
    if (live && stateOf(live, this.#store.me) === "accepted") {
      await this.join(live.call_id, remembered.video, remembered.muted);
    }
  }
}

/** @param {unknown} error */
function reportError(error) {
  if (!isDismissal(error)) {
    notify(messageOf(error), { urgent: true });
  }
}

/**
 * @param {unknown} error
 * @param {Entry} entry
 */
export function entryFailure(error, { id }) {
  if (!(error instanceof ServerGone) || id !== null) {
    return messageOf(error);
  }
  return error.mayHaveArrived
    ? `${error.message} If the call rings, it is cancelled as soon as the server can be reached.`
    : `${error.message} Nobody was called.`;
}
