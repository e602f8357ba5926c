import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";

import { FakeEventStream, SERVER, clock, refusal, reset, server, settle } from "./fakes.js";
import { Call } from "../../src/web/client/call.js";
import { Calls, openLink } from "../../src/web/client/minimost-calls.js";
import { linkOf } from "../../src/web/join_page.js";

const GUEST = "guest-0123456789ab";
const ALICE = { username: "alice", role: "member", display_names: { alice: "alice" }, channels: [], people: [], calls: [] };
const STATE = {
  call_id: "c1", channel: "dm:alice:bob", initiator: "alice", state: "active", version: 1,
  participants: [{ username: "alice", display_name: "alice", role: "initiator", state: "accepted", joined_ts: 100 }],
  waiting: [{ username: GUEST, display_name: "Gwen" }],
};

beforeEach(() => {
  reset();
  server.on("GET", "/calls/missed", []);
});

test("the address of a link has its token", () => {
  assert.equal(linkOf("#join/aB-_9"), "aB-_9");
  for (const hash of ["", "#join/", "#join/a/b", "#join%2Fa", "#dm%3Aalice%3Abob"]) {
    assert.equal(linkOf(hash), null, hash);
  }
});

test("a member makes, lists and revokes links", async () => {
  const calls = new Calls({ server: SERVER, token: "t" });
  const made = { id: "0123456789abcdef", token: "x", channel: "dm:alice:bob", expires_ts: 200 };
  server.on("POST", "/links", made);
  server.on("GET", "/links?channel=dm%3Aalice%3Abob", [{ id: made.id }]);
  server.on("DELETE", "/links/0123456789abcdef", { status: "revoked" });
  assert.deepEqual(await calls.link("dm:bob:alice", { uses: 2 }), made);
  assert.deepEqual(server.bodies[0], { channel: "dm:alice:bob", uses: 2 });
  assert.deepEqual(await calls.links("dm:bob:alice"), [{ id: made.id }]);
  await calls.revokeLink(made.id);
  assert.equal(server.count("DELETE /links/0123456789abcdef"), 1);
});

test("the people on a call see who waits, admit and dismiss them", async () => {
  const calls = new Calls({ server: SERVER, token: "t" });
  server.on("GET", "/me", { ...ALICE, calls: [STATE] });
  server.on("POST", "/calls/c1/invite", { busy: [] });
  server.on("POST", "/calls/c1/dismiss", { status: "ok" });
  calls.open();
  await settle();
  const media = { on: () => {}, close: () => {} };
  const call = new Call({ client: calls, me: "alice", id: "c1", channel: STATE.channel, media });
  assert.deepEqual(call.waiting, []);
  call.update(STATE);
  assert.deepEqual(call.waiting, [{ username: GUEST, display_name: "Gwen" }]);
  assert.equal(calls.names.shown(GUEST), "Gwen (guest)");
  server.bodies = [];
  await call.admit(GUEST);
  await call.dismiss(GUEST);
  assert.deepEqual(server.bodies, [{ username: GUEST }, { username: GUEST }]);
  call.release();
  await calls.close();
});

test("a guest has a client of their own, for which the call rings, and whose session ends with it", async () => {
  const guest = { token: "g", username: GUEST, call_id: "c1", waits: true, expires_ts: 200 };
  server.on("POST", "/guest", guest);
  server.on("GET", "/me", { ...ALICE, username: GUEST, role: "guest", display_names: { [GUEST]: "Gwen" } });
  const { calls, token, callId, waits } = await openLink({ server: SERVER, link: "x", name: "Gwen" });
  assert.deepEqual([token, callId, waits], ["g", "c1", true]);
  assert.deepEqual(server.bodies[0], { link: "x", name: "Gwen" });
  const rings = [];
  calls.on("incoming", ({ call_id: id }) => rings.push(id));
  await settle();
  assert.equal(calls.isGuest, true);
  assert.equal(calls.names.shown(GUEST), "Gwen");
  assert.ok(server.tokens.slice(1).every((one) => one === "g"));
  const stream = FakeEventStream.open[0];
  await stream.deliver("incoming", 1, { call_id: "c1", channel: "private:1", initiator: "alice", started_ts: 1 });
  assert.deepEqual(rings, ["c1"]);
  server.on("GET", /^\/events/, refusal(401, "unauthorized"));
  await stream.end();
  await clock.advance(5_000);
  assert.equal(calls.state, "signed-out");
  await calls.close();
});

test("a call that has not begun has a code", async () => {
  server.on("POST", "/guest", refusal(409, "no_active_call"));
  const opened = openLink({ server: SERVER, link: "x", name: "Gwen" });
  await assert.rejects(opened, ({ status, code }) => status === 409 && code === "no_active_call");
});
