// @ts-check
// The view of the page's call: calling, answering, hanging up, and what the buttons of the call do.

import { ServerGone, calls, messageOf } from "./api.js";
import { BackGuard } from "./call/back_guard.js";
import { isDismissal } from "./client/devices.js";
import { Emitter } from "./client/emitter.js";
import { audioContext, failureTone, joinedTone, leftTone } from "./client/sound.js";
import { busySentence, stateOf } from "./client/store.js";
import { toggleMicrophone } from "./client/toggles.js";
import { askInDialog, h, notify } from "./dom.js";
import { CallView } from "./views/call.js";
import { checkDevices, chooseDevices, needsCheck, openMedia } from "./views/devices.js";
import { showPeople } from "./views/people.js";

/** @import { Call } from "./client/call.js" */
/** @import { Store } from "./client/store.js" */
/** @import { DeviceKind } from "./client/types.js" */
/** @import { Overlay } from "./overlay.js" */

/**
 * @typedef {object} Entry a call being made or joined
 * @property {string} channel
 * @property {string | null} id of the call to join; null to call the channel
 * @property {boolean} video
 * @property {boolean} muted
 * @property {boolean} [isChecked] the devices were checked, or are those from before a reload
 * @property {AbortController} cancelling
 */

/** Where a reload finds the call to return to. */
const REMEMBERED = "call";

/** @extends {Emitter<{ change: void }>} */
export class CallController extends Emitter {
  #store;
  #overlay;
  /** @type {Entry | null} */
  #entry = null;
  /** The view of the call, of the entry, or of a call that has ended. @type {CallView | null} */
  #view = null;
  #peerCount = 0;
  #guard = new BackGuard(() => this.#onBack());
  /** Whether this person is muted as soon as a key is no longer held. */
  #isTalking = false;

  /**
   * @param {Store} store
   * @param {Overlay} overlay
   */
  constructor(store, overlay) {
    super();
    this.#store = store;
    this.#overlay = overlay;
  }

  /** The call that this page is on. */
  get #call() {
    return calls.current;
  }

  get isOnCall() {
    return this.#call !== null;
  }

  get isBusy() {
    return this.#call !== null || this.#entry !== null;
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
    return this.#enter({ channel, id, video, muted: false, cancelling: new AbortController() });
  }

  /**
   * Answers or joins a call.
   * @param {string} id
   * @param {boolean} video
   */
  async join(id, video, muted = false, isChecked = false) {
    const known = this.#store.calls.get(id) ?? this.#store.incoming.get(id);
    if (known) {
      await this.#enter({ channel: known.channel, id, video, muted, isChecked, cancelling: new AbortController() });
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
    const { channel, id, cancelling } = entry;
    const view = this.#openView(entry);
    audioContext();
    const options = { openMedia: () => this.#openMedia(entry, view), signal: cancelling.signal };
    try {
      this.#attach(await (id === null ? calls.call(channel, options) : calls.answer(id, options)), view);
    } catch (error) {
      if (!cancelling.signal.aborted) {
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
   * @param {CallView} view
   */
  async #openMedia(entry, view) {
    const { video, muted, cancelling } = entry;
    view.showProgress("Allow the microphone if the browser asks…");
    const choice = this.#needsCheck(entry) ? await this.#checkDevices(entry) : { video, muted };
    const media = choice && !cancelling.signal.aborted ? await openMedia(choice.video, choice.muted) : null;
    if (!media) {
      this.#closeView(view);
      cancelling.abort();
      throw cancelling.signal.reason;
    }
    view.showProgress("Connecting…");
    return media;
  }

  /** @param {Entry} entry */
  #needsCheck({ channel, id, isChecked = false }) {
    const isRunning = id !== null && !this.#store.incoming.has(id);
    return !isChecked && needsCheck({ isRunning, isPair: this.#store.isPair(channel) });
  }

  /** @param {Entry} entry */
  #checkDevices({ channel, id, video, cancelling: { signal } }) {
    return checkDevices({ title: this.#store.title(channel), action: id === null ? "Call" : "Join", video, signal });
  }

  /** @param {Entry} entry */
  #openView({ channel, video }) {
    this.close();
    const view = new CallView(this.#store.title(channel), {
      toggleMute: () => this.#toggleMute(),
      toggleCamera: () => this.#toggleCamera(),
      toggleScreen: () => this.#toggleScreen(),
      talk: (isTalking) => this.#talk(isTalking),
      showPeople: () => this.#call && showPeople(this.#store, this.#call),
      chooseDevices: () => chooseDevices((kind) => this.deviceChanged(kind)),
      leave: () => this.#leaveOrCancel(),
      // Below a guest's call is nothing to see.
      resize: this.#store.isGuest ? null : (isSmall) => this.#resize(view, isSmall),
      callAgain: this.#store.isGuest ? null : () => this.start(channel, video),
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
    this.#peerCount = call.peers.size;
    this.#remember(call);
    this.#guard.start();
    this.#guard.cover();
    call.on("end", () => this.#onEnd(call, view));
    call.on("change", () => this.#onCallChange(call));
    view.attach(call);
    if (call.busy.length > 0) {
      notify(busySentence(call.busy, this.#store.names));
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
    this.#guard.stop();
    if (view.isSmall) {
      notify(call.reason, { urgent: true });
      this.#closeView(view);
    } else {
      view.showEnd(call.reason);
    }
    this.emit("change");
  }

  // ---- the call and the page below it

  /**
   * @param {CallView} view
   * @param {boolean} isSmall
   */
  #resize(view, isSmall) {
    document.body.classList.toggle("in-call", !isSmall);
    document.body.classList.toggle("above-bar", isSmall);
    if (isSmall) {
      this.#overlay.shrink(view.element);
      this.#guard.uncover();
    } else {
      this.#overlay.expand(view.element);
      this.#guard.cover();
    }
  }

  /** Back leads from the call to the lobby. A guest has none, so Back would leave the call. */
  async #onBack() {
    if (!this.#store.isGuest) {
      this.#view?.resize(true);
      return;
    }
    this.#guard.cover();
    const answer = await askInDialog({
      id: "leave-dialog",
      title: "Leave the call?",
      body: [h("p", {}, "You are on a call.")],
      buttons: [{ value: "stay", text: "Stay" }, { value: "leave", text: "Leave", class: "danger" }],
    });
    if (answer === "leave") {
      this.#leaveOrCancel();
    }
  }

  // ---- leaving it

  #leaveOrCancel() {
    if (this.#call) {
      this.#hangUp(this.#call);
    } else if (this.#entry) {
      this.#entry.cancelling.abort();
      this.close();
    }
  }

  /** @param {Call} call */
  #hangUp(call) {
    const isMyRingingCall = call.state?.state === "ringing" && call.state.initiator === this.#store.me;
    return isMyRingingCall ? call.end() : call.leave();
  }

  /** Gives up entering a call, and closes the view. The call itself ends with the client's connection. */
  stop() {
    this.#entry?.cancelling.abort();
    this.close();
  }

  /** Shows the call that is a bar. */
  expand() {
    this.#view?.resize(false);
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
      document.body.classList.remove("in-call", "above-bar");
    }
    this.emit("change");
  }

  // ---- what the buttons do

  async #toggleMute() {
    if (this.#call) {
      await toggleMicrophone(this.#call).catch(reportError);
    }
  }

  /** @param {boolean} isTalking a key is held */
  #talk(isTalking) {
    const call = this.#call;
    const changes = isTalking ? Boolean(call?.media.muted && call.media.tracks.microphone) : this.#isTalking;
    if (changes) {
      call?.mute(!isTalking);
    }
    this.#isTalking = isTalking && changes;
  }

  async #toggleCamera() {
    const call = this.#call;
    await call?.camera(!call.media.tracks.camera).catch(reportError);
  }

  async #toggleScreen() {
    const call = this.#call;
    await call?.share(!call.media.tracks.screen).catch(reportError);
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
      await this.join(live.call_id, remembered.video, remembered.muted, true);
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
