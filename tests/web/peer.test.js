import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";

import { FakeConnection, FakeStream, FakeTrack, clock, reset, settle } from "./fakes.js";
import { Peer } from "../../src/web/client/peer.js";

let sent;
let yielded;

function createPeer(polite) {
  const send = (type, payload) => sent.push({ type, payload });
  const peer = new Peer({ name: "bob", session: "v/1", polite, iceServers: [], streams: { camera: "c" }, send });
  peer.on("yield", (offer) => yielded.push(offer));
  const connection = FakeConnection.all.at(-1);
  return { peer, connection };
}

/** A peer that has sent an offer. */
async function offering(polite) {
  const created = createPeer(polite);
  await created.peer.sendTrack("microphone", new FakeTrack("audio"), new FakeStream());
  await settle();
  return created;
}

/** A connected peer that has sent another offer. */
async function offeringAgain(polite, session) {
  const created = await offering(polite);
  await created.peer.receive("answer", { type: "answer", sdp: "a=ice-ufrag:theirs\n", session });
  created.connection.changeState("connected");
  sent.length = 0;
  created.peer.restart();
  await settle();
  assert.deepEqual(sent.map(({ type }) => type), ["offer"]);
  sent.length = 0;
  return created;
}

const offer = (session) => ({ type: "offer", sdp: "a=ice-ufrag:crossing\n", ...(session && { session }) });

beforeEach(() => {
  reset();
  sent = [];
  yielded = [];
});

test("a track makes an offer, which names the streams", async () => {
  await offering(true);
  assert.deepEqual(sent.map(({ type }) => type), ["offer"]);
  assert.deepEqual(sent[0].payload.streams, { camera: "c" });
});

test("an offer is answered", async () => {
  const { peer, connection } = createPeer(true);
  await peer.receive("offer", offer("theirs/1"));
  assert.deepEqual(sent.map(({ type }) => type), ["answer"]);
  assert.equal(peer.theirSession, "theirs/1");
  assert.equal(connection.signalingState, "stable");
});

test("a repeated answer is ignored", async () => {
  const { peer, connection } = await offering(false);
  await peer.receive("answer", { type: "answer", sdp: "first", session: "theirs/1" });
  await peer.receive("answer", { type: "answer", sdp: "second", session: "theirs/1" });
  assert.equal(connection.currentRemoteDescription.sdp, "first");
});

test("the impolite side ignores a crossing offer and repeats its own to a newcomer", async () => {
  const { peer, connection } = await offering(false);
  await peer.receive("offer", offer("theirs/1"));
  assert.deepEqual(sent.map(({ type }) => type), ["offer", "offer"]);
  assert.equal(sent[0].payload.sdp, sent[1].payload.sdp);
  assert.equal(connection.signalingState, "have-local-offer");
  assert.deepEqual(yielded, []);
});

test("the impolite side ignores a crossing offer on a connected call", async () => {
  for (const session of ["theirs/1", undefined]) {
    const { peer, connection } = await offeringAgain(false, session);
    await peer.receive("offer", offer(session));
    assert.deepEqual(sent, []);
    assert.equal(connection.signalingState, "have-local-offer");
  }
});

test("the polite side yields with the crossing offer before there is a connection", async () => {
  const { peer, connection } = await offering(true);
  const crossing = offer("theirs/1");
  await peer.receive("offer", crossing);
  assert.deepEqual(yielded, [crossing]);
  assert.equal(connection.rollbacks, 0);
});

test("the polite side yields without an offer to answer when offers cross on a connected call", async () => {
  const { peer } = await offeringAgain(true, "theirs/1");
  await peer.receive("offer", offer("theirs/1"));
  assert.deepEqual(yielded, [null]);
});

test("towards a client without sessions the polite side rolls back, answers, and offers again", async () => {
  const { peer, connection } = await offeringAgain(true, undefined);
  await peer.receive("offer", offer());
  await settle();
  assert.deepEqual(yielded, [], "the connection stays");
  assert.equal(connection.rollbacks, 1);
  assert.equal(connection.isClosed, undefined);
  assert.deepEqual(sent.map(({ type }) => type), ["answer", "offer"]);
  await peer.receive("answer", { type: "answer", sdp: "a=ice-ufrag:last\n" });
  assert.equal(connection.signalingState, "stable");
});

test("a first crossing with a client without sessions is a rollback, too", async () => {
  const { peer, connection } = await offering(true);
  sent.length = 0;
  await peer.receive("offer", offer());
  await settle();
  assert.deepEqual(yielded, []);
  assert.equal(connection.rollbacks, 1);
  assert.deepEqual(sent.map(({ type }) => type), ["answer", "offer"]);
});

test("a candidate waits for the description with its username fragment", async () => {
  const { peer, connection } = createPeer(true);
  const candidate = { candidate: "c", usernameFragment: "crossing", session: "theirs/1", for: "v/1" };
  await peer.receive("ice_candidate", candidate);
  assert.deepEqual(connection.candidates, []);
  await peer.receive("offer", offer("theirs/1"));
  assert.deepEqual(connection.candidates, [{ candidate: "c", usernameFragment: "crossing" }]);
});

test("early candidates are bounded", async () => {
  const { peer, connection } = createPeer(true);
  for (let count = 0; count < 300; count += 1) {
    await peer.receive("ice_candidate", { candidate: `c${count}`, usernameFragment: "crossing" });
  }
  await peer.receive("offer", offer());
  assert.equal(connection.candidates.length, 200);
});

test("an interrupted connection restarts ICE, the polite side later", async () => {
  for (const [polite, pause] of [[false, 2_500], [true, 5_000]]) {
    const { connection } = createPeer(polite);
    connection.changeState("connected");
    connection.changeState("disconnected");
    await clock.advance(pause - 1);
    assert.equal(connection.iceRestarts, 0);
    await clock.advance(1);
    assert.equal(connection.iceRestarts, 1);
    await clock.advance(8_000);
    assert.equal(connection.iceRestarts, 2, "and again while it is down");
    connection.changeState("connected");
    await clock.advance(60_000);
    assert.equal(connection.iceRestarts, 2);
  }
});

test("a connection that recovers is left alone", async () => {
  const { peer, connection } = createPeer(false);
  connection.changeState("connected");
  connection.changeState("disconnected");
  assert.ok(peer.downSince > 0);
  await clock.advance(1_000);
  connection.changeState("connected");
  await clock.advance(60_000);
  assert.equal(connection.iceRestarts, 0);
  assert.equal(peer.downSince, 0);
});

test("a closed peer passes signals on to its successor", async () => {
  const { peer } = createPeer(true);
  const { peer: successor, connection } = createPeer(true);
  peer.successor = successor;
  peer.close();
  await peer.receive("offer", offer("theirs/2"));
  await settle();
  assert.equal(connection.remoteDescription.sdp, offer().sdp);
});

test("without stream ids the first stream is the camera's and the second the screen's", async () => {
  const { peer, connection } = createPeer(true);
  const [camera, screen] = [new FakeStream([new FakeTrack("video")]), new FakeStream([new FakeTrack("video")])];
  for (const stream of [camera, screen]) {
    connection.ontrack({ track: stream.tracks[0], streams: [stream] });
  }
  assert.equal(peer.streamOf("camera"), camera);
  assert.equal(peer.streamOf("screen"), screen);
  await peer.receive("offer", { ...offer("theirs/1"), streams: { camera: screen.id, screen: camera.id } });
  assert.equal(peer.streamOf("camera"), screen);
  assert.equal(peer.streamOf("screen"), camera);
});

test("video is limited once for each step, and not sent to those who do not show it", async () => {
  const { peer, connection } = createPeer(true);
  await peer.sendTrack("camera", new FakeTrack("video"), new FakeStream());
  const [{ sender }] = connection.getTransceivers();
  const encoding = () => sender.getParameters().encodings[0];
  const step = { lines: 360, bits: 500_000, frames: 24 };
  await peer.limit("camera", step);
  const limited = { active: true, maxBitrate: 500_000, maxFramerate: 24, scaleResolutionDownBy: 2 };
  assert.deepEqual(encoding(), limited);
  await peer.limit("camera", step);
  assert.equal(sender.changes, 1);
  await peer.limit("camera", { ...step, lines: Infinity });
  assert.equal(encoding().scaleResolutionDownBy, 1, "never larger than it is");

  const say = (message) => connection.channel.onmessage({ data: JSON.stringify(message) });
  say({ wants: ["screen"] });
  await settle();
  assert.equal(encoding().active, false);
  say({ wants: ["camera", "screen"] });
  await settle();
  assert.equal(encoding().active, true);
  say({ wants: 7 });
  await settle();
  assert.equal(encoding().active, true, "not of this protocol");
});

test("what is shown is said once", () => {
  const { peer, connection } = createPeer(true);
  peer.want(["camera", "screen"]);
  peer.want([]);
  peer.want([]);
  peer.want(["screen"]);
  assert.deepEqual(connection.channel.sent, [{ wants: [] }, { wants: ["screen"] }]);
});

test("without a connection, messages of a relayed peer travel in signals", async () => {
  const { peer, connection } = createPeer(true);
  connection.channel.readyState = "connecting";
  peer.sendMessage({ muted: true });
  assert.deepEqual(sent, []);
  peer.relay();
  assert.equal(peer.via, "relay");
  peer.sendMessage({ muted: true });
  assert.deepEqual(sent, [{ type: "ice_candidate", payload: { candidate: "", message: { muted: true } } }]);

  await peer.receive("ice_candidate", { candidate: "", session: "theirs/1", message: { camera: false } });
  assert.equal(peer.status.camera, false);
  assert.deepEqual(connection.candidates, []);
  connection.changeState("connected");
  assert.equal(peer.via, "webrtc");
  connection.changeState("disconnected");
  assert.equal(peer.via, null, "it is relayed again after a while");
});

test("a relayed peer whose connection does not fail restarts ICE, too", async () => {
  const { peer, connection } = await offering(false);
  peer.relay();
  await clock.advance(60_000);
  assert.equal(connection.iceRestarts, 0, "they have not answered: they may have no WebRTC");
  peer.isRelayed = false;
  await peer.receive("answer", { type: "answer", sdp: "a=ice-ufrag:theirs\n", session: "theirs/1" });
  peer.relay();
  await clock.advance(8_000);
  assert.equal(connection.iceRestarts, 1);
});
