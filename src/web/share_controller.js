// @ts-check
// Screens shared outside a call, on this page: mine, and the one that I watch.

import { messageOf, post } from "./api.js";
import { isDismissal } from "./devices.js";
import { notify } from "./dom.js";
import { Emitter } from "./emitter.js";
import { OwnShare, ViewedShare } from "./screen_share.js";
import { ScreenShareView } from "./views/screen_share.js";

/** @import { Overlay } from "./overlay.js" */
/** @import { Store } from "./store.js" */
/** @import { ShareState, SignalEvent } from "./types.js" */

const ENDED = "The screen share has ended.";

/** @extends {Emitter<{ change: void }>} */
export class ShareController extends Emitter {
  #store;
  #overlay;
  /** @type {OwnShare | null} */
  #own = null;
  /** @type {ViewedShare | null} */
  #viewed = null;

  /**
   * @param {Store} store
   * @param {Overlay} overlay
   */
  constructor(store, overlay) {
    super();
    this.#store = store;
    this.#overlay = overlay;
  }

  get #shares() {
    return [this.#own, this.#viewed].filter((share) => share !== null);
  }

  /** The id of the screen that this window shares. */
  get ownId() {
    return this.#own?.id ?? null;
  }

  /**
   * How many people watch a share of mine; null if another device shares it.
   * @param {string} id
   */
  viewerCount(id) {
    return this.#own?.id === id ? this.#own.viewerCount : null;
  }

  // ---- what the server sends

  /** @param {SignalEvent} signal */
  onSignal(signal) {
    this.#shares.find(({ id }) => id === signal.call_id)?.onSignal(signal);
  }

  refresh() {
    this.#shares.forEach((share) => share.refresh());
  }

  /** @param {ShareState} state */
  onState({ share_id: id, state }) {
    if (state === "ended") {
      this.#shares.find((share) => share.id === id)?.end(ENDED);
    }
  }

  /**
   * Ends what is no longer shared, after a snapshot.
   * @param {Map<string, ShareState>} active
   */
  keepOnly(active) {
    for (const share of this.#shares) {
      if (!active.has(share.id)) {
        share.end(ENDED);
      }
    }
  }

  // ---- my screen

  /** @param {string} channel */
  async share(channel) {
    try {
      await this.#own?.stop();
      const share = await OwnShare.start(this.#store.me ?? "", channel);
      this.#own = share;
      share.on("change", () => this.emit("change"));
      share.on("end", () => this.#onOwnEnd(share));
      this.emit("change");
    } catch (error) {
      if (!isDismissal(error)) {
        notify(messageOf(error), { urgent: true });
      }
    }
  }

  /** @param {OwnShare} share */
  #onOwnEnd(share) {
    if (this.#own === share) {
      this.#own = null;
    }
    if (share.reason) {
      notify(share.reason);
    }
    this.emit("change");
  }

  /** Stops the share of this page, if there is one. */
  async stopOwn() {
    await this.#own?.stop();
  }

  /**
   * Stops a share of mine, of this page or of another device.
   * @param {string} id
   */
  async stop(id) {
    if (this.#own?.id === id) {
      await this.#own.stop();
      return;
    }
    await post(`/screenshare/${id}/stop`).catch((error) => notify(messageOf(error), { urgent: true }));
  }

  // ---- other people's screens

  /** @param {string} id */
  async watch(id) {
    const share = this.#store.shares.get(id);
    if (!share) {
      return;
    }
    try {
      const viewed = await ViewedShare.start(this.#store.me ?? "", share);
      this.#viewed?.end();
      this.#viewed = viewed;
      this.#showViewed(viewed, this.#store.title(share.channel));
    } catch (error) {
      notify(messageOf(error), { urgent: true });
    }
  }

  /**
   * @param {ViewedShare} viewed
   * @param {string} title
   */
  #showViewed(viewed, title) {
    const view = new ScreenShareView(viewed, title, () => viewed.end());
    this.#overlay.open(view.element);
    view.render();
    viewed.on("end", () => {
      if (this.#viewed === viewed) {
        this.#viewed = null;
      }
      this.#overlay.close(view.element);
      if (viewed.reason) {
        notify(viewed.reason);
      }
    });
  }
}
