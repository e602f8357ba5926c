// A call on the screen: tiles, who speaks, how good the connections are, and the buttons.

import { useSpeaker } from "../devices.js";
import { avatar, button, clock, h, list, notify, say, set, setIcon } from "../dom.js";
import { icon } from "../icons.js";
import { peopleOn, stateOf } from "../picture.js";
import { ringback } from "../sound.js";

/** A connection that takes longer than this many milliseconds is worth a word. */
const SLOW = 8_000;

export class CallView {
  #call = null;
  #timer = 0;
  #ringback = null;
  #needsGesture = false;

  /** `act` holds mute, camera, screen, people, devices, leave, again and close. */
  constructor(picture, title, act) {
    this.picture = picture;
    this.title = title;
    this.act = act;
    this.element = this.#build();
    this.#timer = setInterval(() => this.renew(), 1000);
  }

  #build() {
    this.heading = h("h2", { id: "call-title" }, this.title);
    this.status = h("p", { class: "quiet", role: "status", "data-call-status": true }, "");
    this.duration = h("span", { class: "duration", "data-duration": true, role: "timer", "aria-live": "off" });
    this.offline = h("p", { class: "notice", role: "status", hidden: true, "data-call-offline": true },
      "The server cannot be reached. You can talk on; it is being looked for.");
    this.sharing = h("p", { class: "notice", role: "status", hidden: true, "data-sharing": true });
    this.tiles = h("div", { class: "tiles", id: "tiles" });
    const control = (id, name, text, onclick, more = {}) =>
      button({ icon: name, text, id, class: "control", onclick, ...more });
    this.mute = control("mute", "microphone", "Mute", () => this.act.mute(), { "aria-pressed": "false" });
    this.camera = control("camera", "video", "Camera", () => this.act.camera(), { "aria-pressed": "false" });
    this.screen = control("screen", "screen", "Show screen", () => this.act.screen(), { "aria-pressed": "false" });
    this.people = control("people-button", "people", "People", () => this.act.people());
    this.devices = control("call-devices", "devices", "Devices", () => this.act.devices());
    this.leave = control("leave", "hangup", "Leave", () => this.act.leave(), { class: "control danger" });
    this.sound = button({ icon: "sound", text: "Turn on the sound", id: "sound-on", class: "primary", hidden: true, onclick: () => this.#playAll() });
    this.controls = h("div", { class: "controls", role: "group", "aria-label": "Call" },
      this.mute, this.camera, this.screen, this.people, this.devices, this.leave);
    return h(
      "section",
      { class: "call", id: "call", "aria-labelledby": "call-title", tabindex: "-1", "data-view": "call", "data-phase": "preparing" },
      h("header", {}, h("div", { class: "grow" }, this.heading, this.status), this.duration),
      this.offline,
      this.sharing,
      this.sound,
      this.tiles,
      this.controls,
    );
  }

  /** Says what is waited for before there is a call, such as the browser's question for the microphone. */
  prepare(sentence) {
    say(this.status, sentence);
    list(this.tiles, [this.title], { key: () => "waiting", make: (title) => h("div", { class: "waiting" }, avatar(title, "huge pulse")) });
    say(this.leave.lastChild, "Cancel");
    this.controls.querySelectorAll("button").forEach((one) => (one.disabled = one !== this.leave));
  }

  attach(call) {
    this.#call = call;
    this.element.dataset.call = call.id;
    this.controls.querySelectorAll("button").forEach((one) => (one.disabled = false));
    call.addEventListener("change", () => this.renew());
    call.addEventListener("notice", ({ detail }) => notify(detail));
    this.renew();
  }

  // ---- drawing

  renew() {
    const call = this.#call;
    if (!call || call.over || !call.state) {
      return;
    }
    const { state, me, media } = call;
    const ringing = state.state === "ringing" || peopleOn(state).length < 2;
    this.element.dataset.phase = state.state;
    this.#ring(state.state === "ringing" && state.initiator === me);
    const asked = state.participants.filter((one) => one.state === "pending").map((one) => one.username);
    say(this.status, ringing
      ? asked.length > 0 ? `Ringing ${asked.join(", ")}…` : "Waiting for the others…"
      : `${peopleOn(state).length} people${asked.length > 0 ? `, ringing ${asked.join(", ")}` : ""}`);
    say(this.duration, state.answered_ts ? clock(Date.now() / 1000 - state.answered_ts) : "");
    this.offline.hidden = call.online;

    const sharer = state.screenshare_user;
    this.sharing.hidden = !sharer;
    say(this.sharing, sharer === me ? "Everybody on the call sees your screen." : sharer ? `${sharer} shows a screen. If you show yours, it takes its place.` : "");

    this.#renewTiles(call, sharer);

    const noMicrophone = !media.tracks.microphone;
    this.#toggle(this.mute, media.muted || noMicrophone, media.muted || noMicrophone ? "microphoneOff" : "microphone", noMicrophone ? "No microphone" : media.muted ? "Unmute" : "Mute");
    this.#toggle(this.camera, Boolean(media.tracks.camera), media.tracks.camera ? "video" : "videoOff", media.tracks.camera ? "Camera off" : "Camera on");
    const showing = sharer === me && Boolean(media.tracks.screen);
    this.#toggle(this.screen, showing, showing ? "screenOff" : "screen", showing ? "Stop showing" : sharer ? "Take over" : "Show screen");
    this.screen.disabled = state.state !== "active";
    this.people.disabled = state.state !== "active";
    say(this.leave.lastChild, state.state === "ringing" && state.initiator === me ? "Cancel" : "Leave");
  }

  #toggle(one, pressed, name, text) {
    set(one, { "aria-pressed": String(pressed) });
    setIcon(one, name);
    say(one.lastChild, text);
  }

  #ring(wanted) {
    if (wanted && !this.#ringback) {
      this.#ringback = ringback();
    } else if (!wanted && this.#ringback) {
      this.#ringback();
      this.#ringback = null;
    }
  }

  #renewTiles(call, sharer) {
    const { state, me, media } = call;
    const others = [...new Set([...peopleOn(state).filter((name) => name !== me), ...call.mesh.peers.keys()])];
    const asked = state.participants.filter((one) => one.state === "pending").map((one) => one.username);
    const tiles = [
      ...(sharer ? [{ key: `screen ${sharer}`, name: sharer, screen: true }] : []),
      ...others.map((name) => ({ key: name, name })),
      ...asked.map((name) => ({ key: `asked ${name}`, name, asked: true })),
      { key: me, name: me, mine: true },
    ];
    this.tiles.dataset.count = String(tiles.length);
    this.tiles.style.setProperty("--people", String(tiles.length - 1));
    this.tiles.classList.toggle("with-screen", Boolean(sharer));
    this.tiles.classList.toggle("pair", !sharer && tiles.length === 2);
    list(this.tiles, tiles, {
      key: ({ key }) => key,
      make: (tile) => this.#tile(tile),
      renew: (element, tile) => this.#renewTile(element, tile, call, media),
    });
  }

  #tile({ name, mine, screen, asked }) {
    const video = h("video", { autoplay: true, playsinline: true, muted: true, hidden: true });
    video.muted = true;
    // The sound of the others has an element of its own, so that it plays whether there is a picture or not.
    const sound = mine || asked ? null : h("audio", { autoplay: true });
    if (sound) {
      useSpeaker(sound);
    }
    const label = screen ? `${mine ? "Your" : `${name}’s`} screen` : mine ? `${name} (you)` : name;
    return h(
      "figure",
      {
        class: `tile${screen ? " screen" : ""}${mine ? " mine" : ""}${asked ? " asked" : ""}`,
        "data-tile": name, "data-kind": screen ? "screen" : mine ? "self" : asked ? "asked" : "peer",
      },
      avatar(name, `huge${asked ? " pulse" : ""}`),
      video,
      sound,
      h("figcaption", {}, h("span", { class: "tile-muted", hidden: true }, icon("microphoneOff"), h("span", { class: "heard" }, "muted")),
        h("span", { class: "tile-name" }, label),
        h("span", { class: "bars", hidden: true, role: "img" }, h("i"), h("i"), h("i"))),
      h("p", { class: "tile-note", role: "status" }),
    );
  }

  #renewTile(element, tile, call, media) {
    const { name, mine, screen, asked } = tile;
    const video = element.querySelector("video");
    const sound = element.querySelector("audio");
    const peer = mine || asked ? null : call.mesh.peers.get(name);
    const isMe = name === call.me;
    const stream = asked ? null : isMe ? (screen ? media.screen : media.camera) : peer?.streamOf(screen ? "screen" : "camera") ?? null;
    const off = !isMe && !screen && peer?.says.camera === false;
    const picture = off ? null : stream?.getVideoTracks().find((track) => track.readyState === "live" && (isMe || !track.muted)) ?? null;
    this.#show(video, picture);
    if (sound) {
      this.#play(sound, isMe ? null : stream?.getAudioTracks()[0] ?? null);
    }
    video.hidden = !picture;
    video.classList.toggle("mirrored", Boolean(mine));
    element.classList.toggle("with-picture", Boolean(picture));
    element.classList.toggle("speaking", !screen && call.speakers.has(name));
    const muted = isMe ? media.muted || !media.tracks.microphone : Boolean(peer?.says.muted);
    element.querySelector(".tile-muted").hidden = screen || asked || !muted;
    say(element.querySelector(".tile-note"), asked ? "Ringing…" : isMe ? "" : this.#note(peer, screen));
    if (!isMe && !asked) {
      const quality = call.qualities.get(name);
      set(element, {
        "data-connection": peer?.state ?? "none",
        "data-quality": quality?.level ?? null,
        "data-bytes-received": quality?.received ?? null,
        "data-frames-decoded": quality?.frames ?? null,
      });
      const bars = element.querySelector(".bars");
      bars.hidden = screen || !quality;
      if (quality) {
        const text = `Connection ${quality.level}${quality.roundTrip === null ? "" : `, ${Math.round(quality.roundTrip)} ms`}, ${Math.round(quality.loss * 100)} % lost`;
        set(bars, { "aria-label": text, title: text, class: `bars ${quality.level}` });
      }
    }
  }

  #note(peer, screen) {
    if (!peer || screen || peer.downSince === 0) {
      return "";
    }
    if (peer.state === "failed" || (performance.now() - peer.downSince > SLOW && peer.state !== "new")) {
      return `${peer.name} cannot be reached from here. A way is still being looked for; perhaps a firewall is between you.`;
    }
    return peer.state === "disconnected" ? "The connection is interrupted…" : "Connecting…";
  }

  #show(video, track) {
    const shown = video.srcObject?.getVideoTracks()[0] ?? null;
    if (shown !== track) {
      video.srcObject = track ? new MediaStream([track]) : null;
      if (track) {
        video.play().catch(() => {});
      }
    }
  }

  #play(sound, track) {
    const played = sound.srcObject?.getAudioTracks()[0] ?? null;
    if (played === track) {
      return;
    }
    sound.srcObject = track ? new MediaStream([track]) : null;
    if (track) {
      sound.play().catch((error) => {
        if (error.name === "NotAllowedError") {
          // Browsers keep a page quiet until somebody has touched it, for instance after a reload.
          this.sound.hidden = false;
        }
      });
    }
  }

  #playAll() {
    this.sound.hidden = true;
    this.tiles.querySelectorAll("audio").forEach((sound) => sound.play().catch(() => {}));
  }

  /** Another speaker was chosen. */
  speakerChanged() {
    this.tiles.querySelectorAll("audio").forEach((sound) => useSpeaker(sound));
  }

  // ---- the end

  /** Says why the call is over, and what can be done now. */
  ended(reason, failed = false) {
    this.#ring(false);
    clearInterval(this.#timer);
    this.element.dataset.phase = "ended";
    const again = button({ icon: "phone", text: "Call again", id: "call-again", class: "primary", onclick: () => this.act.again() });
    this.tiles.querySelectorAll("video, audio").forEach((one) => (one.srcObject = null));
    this.element.replaceChildren(
      h(
        "div",
        { class: "ended", "data-ended": failed ? "failed" : "over" },
        avatar(this.title, "huge"),
        h("h2", { id: "call-title" }, this.title),
        h("p", { id: "call-ended-reason", role: "alert" }, reason),
        this.duration.textContent && h("p", { class: "quiet" }, `It lasted ${this.duration.textContent}.`),
        h("div", { class: "row center" }, again, button({ text: "Close", id: "call-close", onclick: () => this.act.close() })),
      ),
    );
    again.focus();
  }

  remove() {
    this.#ring(false);
    clearInterval(this.#timer);
    this.element.remove();
  }
}

/** Who is on the call, who can be asked in, and, for the initiator, who can be taken off. */
export function choosePeople(picture, call) {
  const before = document.activeElement;
  const on = h("ul", { class: "members", "aria-label": "On the call" });
  const others = h("ul", { class: "members", id: "invite-list", "aria-label": "Can be invited" });
  const nobody = h("p", { class: "quiet" }, "Everybody is on the call.");
  const attempt = (action) => action.catch((error) => notify(error.message, { urgent: true }));
  const dialog = h(
    "dialog",
    { id: "people-dialog", class: "dialog", "aria-labelledby": "people-title" },
    h("h2", { id: "people-title" }, "People"),
    on,
    h("h3", {}, "Invite"),
    nobody,
    others,
    h(
      "div",
      { class: "row end" },
      button({ text: "End the call for all", id: "end-for-all", class: "danger-quiet", onclick: () => call.endForAll() }),
      button({ text: "Done", class: "primary", "data-answer": "done", onclick: () => dialog.close() }),
    ),
  );
  const words = { accepted: "on the call", pending: "ringing", rejected: "declined or did not answer", left: "left" };
  const renew = () => {
    if (call.over) {
      dialog.close();
      return;
    }
    const { state, me } = call;
    const here = state.participants.filter((one) => one.state === "accepted" || one.state === "pending");
    list(on, here, {
      key: (one) => one.username,
      make: ({ username }) => h("li", {}, avatar(username, "small"), h("span", { class: "grow" }, username), h("span", { class: "quiet" }),
        username !== me && state.initiator === me &&
          button({ text: "Remove", class: "danger-quiet small", "data-remove": username, "aria-label": `Remove ${username}`, onclick: () => attempt(call.remove(username)) })),
      renew: (element, one) => say(element.querySelector(".quiet"), one.username === me ? "you" : words[one.state]),
    });
    const free = picture.people.filter((name) => !here.some((one) => one.username === name));
    nobody.hidden = free.length > 0;
    list(others, free, {
      key: (name) => name,
      make: (name) => h("li", {}, avatar(name, "small"), h("span", { class: "grow" }, name), h("span", { class: "quiet" }),
        button({ text: "Invite", icon: "invite", class: "small", "data-invite": name, "aria-label": `Invite ${name}`, onclick: () => attempt(call.invite(name)) })),
      renew: (element, name) => say(element.querySelector(".quiet"), words[stateOf(state, name)] ?? picture.presence(name)),
    });
  };
  call.addEventListener("change", renew);
  call.addEventListener("end", renew);
  dialog.addEventListener("close", () => {
    call.removeEventListener("change", renew);
    call.removeEventListener("end", renew);
    dialog.remove();
    before?.focus?.();
  });
  renew();
  document.body.append(dialog);
  dialog.showModal();
}
