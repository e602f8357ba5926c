// Watching somebody's screen.

import { useSpeaker } from "../devices.js";
import { button, h, say } from "../dom.js";

export class WatchView {
  constructor(watched, title, close) {
    this.watched = watched;
    this.video = h("video", { autoplay: true, playsinline: true, id: "watched-screen" });
    useSpeaker(this.video);
    this.status = h("p", { class: "quiet", role: "status", "data-watch-status": true }, "Connecting…");
    this.element = h(
      "section",
      { class: "call watching", id: "watching", tabindex: "-1", "aria-labelledby": "watch-title", "data-view": "watching", "data-share": watched.id },
      h("header", {}, h("div", { class: "grow" }, h("h2", { id: "watch-title" }, `${watched.sharer}’s screen`), h("p", { class: "quiet" }, title)), this.status),
      h("div", { class: "stage" }, this.video),
      h("div", { class: "controls" }, button({ icon: "close", text: "Close", id: "stop-watching", class: "control", onclick: close })),
    );
    watched.addEventListener("change", () => this.renew());
  }

  renew() {
    const { peer } = this.watched;
    const stream = peer?.streamOf("screen") ?? null;
    if (this.video.srcObject !== stream) {
      this.video.srcObject = stream;
      // With sound, a browser may want a click first; without, never.
      this.video.play().catch(() => {
        this.video.muted = true;
        this.video.play().catch(() => {});
      });
    }
    const states = { connected: "", failed: "The sharer cannot be reached from here.", disconnected: "The connection is interrupted…" };
    say(this.status, peer ? states[peer.state] ?? "Connecting…" : "Connecting…");
  }
}
