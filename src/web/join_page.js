// @ts-check
// What the link of a guest opens: a name, waiting, the call, its end. The guest has a client and a session of their own, so
// somebody who is signed in in the same browser stays signed in.

import { Refused, SERVER, ServerGone, messageOf, pause, useClient } from "./api.js";
import { CallController } from "./call_controller.js";
import { connect, openLink } from "./client/calls.js";
import { audioContext } from "./client/sound.js";
import { byId } from "./dom.js";
import { Overlay } from "./overlay.js";
import { JoinView } from "./views/join.js";

/** @import { Calls } from "./client/calls.js" */

/** What the guest has turned on before the call. @typedef {{ video: boolean, muted: boolean }} Devices */

/** Where a reload finds the guest's session. */
const REMEMBERED = "guest";

/** Milliseconds between attempts to join a call that has not begun. */
const RETRY_INTERVAL = 3_000;

/**
 * The token of a guest's link, `#join/TOKEN`.
 * @param {string} hash
 * @returns {string | null}
 */
export const linkOf = (hash) => /^#join\/([\w-]+)$/.exec(hash)?.[1] ?? null;

export class JoinPage {
  #link;
  #view = new JoinView((name, devices) => this.#join(name, devices));
  #wasOnCall = false;

  /** @param {string} link */
  constructor(link) {
    this.#link = link;
  }

  start() {
    byId("app").replaceChildren(this.#view.element);
    addEventListener("hashchange", () => location.reload());
    const { link, token, devices } = JSON.parse(sessionStorage.getItem(REMEMBERED) ?? "{}");
    if (link === this.#link) {
      this.#follow(connect({ server: SERVER, token }), devices);
    } else {
      this.#view.showForm();
    }
  }

  /**
   * @param {string} name
   * @param {Devices} devices
   */
  async #join(name, devices) {
    audioContext(); // a click lets it play
    this.#view.show("Connecting…");
    for (;;) {
      try {
        const { calls: client, token } = await openLink({ server: SERVER, link: this.#link, name });
        sessionStorage.setItem(REMEMBERED, JSON.stringify({ link: this.#link, token, devices }));
        this.#follow(client, devices);
        return;
      } catch (error) {
        if (error instanceof Refused && error.code === "no_active_call") {
          this.#view.show("The call has not begun yet. This page joins as soon as it does.");
        } else if (error instanceof ServerGone) {
          this.#view.show("Cannot reach the server. Retrying…");
        } else {
          this.#view.showForm(messageOf(error));
          return;
        }
      }
      await pause(RETRY_INTERVAL);
    }
  }

  /**
   * @param {Calls} client of the guest
   * @param {Devices} devices
   */
  #follow(client, { video, muted }) {
    useClient(client);
    const controller = new CallController(client.store, new Overlay(byId("app"), () => this.#view.status));
    this.#view.show("Connecting…");
    client.on("signed-in", () => {
      this.#view.show("Waiting for somebody on the call to let you in.");
      controller.rejoin();
    });
    client.on("incoming", ({ call_id: id }) => controller.join(id, video, muted, true));
    client.on("current", (call) => {
      if (call) {
        this.#wasOnCall = true;
        // It lies behind the call, and is there when that is closed. A reload begins anew.
        call.on("end", () => {
          sessionStorage.removeItem(REMEMBERED);
          this.#view.show(call.reason);
        });
      }
    });
    client.on("state", (state) => {
      if (state === "signed-out") {
        sessionStorage.removeItem(REMEMBERED);
        this.#view.show(this.#wasOnCall ? "The call has ended." : "You were not let in, or the call has ended.");
      }
    });
  }
}
