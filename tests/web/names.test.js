// @ts-check
// Names: what people see, and how two people of one display name are told apart.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Names } from "../../src/web/client/names.js";
import { Store } from "../../src/web/client/store.js";

test("people see display names, and the user name where two are alike", () => {
  const names = new Names();
  names.set({ alice: "Alice Example", bob: "Robert", bobby: "Robert", carol: "carol" });
  assert.equal(names.listed(["alice", "bob", "bobby", "carol", "gone"]), "Alice Example, Robert (bob), Robert (bobby), carol, gone");
  names.set({ alice: "bob", bob: "bob" });
  assert.equal(names.shown("alice"), "bob (alice)");
  assert.equal(names.shown("bob"), "bob");
  names.set({});
  assert.equal(names.shown("alice"), "alice");
});

test("a removed person's store forgets the call", () => {
  const store = new Store();
  store.load({ username: "bob", display_names: { alice: "Alice" }, channels: [], people: ["alice"], calls: [] });
  const me = /** @type {const} */ ({ username: "bob", display_name: "bob", role: "participant", joined_ts: 1, left_ts: null });
  /** @type {import("../../src/web/client/types.js").CallState} */
  const call = {
    call_id: "c", channel: "dm:alice:bob", initiator: "alice", state: "active", started_ts: 1, answered_ts: 1,
    ended_ts: null, ended_reason: null, screenshare_user: null, version: 1, participants: [{ ...me, state: "accepted" }],
  };
  store.applyEvent({ id: 1, name: "call", data: call });
  assert.equal(store.calls.size, 1);
  assert.equal(store.title("dm:alice:bob"), "Alice");
  store.applyEvent({ id: 2, name: "call", data: { ...call, removed: true, participants: [{ ...me, state: "left", left_ts: 2 }] } });
  assert.equal(store.calls.size, 0);
});
