// @ts-check
// The view of somebody else's screen.

import { useSpeaker } from "../client/devices.js";
import { button, h, setText } from "../dom.js";
import { shown } from "../names.js";

/** @import { ViewedShare } from "../client/screen_share.js" */

/** @type {Partial<Record<RTCPeerConnectionState, string>>} */
const STATUS = { connected: "", failed: "Cannot connect to the sharer.", disconnected: "Reconnecting…" };

export class ScreenShareView {
  #share;
  #video = h("video", { autoplay: true, playsinline: true, id: "watched-screen" });
  #status = h("p", { class: "quiet", role: "status", "data-watch-status": true }, "Connecting…");

  /**
   * @param {ViewedShare} share
   * @param {string} title of the channel
   * @param {() => void} onClose
   */
  constructor(share, title, onClose) {
    this.#share = share;
    useSpeaker(this.#video);
    const heading = h("h2", { id: "watch-title" }, `${shown(share.sharer)}’s screen`);
    const close = button({ icon: "close", text: "Close", id: "stop-watching", class: "control", onclick: onClose });
    this.element = h(
      "section",
      { class: "call watching", id: "watching", tabindex: "-1", "aria-labelledby": "watch-title" },
      h("header", {}, h("div", { class: "grow" }, heading, h("p", { class: "quiet" }, title)), this.#status),
      h("div", { class: "stage" }, this.#video),
      h("div", { class: "controls" }, close),
    );
    this.element.dataset.view = "watching";
    this.element.dataset.share = share.id;
    share.on("change", () => this.render());
  }

  render() {
    const { peer } = this.#share;
    const stream = peer?.streamOf("screen") ?? null;
    if (this.#video.srcObject !== stream) {
      this.#video.srcObject = stream;
      this.#video.play().catch(() => {
        // With sound, a browser may ask for a click first; muted, never.
        this.#video.muted = true;
        this.#video.play().catch(() => {});
      });
    }
    setText(this.#status, (peer && STATUS[peer.state]) ?? "Connecting…");
  }
}
