import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";

import { LOST, SERVER, refusal, reset, server } from "./fakes.js";
import { Api, Refused, ServerGone } from "../../src/web/client/api.js";

const INVITE = "/calls/c1/invite";

let api;

beforeEach(() => {
  reset();
  api = new Api({ server: SERVER, token: "fixed" });
});

/** Answers the requests to a path in turn, the last one again and again. */
const inTurn = (path, ...answers) => server.on("POST", path, () => (answers.length > 1 ? answers.shift() : answers[0]));

test("an action whose answer is lost is sent once more, with its key", async () => {
  inTurn(INVITE, LOST, { status: "ok", busy: [] });
  assert.deepEqual(await api.post(INVITE, { username: "bob" }), { status: "ok", busy: [] });
  assert.deepEqual(server.bodies, [{ username: "bob" }, { username: "bob" }]);
  assert.match(server.keys[0], /^[0-9-]{7,43}$/);
  assert.equal(server.keys[1], server.keys[0]);
  await api.post(INVITE, { username: "bob" });
  assert.notEqual(server.keys[2], server.keys[0], "another action has another key");
});

test("an answer that breaks off is lost", async () => {
  const broken = { json: () => Promise.reject(new TypeError("network error")), ok: true, status: 200, headers: new Headers() };
  const { fetch } = globalThis;
  let count = 0;
  globalThis.fetch = (...request) => ((count += 1) === 1 ? Promise.resolve(broken) : fetch(...request));
  try {
    server.on("POST", INVITE, { status: "ok", busy: [] });
    assert.equal((await api.post(INVITE, { username: "bob" })).status, "ok");
  } finally {
    globalThis.fetch = fetch;
  }
  assert.equal(count, 2);
});

test("it is not sent a third time", async () => {
  server.on("POST", INVITE, LOST);
  await assert.rejects(api.post(INVITE, { username: "bob" }), (error) => error instanceof ServerGone && error.mayHaveArrived);
  assert.equal(server.count(`POST ${INVITE}`), 2);
});

test("a refusal, a busy server and a timeout are no lost answers", async () => {
  server.on("POST", INVITE, refusal(403, "not_accepted"));
  await assert.rejects(api.post(INVITE, { username: "bob" }), Refused);
  server.on("POST", INVITE, refusal(503, "database_busy"));
  await assert.rejects(api.post(INVITE, { username: "bob" }), ServerGone);
  server.on("POST", INVITE, () => {
    throw new DOMException("too slow", "TimeoutError");
  });
  await assert.rejects(api.post(INVITE, { username: "bob" }), ServerGone);
  assert.equal(server.count(`POST ${INVITE}`), 3);
});

test("departures, uploads and other requests have no key", async () => {
  for (const path of ["/calls/c1/leave", "/calls/c1/end", "/calls/c1/accept", "/quiet", "/logout"]) {
    server.on("POST", path, LOST);
    await assert.rejects(api.post(path), ServerGone, path);
  }
  assert.deepEqual(server.keys, [null, null, null, null, null]);
});
