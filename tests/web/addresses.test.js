// Several addresses: those of the members of a cluster.

import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";

import {
  FakeConnection, FakeEventStream, FakeStream, FakeTrack, LOST, OTHER, SERVER, STREAM, clock, other, refusal, reset, server,
  settle,
} from "./fakes.js";
import { Api, Refused, ServerGone } from "../../src/web/client/api.js";
import { Calls } from "../../src/web/client/calls.js";
import { Events } from "../../src/web/client/events.js";

const INVITE = "/calls/c1/invite";
const OK = { status: "ok", busy: [] };

let api;
let client;

const counts = (path) => [server, other].map((one) => one.requests.filter((request) => request.endsWith(path)).length);

/** Both members answer a request alike. */
const onBoth = (...handler) => [server, other].forEach((one) => one.on(...handler));

const isGone = (mayHaveArrived) => (error) => error instanceof ServerGone && error.mayHaveArrived === mayHaveArrived;

const timeout = () => {
  throw new DOMException("too slow", "TimeoutError");
};

beforeEach(async () => {
  client?.close();
  reset();
  client = null;
  api = new Api({ server: [SERVER, OTHER], token: "fixed" });
  onBoth("GET", "/me", { username: "alice" });
  onBoth("POST", INVITE, OK);
});

// ---- requests

test("a read is repeated at the next address, and later ones go there", async () => {
  const failures = [LOST, timeout, refusal(503, "no_leader"), refusal(503, "member_behind"), refusal(503, "stopping"),
    refusal(502, "unknown"), refusal(504, "outcome_unknown")];
  let [here, there] = [server, other];
  for (const failure of failures) {
    here.on("GET", "/me", failure);
    assert.equal((await api.get("/me")).username, "alice");
    const before = here.requests.length;
    await api.get("/me");
    assert.equal(here.requests.length, before, "the one that works is kept");
    here.on("GET", "/me", { username: "alice" });
    [here, there] = [there, here];
  }
  assert.deepEqual(other.tokens, Array(other.tokens.length).fill("fixed"));
});

test("an answer that breaks off is read at the next address", async () => {
  const { fetch } = globalThis;
  const broken = { json: () => Promise.reject(new TypeError("network error")), ok: true, status: 200, headers: new Headers() };
  globalThis.fetch = (url, options) => (url.startsWith(SERVER) ? Promise.resolve(broken) : fetch(url, options));
  try {
    assert.equal((await api.get("/me")).username, "alice");
  } finally {
    globalThis.fetch = fetch;
  }
});

test("each address is asked once, and then the caller waits", async () => {
  onBoth("GET", "/me", LOST);
  await assert.rejects(api.get("/me"), isGone(false));
  assert.deepEqual(counts("/me"), [1, 1]);
  onBoth("POST", INVITE, LOST);
  await assert.rejects(api.post(INVITE, {}), isGone(true));
  assert.deepEqual(counts(INVITE), [1, 1]);
});

test("an action with a key is repeated at the next address with the same one", async () => {
  for (const failure of [LOST, timeout, refusal(504, "outcome_unknown"), refusal(503, "no_leader")]) {
    reset();
    api = new Api({ server: [SERVER, OTHER], token: "fixed" });
    server.on("POST", INVITE, failure);
    other.on("POST", INVITE, OK);
    assert.deepEqual(await api.post(INVITE, { username: "bob" }), OK);
    assert.ok(server.keys[0]);
    assert.deepEqual(other.keys, server.keys);
    assert.deepEqual(other.bodies, [{ username: "bob" }]);
  }
});

test("a lost answer stays in doubt, whatever the next address says", async () => {
  server.on("POST", INVITE, LOST);
  other.on("POST", INVITE, refusal(503, "no_leader"));
  await assert.rejects(api.post(INVITE, {}), isGone(true));
});

test("an action without a key is repeated only if nothing was done", async () => {
  const path = "/calls/c1/accept";
  onBoth("POST", path, OK);
  server.on("POST", path, refusal(503, "no_leader"));
  assert.deepEqual(await api.post(path), OK);
  other.on("POST", path, LOST);
  await assert.rejects(api.post(path), isGone(true));
  assert.deepEqual(counts(path), [1, 2], "it is not sent to another address");
  server.on("POST", path, refusal(504, "outcome_unknown"));
  await assert.rejects(api.post(path), isGone(true));
  assert.deepEqual(counts(path), [2, 2]);
  other.on("POST", path, OK);
  assert.deepEqual(await api.post(path), OK);
  assert.deepEqual(counts(path), [2, 3], "the next request goes to the next address");
});

test("a refusal and a busy person are answers", async () => {
  server.on("GET", "/me", refusal(429, "too_much_unread"));
  await assert.rejects(api.get("/me"), isGone(false));
  server.on("GET", "/me", refusal(404, "call_not_found"));
  await assert.rejects(api.get("/me"), Refused);
  assert.deepEqual(counts("/me"), [2, 0]);
});

test("a token that cannot be got is no address that does not answer", async () => {
  let count = 0;
  api = new Api({ server: [SERVER, OTHER], token: async () => { count += 1; throw new Error("no network"); } });
  await assert.rejects(api.get("/me"), isGone(false));
  assert.equal(count, 1);
});

test("requests that fail at the same moment try each address", async () => {
  server.isDown = true;
  await Promise.all(Array.from({ length: 5 }, () => api.get("/me")));
  assert.deepEqual(counts("/me"), [5, 5]);
});

test("a client needs an address", () => {
  assert.throws(() => new Api({ server: [] }), TypeError);
});

// ---- addresses that the server names

const ME = { username: "alice", role: "member", display_names: {}, channels: [], people: [], calls: [] };

/** A client of one address, whose server names another. Its path is that of the first. */
async function connected(options, me) {
  onBoth("GET", "/calls/missed", []);
  onBoth("POST", "/logout", { status: "logged_out" });
  server.on("GET", "/me", { ...ME, client_addresses: [new URL(SERVER).origin, "https://calls-2.test"], ...me });
  other.on("GET", "/talk/me", { ...ME, client_addresses: [], page_token: null });
  other.on("GET", /^\/talk\/events/, STREAM);
  other.on("GET", "/talk/calls/missed", []);
  client = new Calls({ server: SERVER, ...options });
  client.open();
  await settle();
}

test("a client with a token learns the other addresses", async () => {
  await connected({ token: "fixed" }, {});
  await server.kill();
  await clock.advance(5_000);
  assert.match(FakeEventStream.open[0].url, /^\/talk\/events/);
  assert.equal(client.state, "open");
  assert.deepEqual(new Set(other.tokens), new Set(["fixed"]));
});

test("a page uses its cookie at its own address alone, and its token at the others alone", async () => {
  await connected({}, { page_token: "page:1" });
  assert.deepEqual(new Set(server.tokens), new Set([null]));
  assert.deepEqual(new Set(server.credentials), new Set(["same-origin"]));
  await server.kill();
  await clock.advance(5_000);
  assert.equal(client.state, "open");
  assert.deepEqual(new Set(other.tokens), new Set(["page:1"]));
  assert.deepEqual(new Set(other.credentials), new Set(["omit"]));
  // Another member's answer has no token for the page.
  server.isDown = false;
  await other.kill();
  await clock.advance(5_000);
  assert.deepEqual(FakeEventStream.open.map(({ server: at }) => at), [server]);
  assert.equal(server.tokens.at(-1), null);
});

test("a page without a token for other addresses stays with its own", async () => {
  await connected({}, { page_token: null });
  await server.kill();
  await clock.advance(5_000);
  assert.equal(client.state, "reconnecting");
  assert.deepEqual(other.requests, []);
});

test("who signs out and in again has the token of the new session", async () => {
  await connected({}, { page_token: "page:1" });
  await client.signOut();
  assert.deepEqual(server.requests.filter((request) => request.startsWith("POST")), ["POST /logout"]);
  server.on("POST", "/login", LOST);
  await assert.rejects(client.api.post("/login", {}), isGone(true));
  await assert.rejects(client.api.post("/login", {}), isGone(true));
  assert.deepEqual(other.requests, [], "the cookie is of the page's own address");
  server.on("GET", "/me", { ...ME, client_addresses: ["https://calls-2.test"], page_token: "page:2" });
  client.open();
  await settle();
  await server.kill();
  await clock.advance(5_000);
  assert.deepEqual(new Set(other.tokens), new Set(["page:2"]));
});

// ---- the event stream

/** The log of a cluster: each member sends what comes after the event that a client names. */
class Log {
  ids = [];
  #sent = new Map();

  /** A new event, which the streams of members that are alive get. */
  append() {
    this.ids.push(this.ids.length + 1);
    return this.send();
  }

  async send() {
    for (const stream of FakeEventStream.open) {
      const after = Number(new URL(stream.url, SERVER).searchParams.get("after") ?? 0);
      for (const id of this.ids.slice(this.#sent.get(stream) ?? after)) {
        this.#sent.set(stream, id);
        await stream.deliver("share", id, { share_id: id });
      }
    }
  }
}

test("no event is lost or comes twice, while the members die in turn", async () => {
  const received = [];
  const connections = [];
  const log = new Log();
  const events = new Events(api, ({ data }) => received.push(data.share_id), (is) => connections.push(is));
  events.open();
  await settle();
  const used = new Set();
  for (let round = 0; round < 60; round += 1) {
    const [here, there] = round % 2 === 0 ? [server, other] : [other, server];
    await log.append();
    used.add(FakeEventStream.open.at(-1)?.server);
    if (round % 3 === 2) {
      there.isDown = true; // both are, for a moment
    }
    await here.kill();
    await log.append();
    await clock.advance(1_000);
    there.isDown = false;
    await log.append();
    await clock.advance(10_000);
    await log.send();
    here.isDown = false;
    assert.equal(FakeEventStream.open.length, 1);
  }
  assert.deepEqual(received, log.ids);
  assert.equal(used.size, 2);
  events.close();
});

test("a stream resumes at the next address at once", async () => {
  const connections = [];
  const events = new Events(api, () => {}, (is) => connections.push(is));
  events.open();
  await settle();
  await FakeEventStream.all[0].deliver("share", 7, {});
  await server.kill();
  await clock.advance(200);
  assert.deepEqual(FakeEventStream.open.map(({ url, server: at }) => [url, at]), [["/events?after=7", other]]);
  assert.deepEqual(connections, [true, false, true]);
  events.close();
});

test("a stream follows the requests away from an address, without a gap", async () => {
  const received = [];
  const connections = [];
  const events = new Events(api, ({ data }) => received.push(data), (is) => connections.push(is));
  events.open();
  await settle();
  const [first] = FakeEventStream.all;
  let answer;
  other.on("GET", /^\/events/, () => new Promise((resolve) => (answer = resolve)));
  server.on("GET", "/me", timeout); // the machine is off, and the stream says nothing about it
  await api.get("/me");
  await settle();
  await first.deliver("share", 1, { from: "first" });
  answer(STREAM);
  await settle();
  const [second] = FakeEventStream.open;
  assert.equal(second.server, other);
  assert.equal(first.isClosed, true);
  await second.deliver("share", 1, { from: "second" });
  await second.deliver("share", 2, { from: "second" });
  assert.deepEqual(received, [{ from: "first" }, { from: "second" }]);
  assert.deepEqual(connections, [true]);
  await api.get("/me");
  await settle();
  assert.deepEqual(FakeEventStream.all, [first, second], "it stays");
  events.close();
});

test("a stream in which nothing arrives, or that does not begin, is opened at the next address", async () => {
  const events = new Events(api, () => {}, () => {});
  events.open();
  await settle();
  await clock.advance(50_000);
  assert.deepEqual(FakeEventStream.open.map(({ server: at }) => at), [other]);
  server.on("GET", /^\/events/, () => new Promise(() => {}));
  await clock.advance(50_000);
  assert.deepEqual(FakeEventStream.open, [], "it waits for the answer");
  await clock.advance(10_000);
  assert.deepEqual(FakeEventStream.open.map(({ server: at }) => at), [other]);
  events.close();
  await clock.advance(50_000);
  assert.equal(FakeEventStream.open.length, 0);
});

// ---- a call

const CHANNEL = "dm:alice:bob";
const participant = (username) => ({ username, role: "participant", state: "accepted", joined_ts: 100 });
const CALL = { call_id: "c1", channel: CHANNEL, initiator: "alice", state: "active", version: 1,
  participants: [participant("alice"), participant("bob")] };

/** A client that is on a call, connected to bob. */
async function onCall() {
  for (const one of [server, other]) {
    one.on("POST", /./, { status: "ok" });
    one.on("POST", "/calls/initiate", { call_id: "c1", participants: ["alice", "bob"], busy: [], joined_ts: 100 });
    one.on("GET", "/me", { username: "alice", role: "member", display_names: {}, channels: [], people: [], calls: [CALL] });
    one.on("GET", "/calls/missed", []);
    one.on("GET", "/calls/c1/state", CALL);
    one.on("GET", /^\/calls\/c1\/signals/, []);
  }
  globalThis.isSecureContext = true;
  navigator.mediaDevices = {
    getUserMedia: async ({ audio }) => new FakeStream([new FakeTrack(audio ? "audio" : "video")]),
    enumerateDevices: async () => [],
  };
  client = new Calls({ server: [SERVER, OTHER], token: "fixed" });
  client.open();
  await settle();
  const call = await client.call(CHANNEL);
  await clock.advance(4_000);
  const answer = { id: 2, call_id: "c1", from: "bob", type: "answer", payload: { session: "s", sdp: "a=ice-ufrag:bob\n" } };
  await FakeEventStream.open[0].deliver("signal", 2, answer);
  FakeConnection.all[0].changeState("connected");
  return call;
}

test("a call continues while its server dies, and is hung up through the other one", async () => {
  const call = await onCall();
  const states = [];
  client.on("state", (state) => states.push(state));
  await server.kill();
  await clock.advance(30_000);
  assert.equal(call.over, false);
  assert.deepEqual(FakeConnection.all.map(({ isClosed }) => isClosed ?? false), [false], "nothing is negotiated again");
  assert.deepEqual(states, ["reconnecting", "open"]);
  assert.match(FakeEventStream.open[0].url, /^\/events\?call=c1/);
  assert.ok(other.count("GET /calls/c1/state") > 1, "its state is read there");
  await call.leave();
  assert.equal(other.count("POST /calls/c1/leave"), 1);
  assert.equal(server.count("POST /calls/c1/leave"), 0);
});

test("a hang-up whose answer is lost is repeated at the other address", async () => {
  const call = await onCall();
  server.on("POST", "/calls/c1/leave", LOST);
  const left = call.leave();
  await clock.advance(1_000);
  await left;
  assert.deepEqual(counts("/calls/c1/leave"), [1, 1]);
});

test("signals are sent to the other address, with keys", async () => {
  const call = await onCall();
  await server.kill();
  const before = other.requests.length;
  call.mesh.restart();
  await clock.advance(1_000);
  const signals = other.bodies.slice(before).filter((body) => body?.type);
  assert.deepEqual(signals.map(({ to, type }) => [to, type]), [["bob", "offer"]]);
  const at = other.requests.indexOf("POST /calls/c1/signal", before);
  assert.ok(other.keys[at]);
});
