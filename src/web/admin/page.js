// @ts-check
// The page `/admin`: one section at a time, which the address's fragment names.

import { Refused, calls, get } from "../api.js";
import { byId, h, setProperties, setText } from "../dom.js";
import { signInForm } from "../views/signin.js";
import { callsSection } from "./calls.js";
import { channelsSection } from "./channels.js";
import { historySection } from "./history.js";
import { peopleSection } from "./people.js";
import { settingsSection } from "./settings.js";
import { violationsSection } from "./violations.js";

/** @import { Me } from "../client/types.js" */
/** @import { Section } from "./parts.js" */

/** Milliseconds between attempts to load the page's first data. */
const RETRY_INTERVAL = 1_500;

/** @type {{ name: string, title: string, open: () => Section }[]} */
const SECTIONS = [
  { name: "calls", title: "Live calls", open: callsSection },
  { name: "people", title: "People", open: peopleSection },
  { name: "channels", title: "Channels", open: channelsSection },
  { name: "settings", title: "Settings", open: settingsSection },
  { name: "history", title: "History", open: historySection },
  { name: "violations", title: "Violations", open: violationsSection },
];

export class AdminPage {
  #app = byId("app");
  #banner = byId("banner");
  #content = h("div", { id: "section" });
  #links = SECTIONS.map(({ name, title }) =>
    h("a", { href: `#${name}`, class: "button plain", "data-section": name }, title));
  /** @type {Section | null} */
  #section = null;
  #isAdmin = false;

  start() {
    calls.api.on("signedOut", () => this.#showSignIn());
    addEventListener("hashchange", () => this.#isAdmin && this.#showSection());
    return this.#load();
  }

  async #load() {
    /** @type {Me} */
    let me;
    try {
      me = await get("/me");
    } catch (error) {
      if (!(error instanceof Refused)) {
        this.#showBanner("Cannot reach the server. Retrying…");
        setTimeout(() => this.#load(), RETRY_INTERVAL);
      }
      return; // a 401 has shown the sign-in form
    }
    this.#showBanner("");
    calls.names.set(me.display_names);
    this.#isAdmin = me.role === "admin";
    const refusal = h("p", { id: "admin-only" }, "This page is for admins only.");
    const nav = h("nav", { class: "row tabs", "aria-label": "Sections" }, this.#links);
    this.#show(...(this.#isAdmin ? [nav, this.#content] : [refusal]));
    if (this.#isAdmin) {
      this.#showSection();
    }
  }

  /** @param {...HTMLElement} content */
  #show(...content) {
    const link = h("a", { href: "./", class: "button plain" }, "Back to calls");
    const header = h("header", {}, h("h1", { class: "grow" }, "Administration"), link);
    this.#app.replaceChildren(h("main", { class: "admin", "data-view": "admin" }, header, ...content));
  }

  #showSection() {
    const { name, title, open } = SECTIONS.find((section) => `#${section.name}` === location.hash) ?? SECTIONS[0];
    this.#closeSection();
    document.title = `${title} – Administration`;
    for (const link of this.#links) {
      setProperties(link, { "aria-current": link.dataset.section === name ? "page" : null });
    }
    this.#section = open();
    this.#content.replaceChildren(this.#section.element);
  }

  #closeSection() {
    document.querySelectorAll("dialog").forEach((dialog) => dialog.close());
    this.#section?.stop?.();
    this.#section = null;
    this.#content.replaceChildren();
  }

  #showSignIn() {
    this.#closeSection();
    this.#isAdmin = false;
    this.#app.replaceChildren(signInForm(() => this.#load()));
  }

  /** @param {string} sentence */
  #showBanner(sentence) {
    setText(this.#banner, sentence);
    this.#banner.hidden = sentence === "";
  }
}
