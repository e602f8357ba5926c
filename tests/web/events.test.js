import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";

import { FakeEventSource, LOST, clock, dispatch, refusal, reset, server, settle } from "./fakes.js";
import { Events } from "../../src/web/events.js";
import { whenSignedOut } from "../../src/web/api.js";

/** Longer than the longest pause between two retries. */
const RETRY_MAX = 4_200;

let events;
let received;
let connections;

beforeEach(() => {
  events?.close();
  reset();
  received = [];
  connections = [];
  whenSignedOut(() => {});
  events = new Events((event) => received.push(event), (connected) => connections.push(connected));
  server.on("GET", "/me", {});
  events.open();
});

test("a broken stream resumes after its last event once the server answers", async () => {
  const [first] = FakeEventSource.all;
  assert.equal(first.url, "/events");
  first.onopen();
  first.deliver("share", 7, { share_id: "s" });
  assert.deepEqual(received, [{ name: "share", data: { share_id: "s" } }]);

  server.on("GET", "/me", LOST);
  first.onerror();
  assert.equal(first.isClosed, true);
  await clock.advance(20_000);
  assert.equal(FakeEventSource.all.length, 1, "no stream while the server is gone");
  assert.ok(server.count("GET /me") > 3, "it is asked again and again");

  server.on("GET", "/me", {});
  await clock.advance(RETRY_MAX);
  assert.deepEqual(FakeEventSource.open.map(({ url }) => url), ["/events?after=7"]);
  FakeEventSource.open[0].onopen();
  assert.deepEqual(connections, [true, false, true]);
});

test("a stream that names a call or a share continues after the last event", async () => {
  const [first] = FakeEventSource.all;
  events.name({ call: "c" });
  assert.deepEqual(FakeEventSource.open.map(({ url }) => url), ["/events?call=c"], "before the snapshot");
  const [, second] = FakeEventSource.all;
  second.onopen();
  second.deliver("snapshot", 3, {});
  events.name({ call: "c", share: null });
  assert.deepEqual(FakeEventSource.open, [second], "the same names need no other stream");

  events.name({ call: "c", share: "s" });
  assert.deepEqual(FakeEventSource.open.map(({ url }) => url), ["/events?call=c&share=s&after=3"]);
  const [, , third] = FakeEventSource.all;
  third.onopen();
  second.deliver("call", 4, {});
  third.deliver("call", 4, {});
  assert.deepEqual(received.map(({ name }) => name), ["snapshot", "call"], "no event comes twice");

  third.onerror();
  events.name({});
  await clock.advance(RETRY_MAX);
  assert.deepEqual(FakeEventSource.open.map(({ url }) => url), ["/events?after=4"]);
  FakeEventSource.open[0].onopen();
  assert.deepEqual(connections, [true, false, true], "another name is no lost connection");
  assert.equal(first.isClosed, true);

  events.name({ call: "c" });
  events.close();
  events.open();
  assert.deepEqual(FakeEventSource.open.map(({ url }) => url), ["/events"], "who signs in is on no call yet");
});

test("a stream that was replaced delivers nothing", async () => {
  const [first] = FakeEventSource.all;
  first.onerror();
  await clock.advance(RETRY_MAX);
  first.deliver("call", 9, {});
  first.onopen();
  first.onerror();
  await clock.advance(RETRY_MAX);
  assert.deepEqual(received, []);
  assert.deepEqual(connections, [false]);
  assert.equal(FakeEventSource.open.length, 1);
});

test("closing and opening during a reconnect leaves one stream", async () => {
  server.on("GET", "/me", LOST);
  FakeEventSource.all[0].onerror();
  await clock.advance(1_000);
  events.close();
  events.open();
  server.on("GET", "/me", {});
  await clock.advance(2 * RETRY_MAX);
  assert.deepEqual(FakeEventSource.open.map(({ url }) => url), ["/events"], "and it starts with a snapshot");
});

test("closing and opening while the server is being asked leaves one stream", async () => {
  let answer;
  server.on("GET", "/me", () => new Promise((resolve) => (answer = resolve)));
  FakeEventSource.all[0].onerror();
  await clock.advance(1_000);
  events.close();
  events.open();
  answer({});
  await clock.advance(2 * RETRY_MAX);
  assert.equal(FakeEventSource.open.length, 1);
});

test("a closed stream stays closed", async () => {
  FakeEventSource.all[0].onerror();
  events.close();
  await clock.advance(2 * RETRY_MAX);
  dispatch("online");
  await events.reconnect();
  assert.equal(FakeEventSource.open.length, 0);
});

test("a network that is back is tried at once", async () => {
  server.on("GET", "/me", LOST);
  dispatch("offline");
  await clock.advance(30_000);
  server.on("GET", "/me", {});
  dispatch("online");
  await settle();
  assert.equal(FakeEventSource.open.length, 1);
});

test("after the machine slept the stream is replaced", async () => {
  await clock.advance(60_000);
  assert.equal(FakeEventSource.all.length, 1);
  clock.sleep(40_000);
  await clock.advance(10_000);
  assert.equal(FakeEventSource.all.length, 2);
  assert.equal(FakeEventSource.open.length, 1);
});

test("a session that has ended ends the retries", async () => {
  let signedOut = 0;
  whenSignedOut(() => (signedOut += 1));
  server.on("GET", "/me", refusal(401, "not_logged_in"));
  FakeEventSource.all[0].onerror();
  await clock.advance(60_000);
  assert.equal(signedOut, 1);
  assert.equal(server.count("GET /me"), 1);
  assert.equal(FakeEventSource.open.length, 0);
});
