// @ts-check
// What the relay's screens consist of: sending a stream, and playing one.

import { calls, messageOf } from "../api.js";
import { isDismissal } from "../client/devices.js";
import { Player } from "../client/player.js";
import { Recorder } from "../client/recorder.js";
import { button, h, notify, setButtonText, setText } from "../dom.js";
import { shown } from "../names.js";

/** @param {number} bytes */
const kibibytes = (bytes) => `${Math.round(bytes / 1024)} KiB`;

/** A button that records and uploads a stream, with a preview. */
export class SendControl {
  #path;
  #open;
  /** @type {MediaStream | null} */
  #stream = null;
  /** @type {Recorder | null} */
  #recorder = null;

  preview = h("video", { autoplay: true, playsinline: true, hidden: true, "aria-label": "What you send" });
  amount = h("p", { class: "quiet", role: "status", "data-sent": "0" });

  /**
   * @param {string} path a media route
   * @param {() => Promise<MediaStream>} open
   */
  constructor(path, open) {
    this.#path = path;
    this.#open = open;
    this.preview.muted = true;
    const properties = { icon: "relay", text: "Start sending", class: "primary", id: "send" };
    this.button = button({ ...properties, onclick: () => this.toggle() });
  }

  async toggle() {
    if (this.#recorder) {
      this.stop();
      return;
    }
    try {
      this.#start(await this.#open());
    } catch (error) {
      if (!isDismissal(error)) {
        notify(messageOf(error), { urgent: true });
      }
    }
  }

  /** @param {MediaStream} stream */
  #start(stream) {
    this.#stream = stream;
    const recorder = new Recorder(stream, calls.api, this.#path);
    this.#recorder = recorder;
    stream.getTracks().forEach((track) => track.addEventListener("ended", () => this.stop()));
    recorder.on("sent", () => {
      this.amount.dataset.sent = String(recorder.sent);
      setText(this.amount, `${kibibytes(recorder.sent)} sent`);
    });
    recorder.on("failed", (error) => {
      notify(messageOf(error), { urgent: true });
      this.stop();
    });
    this.preview.srcObject = stream;
    this.preview.hidden = stream.getVideoTracks().length === 0;
    setButtonText(this.button, "Stop sending");
  }

  /** The server may have restarted between two uploads, and lost what it had. */
  reconnected() {
    this.#recorder?.repeatInit();
  }

  stop() {
    this.#recorder?.stop();
    this.#recorder = null;
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = null;
    this.preview.hidden = true;
    setButtonText(this.button, "Start sending");
  }
}

/** The video of a person, with the amount of data received. */
export class PlayerFigure {
  /**
   * @param {string} name
   * @param {string} path a media route with its query, except for `after`
   */
  constructor(name, path) {
    const video = h("video", { controls: true, playsinline: true, "aria-label": `Video of ${shown(name)}` });
    const amount = h("span", { class: "quiet" }, "Waiting…");
    const caption = h("figcaption", {}, h("strong", { title: name }, shown(name)), amount);
    const element = h("figure", { "data-player": name, "data-received": "0" }, video, caption);
    const player = new Player(video, calls.api, path);
    player.on("received", () => {
      element.dataset.received = String(player.received);
      setText(amount, `${kibibytes(player.received)} received`);
    });
    this.element = element;
    this.player = player;
  }
}
