import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";

import {
  FakeConnection, FakeEventStream, FakeStream, FakeTrack, LOST, SERVER, clock, refusal, reset, server, settle,
} from "./fakes.js";
import { Calls, ServerGone, connect } from "../../src/web/client/minimost-calls.js";
import { DeviceError } from "../../src/web/client/devices.js";

const CHANNEL = "dm:alice:bob";
const ME = { username: "alice", role: "member", display_names: { bob: "Bob" }, channels: [], people: ["bob"], calls: [] };
const INCOMING = { call_id: "c1", channel: CHANNEL, initiator: "bob", started_ts: 100 };

const participant = (username, state) => ({ username, role: "participant", state, joined_ts: 100 });

const callState = (state, mine, version) => ({
  call_id: "c1", channel: CHANNEL, initiator: "bob", state, version, ended_reason: state === "ended" ? "hangup" : null,
  participants: [participant("alice", mine), participant("bob", "accepted")],
});

let client;
/** What the client has emitted, as [name, detail]. */
let emitted;

const NAMES = ["state", "signed-in", "incoming", "incoming-ended", "call", "missed", "current", "error"];

const emittedAs = (name) => emitted.filter(([one]) => one === name).map(([, detail]) => detail);

function listenTo(calls) {
  const all = [];
  NAMES.forEach((name) => calls.on(name, (detail) => all.push([name, detail])));
  return all;
}

async function connected(options = {}) {
  client = new Calls({ server: SERVER, ...options });
  emitted = listenTo(client);
  client.open();
  await settle();
  return FakeEventStream.all.at(-1);
}

const snapshot = (more = {}) => ({ incoming: [], calls: [], shares: [], lost: false, ...more });

beforeEach(async () => {
  reset();
  server.on("POST", /./, { status: "ok" });
  server.on("GET", "/me", ME);
  await client?.close();
  reset();
  server.on("GET", "/me", ME);
  server.on("GET", "/calls/missed", []);
  server.on("GET", "/calls/c1/state", () => callState("active", "accepted", 2));
  server.on("GET", /^\/calls\/c1\/signals/, []);
  server.on("POST", "/calls/c1/accept", { participants: ["alice", "bob"], last_signal_id: 0, joined_ts: 100 });
  server.on("POST", "/calls/initiate", { call_id: "c1", participants: ["alice", "bob"], busy: [], joined_ts: 100 });
  server.on("POST", /^\/calls\/c1\/(leave|end|reject|signal|screenshare|invite)$/, { status: "ok" });
  globalThis.isSecureContext = true;
  navigator.mediaDevices = {
    getUserMedia: async ({ audio }) => new FakeStream([new FakeTrack(audio ? "audio" : "video")]),
    getDisplayMedia: async () => new FakeStream([new FakeTrack("video"), new FakeTrack("audio")]),
  };
});

test("a client connects, and says who it is", async () => {
  const stream = await connected();
  assert.equal(stream.url, "/events");
  assert.equal(client.me, "alice");
  assert.equal(client.names.shown("bob"), "Bob");
  assert.deepEqual(emitted.slice(0, 2), [["signed-in", "alice"], ["state", "open"]]);
  await stream.fail();
  await clock.advance(5_000);
  assert.deepEqual(emittedAs("state"), ["open", "reconnecting", "open"]);
});

test("a server that is gone is tried again, and one that knows nobody is not", async () => {
  server.on("GET", "/me", LOST);
  await connected();
  assert.equal(client.state, "reconnecting");
  assert.ok(emittedAs("error")[0] instanceof ServerGone);
  server.on("GET", "/me", refusal(401, "unauthorized"));
  await clock.advance(2_000);
  assert.equal(client.state, "signed-out");
  const before = server.requests.length;
  await clock.advance(60_000);
  assert.equal(server.requests.length, before);
  server.on("GET", "/me", ME);
  client.open();
  await settle();
  assert.equal(client.state, "open");
});

test("a call rings until it is answered elsewhere, declined or over", async () => {
  const stream = await connected();
  await stream.deliver("incoming", 1, INCOMING);
  await stream.deliver("call", 2, callState("ringing", "pending", 1));
  assert.deepEqual(emittedAs("incoming"), [INCOMING]);
  assert.deepEqual(emittedAs("incoming-ended"), []);
  await stream.deliver("call", 3, callState("active", "accepted", 2));
  assert.deepEqual(emittedAs("incoming-ended"), [INCOMING]);
  assert.deepEqual(emittedAs("call").map(({ state }) => state), ["ringing", "active"]);

  await stream.deliver("snapshot", 4, snapshot({ incoming: [{ ...INCOMING, call_id: "c2" }] }));
  await stream.deliver("snapshot", 5, snapshot());
  assert.deepEqual(emittedAs("incoming").map(({ call_id: id }) => id), ["c1", "c2"]);
  assert.deepEqual(emittedAs("incoming-ended").map(({ call_id: id }) => id), ["c1", "c2"]);

  await stream.deliver("incoming", 6, INCOMING);
  await client.decline("c1");
  assert.equal(emittedAs("incoming-ended").length, 3);
  assert.equal(server.count("POST /calls/c1/reject"), 1);
});

test("a listener can be removed", async () => {
  const stream = await connected();
  let count = 0;
  const remove = client.on("incoming", () => (count += 1));
  await stream.deliver("incoming", 1, INCOMING);
  remove();
  await stream.deliver("incoming", 2, { ...INCOMING, call_id: "c2" });
  assert.equal(count, 1);
});

test("an answered call is current, is named by the stream, and ends", async () => {
  const stream = await connected();
  await stream.deliver("incoming", 1, INCOMING);
  const answering = client.answer("c1");
  await settle();
  const call = await answering;
  assert.equal(client.current, call);
  assert.deepEqual(FakeEventStream.open.map(({ url }) => url), ["/events?call=c1&after=1"]);
  assert.equal(FakeConnection.all.length, 1);
  assert.equal(call.media.tracks.microphone.readyState, "live");
  assert.equal(call.media.tracks.camera, null);

  await FakeEventStream.open[0].deliver("call", 2, callState("ended", "left", 9));
  assert.equal(call.over, true);
  assert.equal(client.current, null);
  assert.deepEqual(emittedAs("current"), [call, null]);
  assert.equal(call.reason, "The call has ended.");
  assert.deepEqual(FakeEventStream.open.map(({ url }) => url), ["/events?after=2"]);
});

test("calling a channel whose call rings answers it, and another call is left first", async () => {
  const stream = await connected();
  await stream.deliver("incoming", 1, INCOMING);
  await client.call(CHANNEL);
  assert.equal(server.count("POST /calls/initiate"), 0);
  assert.equal(server.count("POST /calls/c1/accept"), 1);
  server.on("POST", "/calls/initiate", { call_id: "c2", participants: ["alice", "carol"], busy: [], joined_ts: 100 });
  server.on("GET", "/calls/c2/state", { ...callState("ringing", "accepted", 1), call_id: "c2" });
  server.on("GET", /^\/calls\/c2\/signals/, []);
  server.on("POST", "/calls/c2/leave", { status: "ok" });
  const second = await client.call("dm:alice:carol", { camera: true });
  assert.equal(client.current, second);
  assert.ok(server.requests.indexOf("POST /calls/c1/leave") < server.requests.indexOf("POST /calls/initiate"));
  assert.equal(second.media.tracks.camera.readyState, "live");
});

test("a microphone that is refused calls nobody", async () => {
  await connected();
  navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("", "NotAllowedError"));
  await assert.rejects(client.call(CHANNEL), DeviceError);
  assert.equal(server.count("POST /calls/initiate"), 0);
  assert.equal(client.entering, null);
  const call = await client.call(CHANNEL, { microphone: false });
  assert.equal(call.media.tracks.microphone, null);
});

test("entering a call can be given up", async () => {
  await connected();
  const cancelling = new AbortController();
  const media = [];
  navigator.mediaDevices.getUserMedia = async () => {
    cancelling.abort();
    media.push(new FakeTrack("audio"));
    return new FakeStream(media);
  };
  await assert.rejects(client.call(CHANNEL, { signal: cancelling.signal }), { name: "AbortError" });
  assert.equal(media[0].readyState, "ended");
  assert.equal(server.count("POST /calls/initiate"), 0);
  await assert.rejects(client.call(CHANNEL, { signal: cancelling.signal }), { name: "AbortError" });
  await assert.rejects(client.answer("unknown"), /has ended/);
});

test("a call mutes, films and shares", async () => {
  await connected();
  const call = await client.call(CHANNEL);
  call.mute();
  assert.equal(call.media.tracks.microphone.enabled, false);
  call.mute(false);
  assert.equal(call.media.tracks.microphone.enabled, true);
  await call.camera();
  assert.equal(call.media.tracks.camera.readyState, "live");
  await call.camera(false);
  assert.equal(call.media.tracks.camera, null);
  await call.share();
  assert.equal(call.media.tracks.screenSound.kind, "audio");
  const own = new FakeStream([new FakeTrack("video")]);
  await call.share(own);
  assert.deepEqual([call.media.tracks.screen, call.media.tracks.screenSound], [own.tracks[0], null]);
  await call.share(false);
  assert.equal(own.tracks[0].readyState, "ended");
  const shares = server.bodies.filter((body, index) => server.requests[index].endsWith("/screenshare"));
  assert.deepEqual(shares, [{ on: true }, { on: true }, { on: false }]);
  server.on("POST", "/calls/c1/invite", { status: "ok", busy: [] });
  await call.invite("carol");
  assert.deepEqual(server.bodies.at(-1), { username: "carol" });
  await call.end();
  assert.equal(server.count("POST /calls/c1/end"), 1);
  assert.equal(client.current, null);
});

test("the streams of the others are listed", async () => {
  await connected();
  const call = await client.answer("c1").catch(() => client.call(CHANNEL));
  assert.deepEqual(call.streams, []);
  call.mesh.connect("bob");
  const [connection] = FakeConnection.all;
  const stream = new FakeStream([new FakeTrack("audio")]);
  connection.ontrack({ track: stream.tracks[0], streams: [stream] });
  assert.deepEqual(call.streams, [{ name: "bob", kind: "camera", stream }]);
});

test("missed calls are reported when they change, and can be marked as seen", async () => {
  const stream = await connected();
  const missed = { call_id: "c1", channel: CHANNEL, initiator: "bob", called_by: "bob", missed_ts: 130, seen: false };
  server.on("GET", "/calls/missed", [missed]);
  server.on("POST", "/calls/missed/seen", { status: "ok" });
  await stream.deliver("call", 1, callState("rejected", "left", 3));
  assert.deepEqual(emittedAs("missed"), [[missed]]);
  await client.missed();
  assert.equal(emittedAs("missed").length, 1, "nothing has changed");
  await client.markMissedSeen("private:2");
  assert.equal(server.count("POST /calls/missed/seen"), 0, "none was missed there");
  await client.markMissedSeen(CHANNEL);
  assert.deepEqual(emittedAs("missed").at(-1), [{ ...missed, seen: true }]);
  await client.markMissedSeen();
  assert.equal(server.count("POST /calls/missed/seen"), 1);
});

test("the history is read page by page", async () => {
  await connected();
  server.on("GET", /^\/calls\/history/, []);
  await client.history();
  await client.history({ channel: CHANNEL, before: "c1", limit: 5 });
  const requests = server.requests.filter((request) => request.includes("history"));
  assert.deepEqual(requests, [
    "GET /calls/history?",
    "GET /calls/history?channel=dm%3Aalice%3Abob&before=c1&limit=5",
  ]);
});

test("a closed client leaves its call, and starts nothing again", async () => {
  await connected();
  await client.call(CHANNEL);
  await client.close();
  assert.equal(server.count("POST /calls/c1/leave"), 1);
  assert.equal(client.state, "closed");
  assert.deepEqual([client.me, FakeEventStream.open.length], [null, 0]);
  const before = server.requests.length;
  await clock.advance(120_000);
  assert.equal(server.requests.length, before);
});

test("a session that ends leaves the call and forgets everything", async () => {
  const stream = await connected();
  await stream.deliver("incoming", 1, INCOMING);
  server.on("POST", "/logout", { status: "ok" });
  const call = await client.call(CHANNEL);
  await client.signOut();
  assert.deepEqual([call.over, client.state, client.me, client.store.incoming.size], [true, "signed-out", null, 0]);
  assert.equal(server.requests.at(-1), "POST /logout");
});

test("a new token is used by the stream without a gap", async () => {
  let count = 0;
  const token = () => {
    count += 1;
    const iat = Math.floor(clock.now / 1000);
    return `e30.${Buffer.from(JSON.stringify({ iat, exp: iat + 100, count })).toString("base64url")}.x`;
  };
  const stream = await connected({ token });
  await stream.deliver("snapshot", 7, snapshot());
  for (let second = 0; second < 80; second += 10) {
    await FakeEventStream.open[0].write(":\n\n");
    await clock.advance(10_000);
  }
  assert.equal(count, 2);
  assert.equal(stream.isClosed, true);
  assert.deepEqual(FakeEventStream.open.map(({ url }) => url), ["/events?after=7"]);
  assert.deepEqual(emittedAs("state"), ["open"], "the connection was never lost");
});

test("clients of one page do not know each other", async () => {
  const other = connect({ server: SERVER, token: "other" });
  const otherEmitted = listenTo(other);
  await settle();
  const [otherStream] = FakeEventStream.open;
  const stream = await connected({ token: "own" });
  await stream.deliver("incoming", 1, INCOMING);
  const call = await client.call(CHANNEL);
  assert.deepEqual([other.current, other.store.incoming.size, other.calls.size], [null, 0, 0]);
  await otherStream.deliver("call", 5, callState("ended", "left", 9));
  assert.equal(call.over, false);
  other.store.names.set({ bob: "Robert" });
  assert.equal(client.names.shown("bob"), "Bob");
  assert.deepEqual(otherEmitted.map(([name]) => name), ["signed-in", "state", "call"]);
  await other.close();
  assert.equal(client.state, "open");
});

test("a change of the directory is read within the time that the server gives", async () => {
  const stream = await connected();
  await clock.advance(1_000);
  const reads = () => server.count("GET /me");
  const before = reads();
  server.on("GET", "/me", { ...ME, people: ["bob", "carol"] });
  for (let times = 0; times < 3; times += 1) {
    await stream.write('event:directory\ndata:{"within":2}\n\n');
  }
  await clock.advance(2_000);
  assert.equal(reads(), before + 1, "three changes are read once");
  assert.deepEqual(client.store.people, ["bob", "carol"]);
  await stream.write('event:directory\ndata:{"within":2}\n\n');
  await client.close();
  await clock.advance(2_000);
  assert.equal(reads(), before + 1, "a closed client reads nothing");
});
