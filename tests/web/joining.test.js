import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";

import {
  FakeConnection, FakeRecorder, FakeStream, FakeTrack, LOST, SERVER, audioSources, clock, refusal, reset, server, settle,
} from "./fakes.js";
import { ServerGone } from "../../src/web/client/api.js";
import { Calls } from "../../src/web/client/calls.js";
import { joinCall, startCall } from "../../src/web/client/joining.js";
import { Media } from "../../src/web/client/media.js";
import { OwnShare } from "../../src/web/client/screen_share.js";

const CHANNEL = "dm:alice:bob";
const ACCEPTED = { status: "ok", participants: ["alice", "bob"], last_signal_id: 0, joined_ts: 100 };

const participant = (username, state, joinedTs) => ({ username, role: "participant", state, joined_ts: joinedTs });

const callState = (version = 1, joinedTs = 100) => ({
  call_id: "c1",
  channel: CHANNEL,
  initiator: "alice",
  state: "active",
  version,
  participants: [participant("alice", "accepted", joinedTs), participant("bob", "accepted", 100)],
});

/** Its undoing of a step reaches from one call to the next. */
const client = new Calls({ server: SERVER });

const visit = (more = {}) => ({ client, me: "alice", channel: CHANNEL, media: new Media(), isWanted: () => true, ...more });

/** Everything that this person could be taken off the call with. */
const departures = () => server.requests.filter((request) => /(leave|end)$/.test(request));

let calls = [];

const keep = async (entering) => {
  const call = await entering;
  calls.push(call);
  return call;
};

beforeEach(async () => {
  // Calls and retries of the test before end first.
  reset();
  server.on("POST", /^\/calls\/[^/]+\/(leave|end)$/, { status: "left" });
  server.on("GET", "/me", { calls: [] });
  server.on("GET", /^\/calls\/active/, { call: null });
  await Promise.all(calls.map((call) => call.leave()));
  calls = [];
  reset();
  server.on("POST", /^\/calls\/[^/]+\/(leave|end|signal|gone)$/, { status: "ok" });
  server.on("POST", "/calls/c1/accept", ACCEPTED);
  server.on("POST", "/calls/initiate", { call_id: "c1", participants: ["alice", "bob"], busy: [], joined_ts: 100 });
  server.on("GET", "/calls/c1/state", () => callState());
  server.on("GET", /^\/calls\/c1\/signals/, []);
});

// ---- half-done steps

test("if the ICE servers cannot be read, nothing rings", async () => {
  server.on("GET", "/calls/ice", LOST);
  await assert.rejects(startCall(visit()), (error) => error instanceof ServerGone && !error.mayHaveArrived);
  assert.deepEqual(server.requests, ["GET /calls/ice"]);
});

test("a call whose answer is lost is joined", async () => {
  let attempts = 0;
  server.on("POST", "/calls/initiate", () => {
    attempts += 1;
    return attempts === 1 ? LOST : refusal(409, "channel_has_live_call", { call_id: "c1" });
  });
  const entering = keep(startCall(visit()));
  await clock.advance(1_000);
  const call = await entering;
  assert.equal(call.id, "c1");
  assert.equal(call.state.state, "active");
  assert.deepEqual(departures(), []);
});

test("a call whose answer stays lost is taken back when the server answers again", async () => {
  server.on("POST", "/calls/initiate", LOST);
  server.on("GET", /^\/calls\/active/, LOST);
  const entering = startCall(visit());
  const rejected = assert.rejects(entering, (error) => error instanceof ServerGone && error.mayHaveArrived);
  await clock.advance(20_000);
  await rejected;
  assert.deepEqual(departures(), []);
  server.on("GET", /^\/calls\/active/, { call: { call_id: "c1", initiator: "alice", state: "ringing", started_ts: 100, joined: true } });
  await clock.advance(5_000);
  assert.deepEqual(departures(), ["POST /calls/c1/leave"]);
});

test("a call that another device makes later is not taken back", async () => {
  for (const lead of [0, -3_600_000, 3_600_000]) {
    server.clockLead = lead;
    server.on("POST", "/calls/initiate", LOST);
    server.on("GET", /^\/calls\/active/, LOST);
    const rejected = assert.rejects(startCall(visit()));
    await clock.advance(20_000);
    await rejected;
    const later = { call_id: "c1", initiator: "alice", started_ts: (clock.now + lead) / 1000, joined: true };
    server.on("GET", /^\/calls\/active/, { call: later });
    await clock.advance(10_000);
    assert.deepEqual(departures(), [], `the server's clock is ahead by ${lead}`);
  }
});

test("a call of somebody else is not taken back", async () => {
  server.on("POST", "/calls/initiate", LOST);
  server.on("GET", /^\/calls\/active/, { call: { call_id: "c1", initiator: "bob", state: "ringing", joined: false } });
  const rejected = assert.rejects(startCall(visit()));
  await clock.advance(30_000);
  await rejected;
  assert.ok(server.requests.some((request) => request.startsWith("GET /calls/active")));
  assert.deepEqual(departures(), []);
});

test("a second attempt withdraws the undoing of the first", async () => {
  server.on("POST", "/calls/initiate", LOST);
  server.on("GET", /^\/calls\/active/, LOST);
  const rejected = assert.rejects(startCall(visit()));
  await clock.advance(15_000);
  await rejected;
  let finishInitiate;
  server.on("POST", "/calls/initiate", () => new Promise((resolve) => (finishInitiate = resolve)));
  server.on("GET", /^\/calls\/active/, { call: { call_id: "c1", initiator: "alice", state: "ringing", started_ts: 100, joined: true } });
  const entering = keep(startCall(visit()));
  await clock.advance(10_000);
  finishInitiate({ call_id: "c1", participants: ["alice", "bob"], busy: [], joined_ts: 200 });
  assert.equal((await entering).id, "c1");
  assert.deepEqual(departures(), []);
});

test("all attempts to call have one key, and the next call another", async () => {
  server.on("POST", "/calls/initiate", LOST);
  server.on("GET", /^\/calls\/active/, LOST);
  const rejected = assert.rejects(startCall(visit()));
  await clock.advance(15_000);
  await rejected;
  const keysOf = () => server.keys.filter((_, nth) => server.requests[nth] === "POST /calls/initiate");
  const attempts = keysOf();
  assert.ok(attempts.length > 1 && attempts[0] !== null);
  assert.equal(new Set(attempts).size, 1);
  server.on("POST", "/calls/initiate", { call_id: "c1", participants: ["alice", "bob"], busy: [], joined_ts: 200 });
  const entering = keep(startCall(visit()));
  await clock.advance(10_000);
  await entering;
  assert.equal(new Set(keysOf()).size, 2);
});

test("a cancelled attempt is not retried, and is taken back", async () => {
  let wanted = true;
  server.on("POST", "/calls/initiate", LOST);
  server.on("GET", /^\/calls\/active/, { call: { call_id: "c1", initiator: "alice", state: "ringing", started_ts: 100, joined: true } });
  const rejected = assert.rejects(startCall(visit({ isWanted: () => wanted })));
  await settle();
  wanted = false;
  await clock.advance(10_000);
  await rejected;
  assert.equal(server.count("POST /calls/initiate"), 1);
  assert.deepEqual(departures(), ["POST /calls/c1/leave"]);
});

test("a 503 means that nothing was done, so nothing is taken back", async () => {
  server.on("POST", "/calls/initiate", refusal(503, "busy"));
  const rejected = assert.rejects(startCall(visit()), (error) => error instanceof ServerGone && !error.mayHaveArrived);
  await clock.advance(30_000);
  await rejected;
  assert.ok(!server.requests.some((request) => request.startsWith("GET /calls/active")));
});

test("an accept whose answer stays lost is taken back", async () => {
  server.on("POST", "/calls/c1/accept", LOST);
  server.on("GET", "/me", { calls: [callState()] });
  const rejected = assert.rejects(joinCall(visit({ id: "c1" })));
  await clock.advance(30_000);
  await rejected;
  assert.deepEqual(departures(), ["POST /calls/c1/leave"]);
});

test("the undoing of a lost accept does not take a person off the call that they join later", async () => {
  server.on("POST", "/calls/c1/accept", LOST);
  server.on("GET", "/me", LOST);
  const rejected = assert.rejects(joinCall(visit({ id: "c1" })));
  await clock.advance(20_000);
  await rejected;
  server.on("GET", "/me", { calls: [callState(5, clock.now / 1000)] });
  await clock.advance(30_000);
  assert.deepEqual(departures(), []);
});

test("an accept that never arrived leaves the invitation alone", async () => {
  server.on("POST", "/calls/c1/accept", LOST);
  const ringing = { ...callState(), participants: [participant("alice", "pending", null)] };
  server.on("GET", "/me", { calls: [ringing] });
  const rejected = assert.rejects(joinCall(visit({ id: "c1" })));
  await clock.advance(30_000);
  await rejected;
  assert.deepEqual(departures(), []);
});

test("an accept of somebody who was on the call before is not taken back", async () => {
  server.on("POST", "/calls/c1/accept", LOST);
  server.on("GET", "/me", { calls: [callState()] });
  const rejected = assert.rejects(joinCall(visit({ id: "c1", wasAccepted: true })));
  await clock.advance(30_000);
  await rejected;
  assert.deepEqual(departures(), []);
});

test("a call that this browser cannot connect is left", async () => {
  FakeConnection.failNext = true;
  await assert.rejects(joinCall(visit({ id: "c1" })), /no connection/);
  assert.deepEqual(departures(), ["POST /calls/c1/leave"]);
});

test("the undoing of a call that cannot connect does not take a person off the call that they have rejoined", async () => {
  FakeConnection.failNext = true;
  server.on("POST", "/calls/c1/leave", LOST);
  server.on("GET", "/me", LOST);
  await assert.rejects(joinCall(visit({ id: "c1" })), /no connection/);
  await clock.advance(1_000);
  // On another device, after the first leave has arrived.
  server.on("POST", "/calls/c1/leave", { status: "left" });
  server.on("GET", "/me", { calls: [callState(5, 200)] });
  await clock.advance(30_000);
  assert.deepEqual(departures(), ["POST /calls/c1/leave"]);
});

test("a visit of another device stays if this browser cannot connect", async () => {
  FakeConnection.failNext = true;
  await assert.rejects(joinCall(visit({ id: "c1", wasAccepted: true })), /no connection/);
  await clock.advance(30_000);
  assert.deepEqual(departures(), []);
});

test("both sides calling at the same moment share one call", async () => {
  server.on("POST", "/calls/initiate", refusal(409, "channel_has_live_call", { call_id: "c1" }));
  const call = await keep(startCall(visit()));
  assert.equal(call.id, "c1");
});

test("a live call that ends before it is joined is called again", async () => {
  let attempts = 0;
  server.on("POST", "/calls/initiate", () => {
    attempts += 1;
    return attempts === 1 ? refusal(409, "channel_has_live_call", { call_id: "c0" }) : { call_id: "c1", participants: ["alice", "bob"], busy: [], joined_ts: 100 };
  });
  server.on("POST", "/calls/c0/accept", refusal(409, "call_finished"));
  const call = await keep(startCall(visit()));
  assert.equal(call.id, "c1");
});

test("a screen share whose answer is lost is started again", async () => {
  globalThis.isSecureContext = true;
  const stream = new FakeStream([new FakeTrack("video")]);
  navigator.mediaDevices = { getDisplayMedia: async () => stream };
  let attempts = 0;
  server.on("POST", "/screenshare/start", () => {
    attempts += 1;
    return attempts === 1 ? LOST : { share_id: "s2" };
  });
  const starting = OwnShare.start(client, "alice", CHANNEL);
  await clock.advance(1_000);
  const share = await starting;
  assert.equal(share.id, "s2");
  share.end();
  assert.equal(stream.tracks[0].readyState, "ended");
});

// ---- departures that are retried

test("a leave whose answer is lost is retried", async () => {
  const call = await joinCall(visit({ id: "c1" }));
  server.on("POST", "/calls/c1/leave", LOST);
  server.on("GET", "/me", { calls: [callState()] });
  const left = call.leave();
  await clock.advance(1_000);
  server.on("POST", "/calls/c1/leave", { status: "left" });
  await clock.advance(5_000);
  await left;
  assert.ok(server.count("POST /calls/c1/leave") >= 2);
});

test("a retried leave does not take a person off the call that they have rejoined", async () => {
  const call = await joinCall(visit({ id: "c1" }));
  server.on("POST", "/calls/c1/leave", LOST);
  server.on("GET", "/me", LOST);
  call.leave();
  await clock.advance(1_000);
  server.on("POST", "/calls/c1/leave", { status: "left" });
  server.on("GET", "/me", { calls: [callState()] });
  const before = departures().length;
  const entering = keep(joinCall(visit({ id: "c1" })));
  await clock.advance(30_000);
  assert.equal((await entering).over, false);
  assert.equal(departures().length, before);
});

test("a retried leave does not take a person off the call that they have rejoined on another device", async () => {
  const call = await joinCall(visit({ id: "c1" }));
  server.on("POST", "/calls/c1/leave", LOST);
  server.on("GET", "/me", LOST);
  const left = call.leave();
  await clock.advance(1_000);
  server.on("POST", "/calls/c1/leave", { status: "left" });
  server.on("GET", "/me", { calls: [callState(5, 200)] });
  await clock.advance(30_000);
  await left;
  assert.deepEqual(departures(), ["POST /calls/c1/leave"]);
});

test("a leave before the first state does not take a later visit for its own", async () => {
  server.on("GET", "/calls/c1/state", LOST);
  server.on("GET", "/me", LOST);
  const call = await joinCall(visit({ id: "c1" }));
  assert.equal(call.state, null);
  server.on("POST", "/calls/c1/leave", LOST);
  const left = call.leave();
  await clock.advance(1_000);
  server.on("POST", "/calls/c1/leave", { status: "left" });
  server.on("GET", "/me", { calls: [callState(5, 200)] });
  await clock.advance(30_000);
  await left;
  assert.deepEqual(departures(), ["POST /calls/c1/leave"]);
});

test("a leave before the first state is retried", async () => {
  server.on("GET", "/calls/c1/state", LOST);
  server.on("GET", "/me", { calls: [callState()] });
  const call = await joinCall(visit({ id: "c1" }));
  server.on("POST", "/calls/c1/leave", LOST);
  const left = call.leave();
  await clock.advance(100);
  server.on("POST", "/calls/c1/leave", { status: "left" });
  await clock.advance(5_000);
  await left;
  assert.equal(server.count("POST /calls/c1/leave"), 2);
});

test("a join waits for the leave that is under way", async () => {
  const call = await joinCall(visit({ id: "c1" }));
  let finishLeave;
  server.on("POST", "/calls/c1/leave", () => new Promise((resolve) => (finishLeave = resolve)));
  call.leave();
  await settle();
  const entering = keep(joinCall(visit({ id: "c1" })));
  await settle();
  assert.equal(server.count("POST /calls/c1/accept"), 1);
  finishLeave({ status: "left" });
  await entering;
  assert.equal(server.count("POST /calls/c1/accept"), 2);
});

test("a leave is given up after the time in which the server removes the person anyway", async () => {
  const call = await joinCall(visit({ id: "c1" }));
  server.on("POST", "/calls/c1/leave", LOST);
  server.on("GET", "/me", LOST);
  const left = call.leave();
  await clock.advance(70_000);
  await left;
  const before = server.requests.length;
  await clock.advance(70_000);
  assert.equal(server.requests.length, before);
});

// ---- what a call follows

test("somebody who goes within two seconds leaves no audio node behind", async () => {
  const call = await keep(joinCall(visit({ id: "c1" })));
  await settle();
  const [connection] = FakeConnection.all;
  const stream = new FakeStream([new FakeTrack("audio")]);
  connection.ontrack({ track: stream.tracks[0], streams: [stream] });
  assert.equal(audioSources.size, 1);
  const gone = callState(2);
  gone.participants[1].state = "left";
  call.update({ ...gone, participants: [...gone.participants, participant("carol", "accepted", 100)] });
  assert.equal(audioSources.size, 0);
});

test("somebody who does not offer is offered to after three seconds", async () => {
  const call = await keep(joinCall(visit({ id: "c1" })));
  const state = callState(2);
  call.update({ ...state, participants: [...state.participants, participant("carol", "accepted", 100)] });
  await clock.advance(2_999);
  assert.deepEqual([...call.peers.keys()], ["bob"]);
  await clock.advance(1);
  assert.deepEqual([...call.peers.keys()], ["bob", "carol"]);
});

test("an older state is ignored, and the end gives its reason", async () => {
  const call = await keep(joinCall(visit({ id: "c1" })));
  call.update(callState(7));
  call.update({ ...callState(6), state: "ended", ended_reason: "hangup" });
  assert.equal(call.over, false);
  call.update({ ...callState(8), state: "ended", ended_reason: "timeout" });
  assert.equal(call.over, true);
  assert.equal(call.reason, "No answer.");
});

test("signals that arrive twice are used once", async () => {
  const call = await keep(joinCall(visit({ id: "c1" })));
  await settle();
  const [connection] = FakeConnection.all;
  const signal = {
    id: 4,
    call_id: "c1",
    from: "bob",
    type: "answer",
    payload: { type: "answer", sdp: "a=ice-ufrag:x\n", session: "b/1" },
  };
  call.onSignal(signal);
  await settle();
  const candidate = { candidate: "c", usernameFragment: "x", session: "b/1" };
  const more = { id: 5, call_id: "c1", from: "bob", type: "ice_candidate", payload: candidate };
  call.onSignal(more);
  call.onSignal(more);
  await settle();
  assert.equal(connection.candidates.length, 1);
});

test("somebody unreachable is reported once in eight seconds", async () => {
  const call = await keep(joinCall(visit({ id: "c1" })));
  await clock.advance(7_000);
  assert.equal(server.count("POST /calls/c1/gone"), 0);
  await clock.advance(2_000);
  assert.equal(server.count("POST /calls/c1/gone"), 1);
  await clock.advance(8_000);
  assert.equal(server.count("POST /calls/c1/gone"), 2);
  FakeConnection.all[0].changeState("connected");
  await clock.advance(20_000);
  assert.equal(server.count("POST /calls/c1/gone"), 2);
  assert.equal(call.over, false);
});

test("a stream that missed a change is reported", async () => {
  const call = await keep(joinCall(visit({ id: "c1" })));
  let missed = 0;
  call.on("missedEvents", () => (missed += 1));
  await call.refresh();
  assert.equal(missed, 0);
  server.on("GET", "/calls/c1/state", callState(9));
  await call.refresh();
  assert.equal(missed, 1);
});

// ---- the server's relay

/** Joins with bob on the call, connected. */
async function connected() {
  const media = new Media();
  media.tracks.microphone = new FakeTrack("audio");
  const call = await keep(joinCall(visit({ id: "c1", media })));
  await settle();
  const [connection] = FakeConnection.all;
  connection.changeState("connected");
  const reads = () => server.requests.filter((request) => request.startsWith("GET /calls/c1/media?sender=bob")).length;
  return { call, connection, reads };
}

test("media goes through the server after six seconds without a connection, until there is one", async () => {
  const { call, connection, reads } = await connected();
  await clock.advance(30_000);
  assert.deepEqual([reads(), FakeRecorder.all.length], [0, 0]);
  connection.changeState("disconnected");
  await clock.advance(5_000);
  assert.deepEqual([reads(), FakeRecorder.all.length], [0, 0]);
  await clock.advance(3_000);
  assert.equal(call.peers.get("bob").via, "relay");
  assert.ok(reads() > 0);
  assert.equal(FakeRecorder.running.length, 1, "one recording for all");
  await clock.advance(10_000);
  connection.changeState("connected");
  const before = reads();
  await clock.advance(10_000);
  assert.deepEqual([reads(), FakeRecorder.running.length], [before, 0]);
  assert.equal(call.peers.get("bob").via, "webrtc");
});

test("other tracks are another recording, and a call that is over records nothing", async () => {
  const { call, connection } = await connected();
  connection.changeState("disconnected");
  await clock.advance(8_000);
  assert.deepEqual(FakeRecorder.running.map(({ stream }) => stream.getTracks().map(({ kind }) => kind)), [["audio"]]);
  const picture = new FakeTrack("video");
  await call.media.openScreen(new FakeStream([picture]));
  await settle();
  const [{ stream }] = FakeRecorder.running;
  assert.deepEqual([FakeRecorder.all.length, FakeRecorder.running.length], [2, 1]);
  assert.equal(stream.getVideoTracks()[0], picture);
  call.mute();
  await settle();
  assert.equal(FakeRecorder.all.length, 2, "the same tracks");
  const left = call.leave();
  await settle();
  assert.equal(FakeRecorder.running.length, 0);
  await left;
});

test("a hidden page asks for no picture", async () => {
  const { connection } = await connected();
  const wants = () => connection.channel.sent.filter((message) => message.wants).map((message) => message.wants);
  document.visibilityState = "hidden";
  document.dispatchEvent(new Event("visibilitychange"));
  document.visibilityState = "visible";
  document.dispatchEvent(new Event("visibilitychange"));
  assert.deepEqual(wants(), [[], ["camera", "screen"]]);
});

test("a view that shows few asks the others for no camera", async () => {
  const { call, connection } = await connected();
  call.show(["carol"]);
  call.show(null);
  const wants = connection.channel.sent.filter((message) => message.wants).map((message) => message.wants);
  assert.deepEqual(wants, [["screen"], ["camera", "screen"]]);
});
