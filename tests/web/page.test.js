import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import test, { beforeEach } from "node:test";

import { LOST, clock, refusal, reset, server } from "./fakes.js";
import { Refused, ServerGone, get, post, retryWhileOffline, within } from "../../src/web/api.js";
import { entryFailure } from "../../src/web/call_controller.js";
import { Emitter } from "../../src/web/client/emitter.js";
import { selectionOf } from "../../src/web/page.js";
import { append } from "../../src/web/client/player.js";
import { Store } from "../../src/web/client/store.js";

beforeEach(reset);

test("the address names the selection, and a malformed one names nothing", () => {
  assert.equal(selectionOf("#dm%3Aalice%3Abob"), "dm:alice:bob");
  assert.equal(selectionOf("#history"), "history");
  for (const hash of ["", "#", "#%", "#%E0%A4%A", "#100%"]) {
    assert.equal(selectionOf(hash), null, hash);
  }
});

test("a failed call says whether anything can ring", () => {
  const entry = { channel: "c", id: null, video: false, muted: false, cancelled: false };
  assert.match(entryFailure(new ServerGone(false), entry), /Nobody was called/);
  assert.match(entryFailure(new ServerGone(true), entry), /it is cancelled/);
  assert.equal(entryFailure(new ServerGone(true), { ...entry, id: "c1" }), "The server cannot be reached.");
  assert.equal(entryFailure(new Refused(403, { error: "No." }), entry), "No.");
});

// ---- requests

test("errors tell refusals from a server that is gone", async () => {
  server.on("POST", "/x", refusal(409, "call_finished"));
  await assert.rejects(post("/x"), (error) => error instanceof Refused && error.code === "call_finished");
  server.on("POST", "/x", refusal(503, "busy"));
  await assert.rejects(post("/x"), (error) => error instanceof ServerGone && !error.mayHaveArrived);
  server.on("POST", "/x", LOST);
  await assert.rejects(post("/x"), (error) => error instanceof ServerGone && error.mayHaveArrived);
  server.on("GET", "/x", LOST);
  await assert.rejects(get("/x"), (error) => error instanceof ServerGone && !error.mayHaveArrived);
});

test("an action is retried while the server is gone, and a refusal ends it", async () => {
  let attempts = 0;
  const action = async () => {
    attempts += 1;
    if (attempts < 4) {
      throw new ServerGone(false);
    }
    return "done";
  };
  const result = retryWhileOffline(action, () => true);
  await clock.advance(10_000);
  assert.equal(await result, "done");
  await assert.rejects(retryWhileOffline(() => Promise.reject(new Refused(404, null)), () => true), Refused);
});

test("an action that is no longer wanted is given up, and one lost answer is remembered", async () => {
  let attempts = 0;
  const action = async () => {
    attempts += 1;
    throw new ServerGone(attempts === 1);
  };
  const rejected = assert.rejects(retryWhileOffline(action, within(2_000)), (error) => error.mayHaveArrived);
  await clock.advance(60_000);
  await rejected;
  assert.ok(attempts > 1 && attempts < 6, `${attempts} attempts`);
});

// ---- the relay's player

test("appending leaves no listener on the buffer", async () => {
  const buffer = new EventTarget();
  buffer.appendBuffer = () => queueMicrotask(() => buffer.dispatchEvent(new Event("updateend")));
  for (let count = 0; count < 10; count += 1) {
    await append(buffer, new Uint8Array(1));
  }
  buffer.appendBuffer = () => queueMicrotask(() => buffer.dispatchEvent(new Event("error")));
  await assert.rejects(append(buffer, new Uint8Array(1)), /cannot read/);
  buffer.appendBuffer = () => {
    throw new Error("quota");
  };
  await assert.rejects(append(buffer, new Uint8Array(1)), /quota/);
  assert.deepEqual(["updateend", "error"].map((name) => getEventListeners(buffer, name).length), [0, 0]);
});

// ---- small parts

test("an emitter calls its listeners until they are removed", () => {
  const emitter = new Emitter();
  const seen = [];
  const remove = emitter.on("x", (detail) => seen.push(detail));
  emitter.emit("x", 1);
  emitter.emit("y", 2);
  remove();
  emitter.emit("x", 3);
  assert.deepEqual(seen, [1]);
});

test("a channel has one name", () => {
  const store = new Store();
  const hosted = { channel: "private:7", title: "General", external_id: "C:1", members: ["alice"] };
  store.load({ username: "alice", display_names: {}, channels: [hosted], people: [], calls: [] });
  assert.equal(store.canonical("dm:bob:alice"), "dm:alice:bob");
  assert.equal(store.canonical("ext:C:1"), "private:7");
  assert.equal(store.canonical("ext:C:2"), "ext:C:2");
  assert.equal(store.canonical("private:7"), "private:7");
});

test("the store follows events", () => {
  const store = new Store();
  store.load({ username: "alice", display_names: {}, channels: [], people: ["bob"], calls: [] });
  const call = (state, mine) => ({
    call_id: "c1",
    channel: "dm:alice:bob",
    initiator: "bob",
    state,
    participants: [{ username: "alice", state: mine }, { username: "bob", state: "accepted" }],
  });
  store.applyEvent({ name: "incoming", data: { call_id: "c1", channel: "dm:alice:bob", initiator: "bob" } });
  store.applyEvent({ name: "call", data: call("ringing", "pending") });
  assert.equal(store.incoming.size, 1);
  assert.equal(store.presence("bob"), "calling");
  store.applyEvent({ name: "call", data: call("active", "accepted") });
  assert.equal(store.incoming.size, 0);
  assert.equal(store.presence("bob"), "on a call");
  store.applyEvent({ name: "call", data: call("ended", "left") });
  assert.equal(store.calls.size, 0);
  const share = { share_id: "s1", channel: "dm:alice:bob", sharer: "bob", state: "active" };
  store.applyEvent({ name: "share", data: share });
  assert.equal(store.presence("bob"), "sharing a screen");
  store.applyEvent({ name: "snapshot", data: { incoming: [], calls: [], shares: [], lost: true } });
  assert.equal(store.presence("bob"), "");
});

test("the store follows presences", () => {
  const store = new Store();
  let changes = 0;
  store.on("change", () => (changes += 1));
  assert.equal(store.presenceOf("bob"), "offline");
  store.applyEvent({ name: "presence", data: { all: true, people: { bob: "online", carol: "quiet" } } });
  assert.deepEqual(["bob", "carol", "dave"].map((name) => store.presenceOf(name)), ["online", "quiet", "offline"]);
  store.applyEvent({ name: "presence", data: { all: false, people: { bob: "on-call", dave: "online" } } });
  assert.deepEqual(["bob", "carol", "dave"].map((name) => store.presenceOf(name)), ["on-call", "quiet", "online"]);
  store.applyEvent({ name: "presence", data: { all: false, people: { bob: "offline" } } });
  assert.equal(store.presenceOf("bob"), "offline");
  assert.equal(changes, 3);
  store.applyEvent({ name: "presence", data: { all: true, people: { bob: "online" } } });
  assert.equal(store.presenceOf("carol"), "offline");

  // A call of mine shows at once, and is all that a guest sees.
  const call = { call_id: "c1", channel: "dm:alice:bob", state: "active", participants: [{ username: "bob", state: "accepted" }] };
  store.applyEvent({ name: "call", data: call });
  assert.equal(store.presenceOf("bob"), "on-call");
  store.clear();
  assert.equal(store.presenceOf("bob"), "offline");
});
