// The page: who is signed in, what is on the screen, and what the buttons do.

import { Refused, ServerGone, get, post, whenSignedOut } from "./api.js";
import { Call } from "./call.js";
import { notify, say } from "./dom.js";
import { Events } from "./events.js";
import { Picture, isLive, stateOf } from "./picture.js";
import { Screens } from "./screens.js";
import { audio, failed, joined, left } from "./sound.js";
import { CallView, choosePeople } from "./views/call.js";
import { chooseDevices, openMedia } from "./views/devices.js";
import { Lobby } from "./views/lobby.js";
import { Ringing } from "./views/ringing.js";
import { signIn } from "./views/signin.js";

const app = document.getElementById("app");
const banner = document.getElementById("banner");
const picture = new Picture();
const events = new Events(heard, streamChanged);

/** The call that this page is on, and its view; a view without a call is being prepared, or tells how one ended. */
let call = null;
let view = null;
/** The channel that is being called: an invitation from there is the same call, and does not ring. */
let calling = null;
let drawing = 0;
/** What had the focus before a call or a screen covered it. */
let focused = null;

const screens = new Screens(picture, { attempt, cover, uncover, draw });

const lobby = new Lobby(picture, {
  call: (channel, video) => startCall(channel, video),
  join: (id, video) => joinCall(id, video),
  leaveElsewhere: (id) => attempt(post(`/calls/${id}/leave`)),
  share: (channel) => screens.show(channel),
  watch: (id) => screens.watch(id),
  stopShare: (id) => screens.stop(id),
  isBusy: () => Boolean(call) || Boolean(calling),
  isHere: (id) => call?.id === id,
  viewers: (id) => screens.viewers(id),
  signOut,
  devices: () => chooseDevices(deviceChanged),
  notifications: async () => {
    await Notification.requestPermission();
    draw();
  },
});

const ringing = new Ringing(picture, {
  answer: (id, video) => joinCall(id, video),
  decline: async (id) => {
    picture.incoming.delete(id);
    draw();
    await attempt(post(`/calls/${id}/reject`));
  },
});

/** Does something; what goes wrong is told in a sentence. */
async function attempt(action) {
  try {
    return await action;
  } catch (error) {
    notify(error.message, { urgent: true });
    return undefined;
  }
}

// ---- signing in and out

async function begin() {
  try {
    picture.set(await get("/me"));
  } catch (error) {
    if (error instanceof Refused && error.status === 401) {
      showSignIn();
    } else {
      waitForServer();
    }
    return;
  }
  app.replaceChildren(lobby.element);
  events.open();
  route();
  refreshMissed();
  rejoin();
}

/** The server did not answer the first question of this page: it is asked until it does. */
function waitForServer() {
  say(banner, "The server cannot be reached. It is being looked for…").hidden = false;
  setTimeout(async () => {
    banner.hidden = true;
    await begin();
  }, 1500);
}

function showSignIn(why = "") {
  events.close();
  app.replaceChildren(signIn(begin, why));
  document.getElementById("username").focus();
}

whenSignedOut(() => {
  if (picture.me !== null) {
    call?.leave();
    closeView();
    picture.clear();
    showSignIn("You have been signed out. Sign in again to go on.");
  }
});

async function signOut() {
  if (call) {
    await call.leave();
    closeView();
  }
  await screens.stop();
  events.close();
  await attempt(post("/logout"));
  picture.clear();
  location.hash = "";
  showSignIn();
}

// ---- push

function heard(name, data) {
  if (name === "signal") {
    Call.of(data.call_id)?.signal(data);
    screens.signal(data);
    return;
  }
  const before = picture.calls.size;
  picture.hear(name, data);
  if (name === "snapshot") {
    // What was missed while the stream was away is asked for.
    call?.refresh();
    screens.refresh();
    screens.keepOnly(picture.shares);
  } else if (name === "call") {
    Call.of(data.call_id)?.update(data);
    if (!isLive(data)) {
      lobby.history?.reload();
      refreshMissed();
    }
    if (!picture.channels.has(data.channel) && picture.calls.size > before) {
      refreshMe();
    }
  } else if (name === "share") {
    screens.keepOnly(picture.shares);
  }
}

function streamChanged(open) {
  picture.online = open;
  call?.setOnline(open);
  say(banner, open ? "" : "The connection to the server is lost. It is being looked for…").hidden = open;
  if (open) {
    refreshMe();
    refreshMissed();
    screens.refresh();
  }
  picture.changed();
}

/** Channels and people have no events of their own. */
async function refreshMe() {
  const me = await get("/me").catch(() => null);
  if (me && picture.me !== null) {
    picture.channels = new Map(me.channels.map((channel) => [channel.channel, channel]));
    picture.people = me.people;
    picture.changed();
  }
}

async function refreshMissed() {
  picture.missed = await get("/calls/missed").catch(() => picture.missed);
  if (lobby.selected === "history" && picture.missed.some((one) => !one.seen)) {
    await post("/calls/missed/seen", { up_to: picture.missed[0].missed_ts }).catch(() => {});
    picture.missed = picture.missed.map((one) => ({ ...one, seen: true }));
  }
  picture.changed();
}

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible" && picture.online) {
    refreshMe();
  }
});

// ---- drawing

picture.addEventListener("change", draw);

/** Draws once for all that changes at the same moment. */
function draw() {
  drawing ||= setTimeout(() => {
    drawing = 0;
    if (picture.me === null) {
      ringing.renew([], false);
      return;
    }
    lobby.renew();
    const calls = [...picture.incoming.values()].filter((one) => one.channel !== calling && one.call_id !== call?.id);
    ringing.renew(picture.online ? calls : [], Boolean(call));
  });
}

setInterval(() => picture.calls.size > 0 && draw(), 1000);

function route() {
  const selected = decodeURIComponent(location.hash.slice(1)) || null;
  lobby.select(selected);
  if (selected === "history") {
    refreshMissed();
  }
}

addEventListener("hashchange", () => {
  if (picture.me !== null) {
    route();
    if (lobby.selected !== null) {
      lobby.pane.focus();
    }
  }
});

// ---- calling

/** Shows the call's view, opens the microphone, and only then does what makes somebody's phone ring. */
async function enter(channel, video, muted, connect) {
  if (calling) {
    return;
  }
  if (call) {
    await call.leave();
  }
  closeView();
  calling = channel;
  draw();
  audio();
  let cancelled = false;
  view = new CallView(picture, picture.title(channel), {
    mute: () => call.media.mute(!call.media.muted),
    camera: () => toggleCamera(),
    screen: () => toggleScreen(),
    people: () => choosePeople(picture, call),
    devices: () => chooseDevices(deviceChanged),
    leave: () => {
      if (call) {
        hangUp();
      } else {
        cancelled = true;
        closeView();
      }
    },
    again: () => startCall(channel, video),
    close: closeView,
  });
  const mine = view;
  document.body.classList.add("in-call");
  cover(view.element);
  view.prepare("Allow the microphone, if the browser asks…");
  let media = null;
  try {
    media = await openMedia(video, muted);
    if (!media || cancelled) {
      media?.close();
      if (view === mine) {
        closeView();
      }
      return;
    }
    view.prepare("Connecting…");
    const connected = await connect(media);
    if (cancelled) {
      await connected.leave();
      return;
    }
    take(connected, video);
  } catch (error) {
    media?.close();
    failed();
    mine.ended(error instanceof ServerGone ? `${error.message} Nobody was called.` : error.message, true);
  } finally {
    calling = null;
    draw();
  }
}

/** From now on this page is on a call. */
function take(connected, video) {
  const mine = view;
  const onEnd = () => {
    left();
    forget(connected.id);
    mine.ended(connected.reason);
    call = null;
    draw();
  };
  if (connected.over) {
    mine.ended(connected.reason);
    return;
  }
  call = connected;
  remember();
  let before = call.mesh.peers.size;
  call.addEventListener("end", onEnd, { once: true });
  call.addEventListener("unheard", () => events.lost());
  call.addEventListener("change", () => {
    const now = connected.mesh.peers.size;
    if (now > before) {
      joined();
    }
    before = now;
    remember();
  });
  mine.attach(call);
}

function closeView() {
  view?.remove();
  view = null;
  document.body.classList.remove("in-call");
  uncover();
  draw();
}

/** A call or a screen takes all the room. */
function cover(element) {
  focused ??= document.activeElement;
  app.inert = true;
  document.body.append(element);
  element.focus();
}

/** What a call or a screen covered is there again, and the focus where it was. */
function uncover() {
  app.inert = Boolean(view) || screens.isWatching;
  if (!app.inert) {
    const target = focused?.isConnected && focused !== document.body && !focused.hidden ? focused : lobby.pane;
    focused = null;
    // A card that rings has taken it already.
    if (document.activeElement === document.body) {
      target.focus();
    }
  }
}

const startCall = (channel, video) =>
  enter(channel, video, false, (media) => {
    const rings = [...picture.incoming.values()].find((one) => one.channel === channel);
    const me = picture.me;
    return rings ? Call.join({ me, id: rings.call_id, channel, media }) : Call.start({ me, channel, media });
  });

function joinCall(id, video, muted = false) {
  const { channel } = picture.calls.get(id) ?? picture.incoming.get(id) ?? {};
  if (channel) {
    enter(channel, video, muted, (media) => Call.join({ me: picture.me, id, channel, media }));
  }
}

function hangUp() {
  // Whoever takes back their own call takes it back for everyone it rings for.
  return call.state.state === "ringing" && call.state.initiator === picture.me ? call.endForAll() : call.leave();
}

async function toggleCamera() {
  if (call.media.tracks.camera) {
    call.media.closeCamera();
  } else {
    await attempt(call.media.openCamera());
  }
}

async function toggleScreen() {
  if (call.media.tracks.screen) {
    await call.stopScreen();
    return;
  }
  try {
    await call.shareScreen();
  } catch (error) {
    if (!error.dismissed) {
      notify(error.message, { urgent: true });
    }
  }
}

async function deviceChanged(what) {
  view?.speakerChanged();
  if (call && what === "microphone") {
    await attempt(call.media.openMicrophone());
  } else if (call && what === "camera" && call.media.tracks.camera) {
    await attempt(call.media.openCamera());
  }
}

// ---- a page that is loaded anew comes back to its call

function remember() {
  if (call && !call.over) {
    const { id, media } = call;
    sessionStorage.setItem("call", JSON.stringify({ id, video: Boolean(media.tracks.camera), muted: media.muted }));
  }
}

function forget() {
  sessionStorage.removeItem("call");
}

function rejoin() {
  const remembered = JSON.parse(sessionStorage.getItem("call") ?? "null");
  forget();
  const live = remembered && picture.calls.get(remembered.id);
  if (live && stateOf(live, picture.me) === "accepted") {
    joinCall(live.call_id, remembered.video, remembered.muted);
  }
}

begin();
