import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";

import { FakeEventStream, LOST, SERVER, STREAM, clock, dispatch, refusal, reset, server, settle } from "./fakes.js";
import { Api } from "../../src/web/client/api.js";
import { Events } from "../../src/web/client/events.js";

/** Longer than the longest pause between two attempts. */
const RETRY_MAX = 4_200;

/** How often the server sends a comment, in milliseconds. */
const COMMENT_INTERVAL = 15_000;

let api;
let events;
let received;
let connections;

const attempts = () => server.requests.filter((request) => request.startsWith("GET /events")).length;
const openUrls = () => FakeEventStream.open.map(({ url }) => url);

function start(token) {
  api = new Api({ server: SERVER, token });
  events = new Events(api, (event) => received.push(event), (connected) => connections.push(connected));
  events.open();
  return settle();
}

beforeEach(async () => {
  events?.close();
  api?.close();
  reset();
  received = [];
  connections = [];
  await start();
});

test("a broken stream resumes after its last event once the server answers", async () => {
  const [first] = FakeEventStream.all;
  assert.equal(first.url, "/events");
  await first.deliver("share", 7, { share_id: "s" });
  assert.deepEqual(received, [{ name: "share", data: { share_id: "s" } }]);

  server.on("GET", /^\/events/, LOST);
  await first.fail();
  await clock.advance(20_000);
  assert.deepEqual(openUrls(), [], "no stream while the server is gone");
  assert.ok(attempts() > 4, "it is asked again and again");

  server.on("GET", /^\/events/, STREAM);
  await clock.advance(RETRY_MAX);
  assert.deepEqual(openUrls(), ["/events?after=7"]);
  assert.deepEqual(connections, [true, false, true]);
});

test("a stream that the server ends, refuses or does not answer is opened again", async () => {
  await FakeEventStream.all[0].end();
  server.on("GET", /^\/events/, refusal(429, "too_many_streams"));
  await clock.advance(RETRY_MAX);
  server.on("GET", /^\/events/, refusal(503, "busy"));
  await clock.advance(RETRY_MAX);
  server.on("GET", /^\/events/, () => new Promise(() => {}));
  await clock.advance(2 * RETRY_MAX);
  const before = attempts();
  await clock.advance(15_000);
  assert.ok(attempts() > before, "a request without an answer is given up");
  server.on("GET", /^\/events/, STREAM);
  await clock.advance(15_000);
  assert.deepEqual(openUrls(), ["/events"]);
  assert.deepEqual(connections, [true, false, true]);
});

test("a stream that names a call or a share takes over without a gap", async () => {
  const [first] = FakeEventStream.all;
  let answer;
  server.on("GET", /call=c$/, () => new Promise((resolve) => (answer = resolve)));
  events.name({ call: "c" });
  await settle();
  await first.deliver("snapshot", 3, {});
  assert.equal(first.isClosed, false, "it delivers until the next one is open");
  answer(STREAM);
  await settle();
  assert.equal(first.isClosed, true);
  assert.deepEqual(openUrls(), ["/events?call=c"]);
  const [, second] = FakeEventStream.all;
  await second.deliver("snapshot", 3, {});
  events.name({ call: "c", share: null });
  await settle();
  assert.deepEqual(FakeEventStream.open, [second], "the same names need no other stream");

  events.name({ call: "c", share: "s" });
  await settle();
  assert.deepEqual(openUrls(), ["/events?call=c&share=s&after=3"]);
  const [, , third] = FakeEventStream.all;
  await third.deliver("call", 4, {});

  await third.fail();
  events.name({});
  await clock.advance(RETRY_MAX);
  assert.deepEqual(openUrls(), ["/events?after=4"]);
  assert.deepEqual(connections, [true, false, true], "another name is no lost connection");

  events.name({ call: "c" });
  events.close();
  events.open();
  await settle();
  assert.deepEqual(openUrls(), ["/events"], "who signs in is on no call yet");
});

test("what both streams deliver comes once", async () => {
  const [first] = FakeEventStream.all;
  await first.deliver("call", 3, {});
  let answer;
  server.on("GET", /call=c/, () => new Promise((resolve) => (answer = resolve)));
  events.name({ call: "c" });
  await settle();
  await first.deliver("call", 4, { from: "first" });
  answer(STREAM);
  await settle();
  assert.deepEqual(openUrls(), ["/events?call=c&after=3"]);
  await FakeEventStream.open[0].deliver("call", 4, { from: "second" });
  await FakeEventStream.open[0].deliver("call", 5, {});
  assert.deepEqual(received.map(({ data }) => data), [{}, { from: "first" }, {}]);
  await FakeEventStream.open[0].deliver("snapshot", 2, { lost: true });
  await FakeEventStream.open[0].deliver("call", 3, { after: "a restored copy" });
  assert.equal(received.at(-1).data.after, "a restored copy");
});

test("a stream that ends while the next one is opened is no lost connection", async () => {
  let answer;
  server.on("GET", /call=c/, () => new Promise((resolve) => (answer = resolve)));
  events.name({ call: "c" });
  await settle();
  await FakeEventStream.all[0].end();
  answer(STREAM);
  await settle();
  assert.deepEqual(openUrls(), ["/events?call=c"]);
  assert.deepEqual(connections, [true]);
});

test("a stream that cannot take over is retried", async () => {
  server.on("GET", /call=c/, refusal(429, "too_many_streams"));
  events.name({ call: "c" });
  await settle();
  assert.deepEqual(openUrls(), [], "the place of the first one is free");
  server.on("GET", /call=c/, STREAM);
  await clock.advance(RETRY_MAX);
  assert.deepEqual(openUrls(), ["/events?call=c"]);
});

test("closing and opening during a pause leaves one stream", async () => {
  server.on("GET", /^\/events/, LOST);
  await FakeEventStream.all[0].fail();
  await clock.advance(1_000);
  events.close();
  events.open();
  server.on("GET", /^\/events/, STREAM);
  await clock.advance(2 * RETRY_MAX);
  assert.deepEqual(openUrls(), ["/events"], "and it starts with a snapshot");
});

test("closing and opening while a stream is being opened leaves one stream", async () => {
  const answers = [];
  server.on("GET", /^\/events/, () => new Promise((resolve) => answers.push(resolve)));
  await FakeEventStream.all[0].fail();
  await clock.advance(1_000);
  events.close();
  events.open();
  await settle();
  answers.forEach((answer) => answer(STREAM));
  await clock.advance(2 * RETRY_MAX);
  assert.equal(FakeEventStream.open.length, 1);
});

test("a closed stream stays closed", async () => {
  await FakeEventStream.all[0].fail();
  events.close();
  await clock.advance(2 * RETRY_MAX);
  dispatch("online");
  events.reconnect();
  await settle();
  assert.equal(FakeEventStream.open.length, 0);
});

test("a network that is back is tried at once", async () => {
  server.on("GET", /^\/events/, LOST);
  dispatch("offline");
  await clock.advance(30_000);
  server.on("GET", /^\/events/, STREAM);
  dispatch("online");
  await settle();
  assert.equal(FakeEventStream.open.length, 1);
});

test("a stream in which nothing arrives is replaced", async () => {
  const [first] = FakeEventStream.all;
  for (let comments = 0; comments < 6; comments += 1) {
    await clock.advance(COMMENT_INTERVAL);
    await first.write(":\n\n");
  }
  assert.deepEqual(FakeEventStream.open, [first]);
  await clock.advance(50_000);
  assert.equal(first.isClosed, true);
  assert.equal(FakeEventStream.open.length, 1);
});

test("after the machine slept the stream is replaced", async () => {
  const [first] = FakeEventStream.all;
  clock.sleep(60_000);
  await clock.advance(10_000);
  assert.equal(first.isClosed, true);
  assert.equal(FakeEventStream.open.length, 1);
});

test("a session that has ended ends the attempts", async () => {
  let signedOut = 0;
  api.on("signedOut", () => (signedOut += 1));
  server.on("GET", /^\/events/, refusal(401, "not_logged_in"));
  await FakeEventStream.all[0].fail();
  await clock.advance(60_000);
  assert.equal(signedOut, 1);
  assert.equal(attempts(), 2);
  assert.equal(FakeEventStream.open.length, 0);
});

test("a stream whose token has expired gets a fresh one", async () => {
  events.close();
  let count = 0;
  await start(() => `token-${(count += 1)}`);
  const stream = FakeEventStream.all.at(-1);
  assert.equal(server.tokens.at(-1), "token-1");
  let refused = 0;
  server.on("GET", /^\/events/, () => ((refused += 1) === 1 ? refusal(401, "unauthorized") : STREAM));
  await stream.deliver("snapshot", 3, {});
  await stream.end();
  await clock.advance(RETRY_MAX);
  assert.equal(server.tokens.at(-1), "token-2");
  assert.deepEqual(openUrls(), ["/events?after=3"]);
});

test("events without an id are delivered, and do not change where a stream resumes", async () => {
  const [first] = FakeEventStream.all;
  const presence = (people) => first.write(`event:presence\ndata:${JSON.stringify({ all: false, people })}\n\n`);
  await presence({ bob: "online" });
  await first.deliver("share", 7, { share_id: "s" });
  await presence({ bob: "offline" });
  await first.write('event:directory\ndata:{"within":0.1}\n\n');
  assert.deepEqual(received.map(({ name }) => name), ["presence", "share", "presence", "directory"]);
  await first.fail();
  await clock.advance(RETRY_MAX);
  assert.deepEqual(openUrls(), ["/events?after=7"]);
});
