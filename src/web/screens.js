// Screens shown outside a call, on this page: mine, and the one that I watch.

import { post } from "./api.js";
import { notify } from "./dom.js";
import { MyShare, Watched } from "./share.js";
import { WatchView } from "./views/share.js";

export class Screens {
  #picture;
  #page;
  #mine = null;
  #watched = null;

  /** `page` holds what the page does about it: `attempt`, `cover`, `uncover` and `draw`. */
  constructor(picture, page) {
    this.#picture = picture;
    this.#page = page;
  }

  /** Whether a screen covers the page. */
  get isWatching() {
    return this.#watched !== null;
  }

  get #both() {
    return [this.#mine, this.#watched].filter(Boolean);
  }

  /** How many watch a screen of mine; null if another device shows it. */
  viewers(id) {
    return this.#mine?.id === id ? this.#mine.viewers : null;
  }

  signal(signal) {
    this.#both.find((share) => share.id === signal.call_id)?.signal(signal);
  }

  /** Asks for what the stream of events may have missed. */
  refresh() {
    this.#both.forEach((share) => share.refresh());
  }

  /** Takes away what is no longer shown. */
  keepOnly(active) {
    for (const share of this.#both) {
      if (!active.has(share.id)) {
        share.end("The screen is no longer shown.");
      }
    }
  }

  async show(channel) {
    try {
      await this.#mine?.stop();
      const share = await MyShare.start(this.#picture.me, channel);
      this.#mine = share;
      share.addEventListener("change", () => this.#page.draw());
      share.addEventListener("end", () => {
        this.#mine = null;
        if (share.reason) {
          notify(share.reason);
        }
        this.#page.draw();
      });
      this.#page.draw();
    } catch (error) {
      if (!error.dismissed) {
        notify(error.message, { urgent: true });
      }
    }
  }

  /** Stops showing mine: on this page, or the one with this id, which another device may show. */
  stop(id = this.#mine?.id) {
    return this.#mine?.id === id ? this.#mine?.stop() : this.#page.attempt(post(`/screenshare/${id}/stop`));
  }

  async watch(id) {
    const share = this.#picture.shares.get(id);
    const watched = share && (await this.#page.attempt(Watched.start(this.#picture.me, share)));
    if (!watched) {
      return;
    }
    this.#watched?.end();
    this.#watched = watched;
    const view = new WatchView(watched, this.#picture.title(share.channel), () => watched.end());
    this.#page.cover(view.element);
    view.renew();
    watched.addEventListener("end", () => {
      view.element.remove();
      if (this.#watched === watched) {
        this.#watched = null;
        this.#page.uncover();
      }
      if (watched.reason) {
        notify(watched.reason);
      }
    });
  }
}
