import assert from "node:assert/strict";
import test from "node:test";

import "./fakes.js";
import { isCallable } from "../../src/web/callable.js";
import { Store } from "../../src/web/client/store.js";
import { byTitle, folded, matchRank, searched } from "../../src/web/search.js";
import { untilTomorrow } from "../../src/web/views/quiet.js";

test("case and accents do not matter", () => {
  for (const [text, plain] of [
    ["José MUÑOZ", "jose munoz"],
    ["Łukasz Østergård", "lukasz ostergard"],
    ["Straße", "strasse"],
    ["Ærø", "aero"],
    ["İstanbul", "istanbul"],
    ["Nguyễn Đức", "nguyen duc"],
    ["田中", "田中"],
  ]) {
    assert.equal(folded(text), plain);
  }
});

test("words that begin a word of the text are better than others, and all have to be there", () => {
  assert.equal(matchRank("José Muñoz jm", "mu jo"), 0);
  assert.equal(matchRank("José Muñoz jm", "os"), 1);
  assert.equal(matchRank("José Muñoz jm", "jose x"), null);
  assert.equal(matchRank("anna.smith", "smith"), 0);
  assert.equal(matchRank("anna.smith", "anna.s"), 0);
  assert.equal(matchRank("anything", "  "), 0);
  const names = ["Rosa", "Oskar", "Carlos", "Osman"];
  assert.deepEqual(searched(names, "os", (name) => name), ["Oskar", "Osman", "Rosa", "Carlos"]);
  assert.deepEqual(["room 10", "Room 9"].sort(byTitle), ["Room 9", "room 10"]);
});

test("do not disturb until tomorrow ends in the morning", () => {
  const seconds = untilTomorrow(new Date(2026, 10, 27, 23, 30));
  assert.equal(seconds, 8.5 * 3600);
  assert.equal(untilTomorrow(new Date(2026, 10, 27, 0, 0, 0, 500)), 32 * 3600);
});

test("channels of mine can be called, and no others", () => {
  const store = new Store();
  store.me = "alice";
  store.people = ["bob", "carol"];
  store.channels = new Map([["private:1", { channel: "private:1", title: "Team", members: ["alice"] }]]);
  for (const channel of ["dm:alice:bob", "dm:alice:bob:carol", "private:1"]) {
    assert.ok(isCallable(store, channel), channel);
  }
  for (const channel of ["dm:alice:gone", "dm:bob:carol", "dm:alice", "dm:", "private:2", "lobby"]) {
    assert.ok(!isCallable(store, channel), channel);
  }
});
