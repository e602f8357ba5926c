// @ts-check
// What the page for admins reads and writes.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { reset, server } from "./fakes.js";
import { calls } from "../../src/web/api.js";
import { fetchAll } from "../../src/web/admin/item_list.js";
import {
  channelTitle, counted, liveCallText, namesIn, pastCallText, rangeText, settingValue,
} from "../../src/web/admin/texts.js";

beforeEach(() => {
  reset();
  calls.names.set({ alice: "Alice Liddell" });
});

test("a call's channel has its title, its people or its name", () => {
  assert.equal(channelTitle({ channel: "private:1", title: "Tea party" }), "Tea party");
  assert.equal(channelTitle({ channel: "private:1", title: null }), "private:1");
  assert.equal(channelTitle({ channel: "dm:alice:bob", title: null }), "Alice Liddell, bob");
});

test("a call says who is on it, and how it ended", () => {
  const live = { state: /** @type {const} */ ("active"), on_the_call: ["alice", "bob"], still_ringing: ["carol"] };
  assert.equal(liveCallText({ ...live, screenshare_user: "alice" }),
    "Active · on the call: Alice Liddell, bob · ringing: carol · shares a screen: Alice Liddell");
  assert.equal(liveCallText({ state: "ringing", on_the_call: [], still_ringing: [], screenshare_user: null }), "Ringing");
  const past = { initiator: "alice", outcome: "answered", reason: "hangup", duration: 61.5, took_part: ["alice", "bob"] };
  assert.equal(pastCallText(past), "Alice Liddell called · answered (hangup) · 1:01 · took part: Alice Liddell, bob");
  const missed = { initiator: "bob", outcome: "missed", reason: null, duration: null, took_part: [] };
  assert.equal(pastCallText(missed), "bob called · missed");
});

test("a setting's field is a number where it can be one", () => {
  assert.equal(settingValue("number", " 0.5 "), 0.5);
  assert.equal(settingValue("number", "1e3"), 1000);
  for (const text of ["", "soon", "5 s", "Infinity"]) {
    assert.equal(settingValue("number", text), text);
  }
  assert.equal(settingValue("text", "12"), "12");
  assert.equal(settingValue("JSON", "[]"), "[]");
  assert.equal(rangeText({ kind: "number", unit: "seconds", lowest: 0.1, highest: 60 }), "0.1 to 60 seconds");
  assert.equal(rangeText({ kind: "number", unit: "count", lowest: 0, highest: 9 }), "0 to 9");
  assert.equal(rangeText({ kind: "number", unit: "switch", lowest: 0, highest: 1 }), "0 or 1");
  assert.equal(rangeText({ kind: "JSON", unit: "characters", lowest: 2, highest: 9 }), "JSON of 2 to 9 characters");
});

test("names stand between commas or white space", () => {
  assert.deepEqual(namesIn(" alice,bob  carol,\nbob,"), ["alice", "bob", "carol"]);
  assert.deepEqual(namesIn(" , "), []);
  assert.deepEqual([counted(0, "member"), counted(1, "member")], ["0 members", "1 member"]);
});

test("a list loads page by page, also when pages are short", async () => {
  const page = (after, names) => server.on("GET", `/admin/people?after=${after}&limit=200`, names.map((name) => ({ name })));
  page("", ["a b", "c"]);
  page("c", ["d"]);
  page("d", []);
  assert.deepEqual((await fetchAll("/admin/people", "name")).map(({ name }) => name), ["a b", "c", "d"]);
});
