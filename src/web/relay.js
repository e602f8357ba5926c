// The page /relay: calls and screens without WebRTC. What is recorded here goes by way of the server and is played there, a
// second or two later. It has no event stream either: it asks, and the server answers when there is news (`?wait=`).

import { Refused, ServerGone, get, pause, post, whenSignedOut } from "./api.js";
import { openCamera, openMicrophone, openScreen } from "./devices.js";
import { avatar, button, h, list, notify, say } from "./dom.js";
import { directChannel, isLive, peopleOn, stateOf, whyEnded } from "./picture.js";
import { Player } from "./relay/player.js";
import { Recorder } from "./relay/recorder.js";
import { signIn } from "./views/signin.js";

/** A question waits for news for so many seconds. */
const WAIT = 25;

const app = document.getElementById("app");
const banner = document.getElementById("banner");
let me = null;
/** The call or share that is on the screen: `{kind, id, stop()}`. */
let place = null;

whenSignedOut(() => {
  place?.stop();
  app.replaceChildren(signIn(begin));
});

async function begin() {
  try {
    me = await get("/me");
  } catch (error) {
    if (!(error instanceof Refused)) {
      say(banner, "The server cannot be reached. It is being looked for…").hidden = false;
      await pause(1500);
      await begin();
    }
    return;
  }
  banner.hidden = true;
  showPlaces();
}

const page = (...children) =>
  h("main", { class: "relay", "data-view": "relay" }, h("header", {}, h("h1", { class: "grow" }, "Calls by relay"), h("a", { href: "/", class: "button plain" }, "To the calls")), ...children);

async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    if (!error.dismissed) {
      notify(error.message, { urgent: true });
    }
    return undefined;
  }
}

// ---- where to go

function title(channel) {
  const known = me.channels.find((one) => one.channel === channel);
  const members = known?.members ?? channel.slice(3).split(":");
  return known?.title ?? members.filter((name) => name !== me.username).join(", ");
}

/** Channels and people, what goes on there, and what can be done about it. */
async function showPlaces() {
  place?.stop();
  const places = h("ul", { class: "places", id: "places" });
  app.replaceChildren(
    page(
      h("p", { class: "quiet" }, `Signed in as ${me.username}. For browsers and networks in which WebRTC does not get through: sound and picture go by way of the server, and arrive a second or two late.`),
      places,
    ),
  );
  const mine = { kind: "places", stop: () => (place = null) };
  place = mine;
  const channels = new Set([...me.channels.map(({ channel }) => channel), ...me.people.map((name) => directChannel(me.username, name))]);
  while (place === mine) {
    try {
      me = await get("/me");
      const shares = await Promise.all([...channels].map((channel) => get(`/screenshare/active?channel=${encodeURIComponent(channel)}`)));
      banner.hidden = true;
      list(places, [...channels].map((channel, index) => ({ channel, shares: shares[index], call: me.calls.find((call) => call.channel === channel) })), {
        key: ({ channel, shares: shown, call }) => JSON.stringify([channel, call?.call_id, call?.state, shown.map(({ share_id: id }) => id)]),
        make: row,
      });
      // What rings for me is answered at once; the rest is seen with the next look.
      await get("/calls/incoming?wait=2", { timeout: 10_000 });
      await pause(300);
    } catch (error) {
      if (!(error instanceof ServerGone)) {
        return;
      }
      say(banner, "The server cannot be reached. It is being looked for…").hidden = false;
      await pause(1_000);
    }
  }
}

function row({ channel, shares, call }) {
  const name = title(channel);
  const ringing = call && stateOf(call, me.username) === "pending";
  const go = call
    ? button({ icon: "phone", text: ringing ? "Answer" : "Join", class: "primary", "data-action": "join", onclick: () => enterCall(call.call_id) })
    : button({ icon: "phone", text: "Call", "data-action": "call", onclick: () => startCall(channel) });
  const doing = call ? (call.state === "ringing" ? `${call.initiator} is calling` : `On a call: ${peopleOn(call).join(", ")}`) : "";
  return h(
    "li",
    { class: "card", "data-channel": channel },
    channel.startsWith("dm:") ? avatar(name, "small") : h("span", { class: "avatar small glyph", "aria-hidden": "true" }, "#"),
    h("div", { class: "grow" }, h("strong", {}, name), doing && h("p", { class: "quiet" }, doing)),
    h(
      "div",
      { class: "row" },
      shares.map((share) =>
        button({ icon: "eye", text: `Watch ${share.sharer}’s screen`, "data-action": "watch", onclick: () => watch(share) })),
      button({ icon: "screen", text: "Show my screen", "data-action": "share", onclick: () => startShare(channel) }),
      go,
    ),
  );
}

// ---- what is sent and played

function player(name, path) {
  const video = h("video", { controls: true, playsinline: true, "aria-label": `What ${name} sends` });
  const amount = h("span", { class: "quiet" }, "Waiting…");
  const figure = h("figure", { "data-player": name, "data-received": "0" }, video, h("figcaption", {}, h("strong", {}, name), amount));
  const playing = new Player(video, path);
  playing.addEventListener("received", () => {
    figure.dataset.received = String(playing.received);
    say(amount, `${Math.round(playing.received / 1024)} KiB received`);
  });
  return { figure, playing };
}

/** Records a stream and sends it; the button turns it on and off. */
class Sending {
  #stream = null;
  #recorder = null;

  constructor(path, open, on, off) {
    this.path = path;
    this.open = open;
    this.texts = { on, off };
    this.preview = h("video", { muted: true, autoplay: true, playsinline: true, hidden: true, "aria-label": "What you send" });
    this.preview.muted = true;
    this.amount = h("p", { class: "quiet", role: "status", "data-sent": "0" });
    this.button = button({ icon: "relay", text: on, class: "primary", id: "send", onclick: () => this.toggle() });
  }

  async toggle() {
    if (this.#recorder) {
      this.stop();
      return;
    }
    await attempt(async () => {
      this.#stream = await this.open();
      this.#stream.getTracks().forEach((track) => (track.onended = () => this.stop()));
      this.#recorder = new Recorder(this.#stream, this.path);
      this.#recorder.addEventListener("sent", () => {
        this.amount.dataset.sent = String(this.#recorder?.sent ?? 0);
        say(this.amount, `${Math.round((this.#recorder?.sent ?? 0) / 1024)} KiB sent`);
      });
      this.#recorder.addEventListener("failed", ({ detail }) => {
        notify(detail.message, { urgent: true });
        this.stop();
      });
      this.preview.srcObject = this.#stream;
      this.preview.hidden = this.#stream.getVideoTracks().length === 0;
      say(this.button.lastChild, this.texts.off);
    });
  }

  stop() {
    this.#recorder?.stop();
    this.#recorder = null;
    this.#stream?.getTracks().forEach((track) => track.stop());
    this.#stream = null;
    this.preview.hidden = true;
    say(this.button.lastChild, this.texts.on);
  }
}

/** The camera and the microphone, or whichever of them there is. */
async function cameraAndMicrophone() {
  const opened = await Promise.allSettled([openMicrophone(), openCamera()]);
  const tracks = opened.filter(({ status }) => status === "fulfilled").map(({ value }) => value);
  if (tracks.length === 0) {
    throw opened[0].reason;
  }
  return new MediaStream(tracks);
}

async function screenOnly() {
  const { picture, sound } = await openScreen();
  return new MediaStream([picture, sound].filter(Boolean));
}

// ---- calls

async function startCall(channel) {
  const answer = await attempt(async () => {
    try {
      return await post("/calls/initiate", { channel });
    } catch (error) {
      if (error.code === "channel_has_live_call") {
        return { call_id: error.body.call_id };
      }
      throw error;
    }
  });
  if (answer) {
    await enterCall(answer.call_id);
  }
}

async function enterCall(id) {
  const accepted = await attempt(() => post(`/calls/${id}/accept`));
  if (!accepted) {
    return;
  }
  place?.stop();
  const sending = new Sending(`/calls/${id}/media`, cameraAndMicrophone, "Send camera and microphone", "Stop sending");
  const status = h("p", { class: "quiet grow", role: "status", "data-relay-status": true });
  const players = h("div", { class: "players", id: "players" });
  const playing = new Map();
  const leave = button({ icon: "hangup", text: "Leave", class: "danger", id: "leave", onclick: () => goneFrom(() => post(`/calls/${id}/leave`)) });
  app.replaceChildren(page(h("div", { class: "row" }, status, sending.button, leave), sending.amount, players, h("div", { class: "players preview" }, sending.preview)));
  const mine = {
    kind: "call",
    stop() {
      place = null;
      sending.stop();
      playing.forEach((one) => one.playing.stop());
    },
  };
  place = mine;
  let version = null;
  while (place === mine) {
    try {
      // A look at the state also tells the server that we are there.
      const question = version === null ? "" : `?wait=${WAIT}&seen=${version}`;
      const state = await get(`/calls/${id}/state${question}`, { timeout: (WAIT + 10) * 1000 });
      banner.hidden = true;
      version = state.version;
      if (place === mine && (!isLive(state) || stateOf(state, me.username) !== "accepted")) {
        notify(isLive(state) ? "You are no longer on the call." : whyEnded(state));
        showPlaces();
        return;
      }
      const others = peopleOn(state).filter((name) => name !== me.username);
      say(status, state.state === "ringing" ? "Ringing…" : others.length > 0 ? `With ${others.join(", ")}` : "Waiting for the others…");
      for (const name of others.filter((one) => !playing.has(one))) {
        const one = player(name, `/calls/${id}/media?sender=${encodeURIComponent(name)}&`);
        playing.set(name, one);
        players.append(one.figure);
      }
      for (const [name, one] of playing) {
        if (!others.includes(name)) {
          one.playing.stop();
          one.figure.remove();
          playing.delete(name);
        }
      }
    } catch (error) {
      if (!(error instanceof ServerGone)) {
        notify(error.message, { urgent: true });
        showPlaces();
        return;
      }
      say(banner, "The server cannot be reached. It is being looked for…").hidden = false;
      await pause(1_000);
    }
  }
}

/** Goes back to the places when something has been ended. */
async function goneFrom(ending) {
  place?.stop();
  await attempt(ending);
  await showPlaces();
}

// ---- screens

async function startShare(channel) {
  const started = await attempt(async () => {
    const stream = await screenOnly();
    try {
      return { stream, ...(await post("/screenshare/start", { channel })) };
    } catch (error) {
      stream.getTracks().forEach((track) => track.stop());
      throw error;
    }
  });
  if (!started) {
    return;
  }
  const { stream, share_id: id } = started;
  place?.stop();
  const sending = new Sending(`/screenshare/${id}/media`, async () => stream, "Send", "Stop");
  const stop = button({ icon: "screenOff", text: "Stop showing", class: "danger", id: "leave", onclick: () => goneFrom(() => post(`/screenshare/${id}/stop`)) });
  app.replaceChildren(page(h("div", { class: "row" }, h("p", { class: "quiet grow" }, `You show your screen to ${title(channel)}.`), stop), sending.amount, h("div", { class: "players preview" }, sending.preview)));
  place = {
    kind: "my share",
    stop() {
      place = null;
      sending.stop();
    },
  };
  await sending.toggle();
  stream.getVideoTracks()[0].addEventListener("ended", () => goneFrom(() => post(`/screenshare/${id}/stop`)));
}

function watch({ share_id: id, sharer }) {
  place?.stop();
  const { figure, playing } = player(sharer, `/screenshare/${id}/media?`);
  const back = button({ icon: "close", text: "Close", id: "leave", onclick: () => showPlaces() });
  app.replaceChildren(page(h("div", { class: "row" }, h("p", { class: "quiet grow" }, `${sharer}’s screen`), back), h("div", { class: "players", id: "players" }, figure)));
  place = {
    kind: "watching",
    stop() {
      place = null;
      playing.stop();
    },
  };
  playing.addEventListener("end", () => {
    notify("The screen is no longer shown.");
    showPlaces();
  });
}

begin();
