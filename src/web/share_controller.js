// @ts-check
// Screens shared outside a call, on this page: mine, and the one that I watch.

import { calls, messageOf, post } from "./api.js";
import { isDismissal } from "./client/devices.js";
import { Emitter } from "./client/emitter.js";
import { notify } from "./dom.js";
import { ScreenShareView } from "./views/screen_share.js";

/** @import { OwnShare, ViewedShare } from "./client/screen_share.js" */
/** @import { Store } from "./client/store.js" */
/** @import { Overlay } from "./overlay.js" */

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

  /**
   * How many people watch a share of mine; null if another device shares it.
   * @param {string} id
   */
  viewerCount(id) {
    return this.#own?.id === id ? this.#own.viewerCount : null;
  }

  // ---- my screen

  /** @param {string} channel */
  async share(channel) {
    try {
      await this.#own?.stop();
      const share = await calls.shareScreen(channel);
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
      const viewed = await calls.watch(id);
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
