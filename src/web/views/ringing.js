// What rings for me: a card for each call, with the ways to answer it.

import { avatar, button, h, list, say } from "../dom.js";
import { knock, ring } from "../sound.js";

export class Ringing {
  #element = document.getElementById("ringing");
  #stop = null;
  #quiet = false;
  #notes = new Map();
  #title = document.title;
  #before = null;

  /** `act` holds `answer(id, video)` and `decline(id)`. */
  constructor(picture, act) {
    this.picture = picture;
    this.act = act;
  }

  /** Rings for these calls; `talking` makes it gentle. */
  renew(calls, talking) {
    const known = this.#element.children.length;
    list(this.#element, calls, {
      key: ({ call_id: id }) => id,
      make: (call) => this.#card(call),
      renew: (element) => say(element.querySelector("[data-action=answer] span"), talking ? "Hang up and answer" : "Answer"),
    });
    if (calls.length > known && !this.#isTyping()) {
      // The card has the focus, not a button of it: a key that was meant for something else answers nothing.
      this.#before ??= document.activeElement;
      this.#element.lastChild.focus();
    } else if (calls.length === 0 && known > 0) {
      if (document.activeElement === document.body) {
        this.#before?.focus?.();
      }
      this.#before = null;
    }
    this.#sound(calls.length > 0, talking);
    this.#notify(calls);
    document.title = calls.length > 0 ? `${calls[0].initiator} is calling` : this.#title;
  }

  #isTyping() {
    return document.activeElement?.matches("input, select, textarea, dialog *") ?? false;
  }

  #words(initiator, channel) {
    const members = this.picture.members(channel);
    if (!members.includes(this.picture.me)) {
      const others = members.filter((name) => name !== initiator);
      return `invites you to a call${others.length > 0 ? ` with ${others.join(", ")}` : ""}`;
    }
    return channel.startsWith("dm:") && members.length === 2 ? "is calling you" : `is calling ${this.picture.title(channel)}`;
  }

  #card({ call_id: id, initiator, channel }) {
    return h(
      "section",
      {
        class: "ring-card", role: "alertdialog", tabindex: "-1", "data-call": id, "data-ringing": channel,
        "aria-labelledby": `ring-${id}`, "aria-describedby": `ring-text-${id}`,
      },
      avatar(initiator, "large pulse"),
      h(
        "div",
        { class: "grow" },
        h("h2", { id: `ring-${id}` }, initiator),
        h("p", { class: "quiet", id: `ring-text-${id}` }, this.#words(initiator, channel)),
      ),
      h(
        "div",
        { class: "row" },
        button({ icon: "phone", text: "Answer", class: "answer", "data-action": "answer", onclick: () => this.act.answer(id, false) }),
        button({ icon: "video", label: "Answer with camera", class: "answer", "data-action": "answer-video", onclick: () => this.act.answer(id, true) }),
        button({ icon: "hangup", label: "Decline", class: "danger", "data-action": "decline", onclick: () => this.act.decline(id) }),
      ),
    );
  }

  #sound(wanted, quiet) {
    if (this.#stop && (!wanted || quiet !== this.#quiet)) {
      this.#stop();
      this.#stop = null;
    }
    if (wanted && !this.#stop) {
      this.#quiet = quiet;
      this.#stop = quiet ? knock() : ring();
      if (navigator.userActivation?.hasBeenActive) {
        navigator.vibrate?.([300, 150, 300]);
      }
    }
  }

  #notify(calls) {
    const ids = new Set(calls.map((call) => call.call_id));
    for (const [id, note] of this.#notes) {
      if (!ids.has(id)) {
        note?.close();
        this.#notes.delete(id);
      }
    }
    if (!("Notification" in window) || Notification.permission !== "granted") {
      return;
    }
    for (const call of calls.filter(({ call_id: id }) => !this.#notes.has(id))) {
      this.#notes.set(call.call_id, document.hasFocus() ? null : this.#note(call));
    }
  }

  #note({ call_id: id, initiator, channel }) {
    try {
      const note = new Notification(`${initiator} is calling`, {
        tag: id, body: this.picture.title(channel), icon: "/web/icon.svg", requireInteraction: true,
      });
      note.onclick = () => {
        window.focus();
        note.close();
      };
      return note;
    } catch {
      return null; // phones let only service workers do this
    }
  }
}
