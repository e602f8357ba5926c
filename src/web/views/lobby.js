// The first screen: channels, people, and what goes on now; beside it one conversation, or the history.

import { avatar, button, clock, h, list, say, set } from "../dom.js";
import { icon } from "../icons.js";
import { directChannel, peopleOn, stateOf } from "../picture.js";
import { historyList } from "./history.js";

export class Lobby {
  /**
   * `act` holds what buttons do: call, join, leaveElsewhere, share, watch, stopShare, signOut, devices and notifications;
   * `isBusy`, `isHere` and `viewers` are questions.
   */
  constructor(picture, act) {
    this.picture = picture;
    this.act = act;
    this.selected = null;
    this.element = this.#build();
  }

  #build() {
    this.channels = h("ul", { class: "entries", id: "channels", "aria-labelledby": "channels-title" });
    this.people = h("ul", { class: "entries", id: "people", "aria-labelledby": "people-title-list" });
    this.noChannels = h("p", { class: "quiet hint" }, "You are in no private channel yet.");
    this.missedCount = h("span", { "data-missed": true });
    this.missed = h("span", { class: "badge", hidden: true }, this.missedCount, h("span", { class: "heard" }, " missed"));
    this.historyLink = h(
      "a",
      { href: "#history", class: "entry", id: "open-history" },
      h("span", { class: "avatar glyph", "aria-hidden": "true" }, icon("history")),
      h("span", { class: "entry-text" }, h("strong", {}, "History")),
      this.missed,
    );
    this.meName = h("strong", { id: "me" });
    this.meAvatar = h("span");
    this.bell = button({ icon: "bell", label: "Turn on notifications", id: "notifications", class: "plain", onclick: () => this.act.notifications() });
    this.sidebar = h(
      "nav",
      { class: "sidebar", "aria-label": "Channels and people" },
      h("p", { class: "brand", "aria-hidden": "true" }, h("img", { src: "/web/icon.svg", alt: "", width: "28", height: "28" }), "Calls"),
      h(
        "div",
        { class: "scroll" },
        this.historyLink,
        h("h2", { id: "channels-title" }, "Channels"),
        this.noChannels,
        this.channels,
        h("h2", { id: "people-title-list" }, "People"),
        this.people,
      ),
      h(
        "div",
        { class: "me" },
        this.meAvatar,
        this.meName,
        this.bell,
        button({ icon: "devices", label: "Devices", id: "open-devices", class: "plain", onclick: () => this.act.devices() }),
        button({ icon: "out", label: "Sign out", id: "sign-out", class: "plain", onclick: () => this.act.signOut() }),
      ),
    );
    this.pane = h("section", { class: "pane", id: "pane", tabindex: "-1", "aria-label": "Conversation" });
    return h("main", { class: "lobby", "data-view": "lobby" }, h("h1", { class: "heard" }, "Calls"), this.sidebar, this.pane);
  }

  /** Shows a channel by its name, `history`, or nothing (null). */
  select(selected) {
    this.selected = selected;
    this.element.classList.toggle("open", selected !== null);
    if (selected === null) {
      this.pane.replaceChildren(
        h("div", { class: "empty" }, icon("people"), h("p", {}, "Choose a channel or a person to call.")),
      );
      delete this.pane.dataset.channel;
    } else if (selected === "history") {
      this.#showHistory();
    } else {
      this.#showChannel(selected);
    }
    this.renew();
  }

  #back(title, ...more) {
    return h(
      "header",
      { class: "pane-head" },
      h("a", { href: "#", class: "button plain back", "aria-label": "Back to the list" }, icon("back")),
      h("div", { class: "pane-title" }, title, ...more),
    );
  }

  #showHistory() {
    delete this.pane.dataset.channel;
    const history = historyList(this.picture, null);
    this.pane.replaceChildren(this.#back(h("h2", {}, "History")), h("div", { class: "scroll" }, history.element));
    this.history = history;
  }

  #showChannel(channel) {
    this.pane.dataset.channel = channel;
    this.title = h("h2", { "data-title": true });
    this.subtitle = h("p", { class: "quiet" });
    this.voice = button({ icon: "phone", text: "Voice call", id: "call-voice", class: "primary", onclick: () => this.act.call(channel, false) });
    this.video = button({ icon: "video", text: "Video call", id: "call-video", class: "primary", onclick: () => this.act.call(channel, true) });
    this.share = button({ icon: "screen", text: "Show my screen", id: "share-screen", onclick: () => this.act.share(channel) });
    this.live = h("div", { class: "cards", "data-live": true });
    this.shares = h("div", { class: "cards", "data-shares": true });
    this.members = h("ul", { class: "members", "aria-label": "Members" });
    this.history = historyList(this.picture, channel);
    this.pane.replaceChildren(
      this.#back(this.title, this.subtitle),
      h(
        "div",
        { class: "scroll" },
        h("div", { class: "row actions" }, this.voice, this.video, this.share),
        this.live,
        this.shares,
        this.members,
        h("h3", {}, "Calls here"),
        this.history.element,
      ),
    );
  }

  /** Draws what has changed. */
  renew() {
    const { picture } = this;
    say(this.meName, picture.me ?? "");
    if (picture.me && !this.meAvatar.firstChild) {
      this.meAvatar.replaceWith((this.meAvatar = avatar(picture.me)));
    }
    const wantsBell = "Notification" in window && Notification.permission === "default" && isSecureContext;
    this.bell.hidden = !wantsBell;
    const unseen = picture.missed.filter((call) => !call.seen).length;
    this.missed.hidden = unseen === 0;
    say(this.missedCount, `${unseen}`);
    set(this.historyLink, { "aria-current": this.selected === "history" ? "page" : null });
    const channels = picture.listed();
    this.noChannels.hidden = channels.length > 0;
    list(this.channels, channels, {
      key: ({ channel }) => channel,
      make: ({ channel }) => this.#entry(channel, picture.title(channel), "#"),
      renew: (element, { channel, members }) => this.#renewEntry(element, channel, members.length > 0 ? `${members.length} members` : ""),
    });
    list(this.people, picture.people, {
      key: (name) => name,
      make: (name) => this.#entry(directChannel(picture.me, name), name, ""),
      renew: (element, name) => this.#renewEntry(element, directChannel(picture.me, name), "", name),
    });
    if (this.pane.dataset.channel) {
      this.#renewChannel(this.pane.dataset.channel);
    }
  }

  #entry(channel, title, sign) {
    // Of the one that is shown already the address does not change, but the focus goes there all the same.
    const onclick = () => {
      if (this.selected === channel) {
        this.pane.focus();
      }
    };
    const face = sign ? h("span", { class: "avatar glyph", "aria-hidden": "true" }, sign) : avatar(title);
    return h(
      "li",
      {},
      h(
        "a",
        { class: "entry", onclick, href: `#${encodeURIComponent(channel)}`, "data-channel": channel, "data-person": sign ? null : title },
        face,
        h("span", { class: "entry-text" }, h("strong", {}, title), h("span", { class: "entry-sub" })),
        h("span", { class: "live-dot", hidden: true, "aria-hidden": "true" }),
      ),
    );
  }

  #renewEntry(element, channel, otherwise, person) {
    const call = this.picture.callIn(channel);
    const shares = this.picture.sharesIn(channel).length;
    const presence = person ? this.picture.presence(person) : "";
    const doing = call
      ? call.state === "ringing" ? "Ringing…" : `On a call: ${peopleOn(call).join(", ")}`
      : shares > 0 ? "A screen is shown" : presence ? presence[0].toUpperCase() + presence.slice(1) : otherwise;
    const link = element.firstChild;
    set(link, { "aria-current": this.selected === channel ? "page" : null, "data-presence": presence || null });
    const sub = link.querySelector(".entry-sub");
    say(sub, doing);
    sub.hidden = !doing;
    link.querySelector(".live-dot").hidden = !(call || shares > 0 || presence);
    if (!person) {
      say(link.querySelector("strong"), this.picture.title(channel));
    }
  }

  #renewChannel(channel) {
    const { picture, act } = this;
    const members = picture.members(channel);
    const isPair = channel.startsWith("dm:") && members.length === 2;
    const presence = isPair ? picture.presence(members.find((name) => name !== picture.me) ?? "") : "";
    say(this.title, picture.title(channel));
    say(this.subtitle, isPair ? presence : members.join(", "));
    this.members.hidden = isPair;
    list(this.members, members.filter((name) => name !== picture.me && !isPair), {
      key: (name) => name,
      make: (name) => h("li", { "data-member": name }, avatar(name, "small"), h("span", {}, name), h("span", { class: "quiet" })),
      renew: (element, name) => say(element.lastChild, picture.presence(name)),
    });
    const call = picture.callIn(channel);
    const busy = act.isBusy();
    for (const one of [this.voice, this.video]) {
      one.disabled = busy || !picture.online;
      one.hidden = Boolean(call);
    }
    const mine = picture.sharesIn(channel).find((share) => share.sharer === picture.me);
    this.share.disabled = !picture.online;
    this.share.hidden = Boolean(mine);
    list(this.live, call ? [call] : [], {
      key: ({ call_id: id }) => id,
      make: (one) => this.#liveCard(one),
      renew: (element, one) => this.#renewLive(element, one, busy),
    });
    list(this.shares, picture.sharesIn(channel), {
      key: ({ share_id: id }) => id,
      make: (share) => this.#shareCard(share),
      renew: (element, share) => this.#renewShare(element, share),
    });
  }

  #liveCard({ call_id: id }) {
    return h(
      "section",
      { class: "card live", "data-call": id, "aria-label": "Call going on" },
      icon("phone"),
      h("div", { class: "grow" }, h("strong", {}), h("p", { class: "quiet" })),
      h(
        "div",
        { class: "row" },
        button({ text: "Join", icon: "phone", class: "primary", "data-action": "join", onclick: () => this.act.join(id, false) }),
        button({ text: "With video", icon: "video", "data-action": "join-video", onclick: () => this.act.join(id, true) }),
        button({ text: "Leave", class: "danger", "data-action": "leave", onclick: () => this.act.leaveElsewhere(id) }),
      ),
    );
  }

  #renewLive(element, call, busy) {
    const { me } = this.picture;
    const mine = stateOf(call, me);
    const here = this.act.isHere(call.call_id);
    const elsewhere = mine === "accepted" && !here;
    const [title, text] = [element.querySelector("strong"), element.querySelector("p")];
    say(title, call.state === "ringing" ? `${call.initiator} is calling` : here ? "You are on this call" : "A call is going on");
    const since = call.answered_ts ? ` · ${clock(Date.now() / 1000 - call.answered_ts)}` : "";
    say(text, elsewhere ? "You are on it on another device or in another window." : `${peopleOn(call).join(", ")}${since}`);
    const [join, video, leave] = ["join", "join-video", "leave"].map((action) => element.querySelector(`[data-action=${action}]`));
    join.hidden = video.hidden = here;
    join.disabled = video.disabled = busy;
    leave.hidden = !elsewhere;
    say(join.lastChild, elsewhere ? "Go on here" : mine === "pending" ? "Answer" : "Join");
  }

  #shareCard(share) {
    const mine = share.sharer === this.picture.me;
    const action = mine
      ? button({ text: "Stop", icon: "screenOff", class: "danger", "data-action": "stop-share", onclick: () => this.act.stopShare(share.share_id) })
      : button({ text: "Watch", icon: "eye", class: "primary", "data-action": "watch", onclick: () => this.act.watch(share.share_id) });
    return h(
      "section",
      { class: "card live", "data-share": share.share_id, "aria-label": "Screen share" },
      icon("screen"),
      h("div", { class: "grow" }, h("strong", {}, mine ? "You show your screen here" : `${share.sharer} shows a screen`), h("p", { class: "quiet", "data-viewers": mine ? "" : null })),
      action,
    );
  }

  /** How many watch a screen that I show here; another device knows of its own. */
  #renewShare(element, { share_id: id }) {
    const count = this.act.viewers(id);
    const words = { 0: "Nobody watches yet", 1: "1 person watches" };
    say(element.querySelector("p"), count === null ? "" : words[count] ?? `${count} people watch`);
  }
}
