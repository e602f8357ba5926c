import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";

import { FakeConnection, FakeStream, FakeTrack, LOST, SERVER, clock, refusal, reset, server, settle } from "./fakes.js";
import { Api } from "../../src/web/client/api.js";
import { Mesh } from "../../src/web/client/mesh.js";

const PATH = "/calls/c1/signal";

function createMesh(me = "alice") {
  const stream = new FakeStream();
  return new Mesh({
    api: new Api({ server: SERVER }),
    me,
    path: PATH,
    iceServers: [],
    streams: { camera: stream.id },
    addMedia: (peer, isAnswering) => {
      if (!isAnswering) {
        peer.sendTrack("microphone", new FakeTrack("audio"), stream);
      }
    },
  });
}

const offer = (session) => ({
  from: "bob",
  type: "offer",
  payload: { type: "offer", sdp: "a=ice-ufrag:o\n", session },
});
const answer = (session, recipient) => ({
  from: "bob",
  type: "answer",
  payload: { type: "answer", sdp: "a=ice-ufrag:a\n", session, for: recipient },
});
const candidate = (session, name = "c") => ({
  from: "bob",
  type: "ice_candidate",
  payload: { candidate: name, usernameFragment: "o", session },
});

/** The signals that were posted. */
const posted = () => server.bodies.filter((body) => body?.to);

let mesh;

beforeEach(() => {
  mesh?.close();
  reset();
  server.on("POST", PATH, { status: "ok" });
  mesh = createMesh();
});

test("an offer goes out with our session, and an answer names the recipient's", async () => {
  mesh.connect("bob");
  await settle();
  mesh.receive(answer("b/1", `${mesh.visit}/1`));
  await settle();
  FakeConnection.all[0].onicecandidate({ candidate: { toJSON: () => ({ candidate: "mine" }) } });
  await settle();
  assert.deepEqual(posted().map(({ to, type, payload }) => [to, type, payload.session, payload.for]), [
    ["bob", "offer", `${mesh.visit}/1`, undefined],
    ["bob", "ice_candidate", `${mesh.visit}/1`, "b/1"],
  ]);
});

test("an offer from somebody new makes a connection that answers", async () => {
  mesh.receive(offer("b/1"));
  await settle();
  assert.deepEqual(posted().map(({ type, payload }) => [type, payload.for]), [["answer", "b/1"]]);
  assert.equal(mesh.peers.get("bob").theirSession, "b/1");
});

test("candidates that arrive before their offer are used after it", async () => {
  mesh.receive(candidate("b/1", "first"));
  mesh.receive(candidate("b/1", "second"));
  mesh.receive(candidate("b/2", "of another session"));
  mesh.receive(offer("b/1"));
  await settle();
  assert.deepEqual(FakeConnection.all[0].candidates.map((one) => one.candidate), ["first", "second"]);
});

test("held candidates are bounded", async () => {
  for (let count = 0; count < 300; count += 1) {
    mesh.receive(candidate("b/1"));
  }
  mesh.receive(offer("b/1"));
  await settle();
  assert.equal(FakeConnection.all[0].candidates.length, 200);
});

test("a signal for an earlier connection of ours is ignored", async () => {
  mesh.connect("bob");
  await settle();
  mesh.receive(answer("b/1", "another-visit/1"));
  await settle();
  assert.equal(FakeConnection.all[0].signalingState, "have-local-offer");
});

test("an offer of another visit replaces the connection and informs the earlier page", async () => {
  let replaced = 0;
  mesh.on("replaced", () => (replaced += 1));
  mesh.receive(offer("b/1"));
  await settle();
  mesh.receive(offer("other/1"));
  await settle();
  const [before, now] = FakeConnection.all;
  assert.deepEqual(before.channel.sent, [{ replaced: true }]);
  assert.equal(before.isClosed, undefined, "the message leaves first");
  await clock.advance(500);
  assert.equal(before.isClosed, true);
  assert.equal(now.signalingState, "stable");
  assert.equal(mesh.peers.get("bob").theirSession, "other/1");
  assert.equal(replaced, 0);

  mesh.receive(offer("b/1"));
  await settle();
  assert.equal(FakeConnection.all.length, 2, "the retired session is over");
});

test("another connection of the same visit replaces the one before without a message", async () => {
  mesh.receive(offer("b/1"));
  await settle();
  mesh.receive(offer("b/2"));
  await settle();
  assert.deepEqual(FakeConnection.all[0].channel.sent, []);
  assert.equal(mesh.peers.get("bob").theirSession, "b/2");
});

test("a client without sessions keeps its connection when it offers again", async () => {
  mesh.receive(offer(undefined));
  await settle();
  mesh.receive(offer(undefined));
  await settle();
  assert.equal(FakeConnection.all.length, 1);
  assert.deepEqual(posted().map(({ type }) => type), ["answer", "answer"]);
});

test("when offers cross on a connected call, the polite side takes a new connection and offers", async () => {
  mesh.connect("bob"); // alice sorts before bob: she is polite
  await settle();
  mesh.receive(answer("b/1"));
  await settle();
  mesh.restart();
  await settle();
  mesh.receive(offer("b/1"));
  await settle();
  assert.equal(FakeConnection.all[0].isClosed, true);
  assert.deepEqual(posted().map(({ type, payload }) => [type, payload.session]), [
    ["offer", `${mesh.visit}/1`],
    ["offer", `${mesh.visit}/1`],
    ["offer", `${mesh.visit}/2`],
  ]);
});

test("when offers cross on a connected call with a client without sessions, the connection stays", async () => {
  mesh.connect("bob");
  await settle();
  mesh.receive(answer(undefined));
  await settle();
  mesh.restart();
  await settle();
  mesh.receive(offer(undefined));
  await settle();
  mesh.receive(answer(undefined));
  await settle();
  const [connection, ...others] = FakeConnection.all;
  assert.deepEqual(others, []);
  assert.equal(connection.rollbacks, 1);
  assert.equal(connection.signalingState, "stable");
  assert.deepEqual(posted().map(({ type }) => type), ["offer", "offer", "answer", "offer"]);
});

test("signals to a person keep their order while the server is gone", async () => {
  server.on("POST", PATH, LOST);
  mesh.connect("bob");
  await settle();
  FakeConnection.all[0].onicecandidate({ candidate: { toJSON: () => ({ candidate: "mine" }) } });
  await clock.advance(3_000);
  assert.ok(posted().every(({ type }) => type === "offer"), "the candidate waits for the offer");
  server.on("POST", PATH, { status: "ok" });
  await clock.advance(4_000);
  assert.deepEqual(posted().slice(-2).map(({ type }) => type), ["offer", "ice_candidate"]);
});

test("a refused signal does not stop the next one", async () => {
  server.on("POST", PATH, refusal(403, "recipient_not_accepted"));
  mesh.connect("bob");
  await settle();
  server.on("POST", PATH, { status: "ok" });
  FakeConnection.all[0].onicecandidate({ candidate: { toJSON: () => ({ candidate: "mine" }) } });
  await settle();
  assert.deepEqual(posted().map(({ type }) => type), ["offer", "ice_candidate"]);
});

test("messages of the data channel end a connection or the visit", async () => {
  let replaced = 0;
  mesh.on("replaced", () => (replaced += 1));
  mesh.receive(offer("b/1"));
  await settle();
  const { channel } = FakeConnection.all[0];
  channel.onmessage({ data: "no JSON" });
  channel.onmessage({ data: '{"replaced":true}' });
  assert.equal(replaced, 1);
  channel.onmessage({ data: '{"bye":true}' });
  assert.equal(mesh.peers.size, 0);
});

test("a payload that is no object is ignored", () => {
  for (const payload of [null, "text", 5]) {
    mesh.receive({ from: "bob", type: "offer", payload });
  }
  assert.equal(mesh.peers.size, 0);
});
