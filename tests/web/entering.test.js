// What the relay's page uses without the rest of joining.js.

import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";

import { LOST, SERVER, clock, refusal, reset, server } from "./fakes.js";
import { ServerGone } from "../../src/web/client/api.js";
import { Calls } from "../../src/web/client/calls.js";
import { depart } from "../../src/web/client/departure.js";
import { accept, initiate, liveCallOf } from "../../src/web/client/entering.js";
import { Names } from "../../src/web/client/names.js";
import { endSentence } from "../../src/web/client/store.js";

const client = new Calls({ server: SERVER });

const STEP = { client, me: "alice", channel: "dm:alice:bob", isWanted: () => true };
const LEAVE = "POST /calls/c1/leave";

const live = (joinedTs) => ({
  call_id: "c1",
  participants: [{ username: "alice", state: "accepted", joined_ts: joinedTs }],
});

beforeEach(() => {
  reset();
  server.on("POST", "/calls/c1/leave", { status: "left" });
});

test("a call that rings is entered without an accept", async () => {
  server.on("POST", "/calls/initiate", { call_id: "c1", participants: ["alice", "bob"], busy: [], joined_ts: 100.5 });
  assert.deepEqual(await initiate(STEP), { id: "c1", others: [], cursor: 0, joinedTs: 100.5, busy: [] });
  assert.deepEqual(server.requests, ["POST /calls/initiate"]);
});

test("who is busy is named while the call rings for others", async () => {
  const answer = { call_id: "c1", participants: ["alice", "bob", "carol"], joined_ts: 100 };
  server.on("POST", "/calls/initiate", { ...answer, busy: ["bob"] });
  assert.deepEqual((await initiate(STEP)).busy, ["bob"]);
  // The end of the call says it.
  server.on("POST", "/calls/initiate", { ...answer, busy: ["bob", "carol"] });
  assert.deepEqual((await initiate(STEP)).busy, []);
});

test("the end of a call says who is busy", () => {
  const people = (...names) => names.map((username) => ({ username, role: "participant" }));
  const sentence = (...names) => endSentence({ ended_reason: "busy", participants: people(...names) }, new Names());
  assert.equal(sentence("bob"), "bob is busy.");
  assert.equal(sentence("bob", "carol"), "Everybody is busy.");
});

test("the live call of a channel is named by the refusal", async () => {
  server.on("POST", "/calls/initiate", refusal(409, "channel_has_live_call", { call_id: "c1" }));
  await assert.rejects(initiate(STEP), (error) => liveCallOf(error) === "c1");
  server.on("POST", "/calls/initiate", refusal(403, "not_a_member"));
  await assert.rejects(initiate(STEP), (error) => liveCallOf(error) === null);
  assert.equal(liveCallOf(new ServerGone(true)), null);
});

test("a call whose answer stays lost is taken back", async () => {
  server.on("POST", "/calls/initiate", LOST);
  server.on("GET", /^\/calls\/active/, { call: { call_id: "c1", initiator: "alice", started_ts: 100, joined: true } });
  const rejected = assert.rejects(initiate(STEP), ServerGone);
  await clock.advance(30_000);
  await rejected;
  assert.equal(server.count(LEAVE), 1);
});

test("who joins the call that they had made half stays on it", async () => {
  server.on("POST", "/calls/initiate", LOST);
  server.on("GET", /^\/calls\/active/, LOST);
  const rejected = assert.rejects(initiate(STEP), ServerGone);
  await clock.advance(20_000);
  await rejected;
  server.on("GET", /^\/calls\/active/, { call: { call_id: "c1", initiator: "alice", started_ts: 100, joined: true } });
  server.on("POST", "/calls/c1/accept", { participants: ["alice", "bob"], last_signal_id: 7, joined_ts: 100 });
  const entering = accept({ ...STEP, id: "c1", wasAccepted: true });
  await clock.advance(30_000);
  assert.deepEqual(await entering, { id: "c1", others: ["bob"], cursor: 7, joinedTs: 100 });
  assert.equal(server.count(LEAVE), 0);
});

test("a leave is retried for its own visit alone", async () => {
  for (const [joinedTs, posts] of [[100, 2], [200, 1]]) {
    reset();
    server.on("POST", "/calls/c1/leave", LOST);
    server.on("GET", "/me", { calls: [live(joinedTs)] });
    const left = depart({ client, id: "c1", me: "alice", joinedTs: 100 }, "leave");
    await clock.advance(100);
    server.on("POST", "/calls/c1/leave", { status: "left" });
    await clock.advance(10_000);
    await left;
    assert.equal(server.count(LEAVE), posts);
  }
});
