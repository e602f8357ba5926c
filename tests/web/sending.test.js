import assert from "node:assert/strict";
import test from "node:test";

import "./fakes.js";
import { connectionNote } from "../../src/web/client/connection_note.js";
import { CAMERA_STEPS, SCREEN_STEPS, UNLOWERED, adapt, stepFor, wantedCameras } from "../../src/web/client/sending.js";

const GOOD = { loss: 0, available: 5_000_000, isCpuLimited: false };

/** The adaptation after reports, one a check. */
const after = (before, reports, bits = 1_500_000) => reports.reduce((one, report) => adapt(one, report, bits), before);

const times = (count, report) => Array(count).fill(report);

test("more people get smaller pictures, and a person's upload stays below two megabits", () => {
  const lines = [2, 3, 4, 5, 6, 7, 8, 12].map((people) => stepFor(CAMERA_STEPS, people, 0).lines);
  assert.deepEqual(lines, [720, 540, 360, 270, 270, 270, 180, 180]);
  for (let people = 2; people <= 12; people += 1) {
    assert.ok((people - 1) * stepFor(CAMERA_STEPS, people, 0).bits <= 2_000_000, `${people} people`);
    assert.equal(stepFor(SCREEN_STEPS, people, 0).lines, Infinity);
  }
  assert.equal(stepFor(CAMERA_STEPS, 1, 0).lines, 720, "alone for a moment");
  assert.equal(stepFor(CAMERA_STEPS, 12, 9), CAMERA_STEPS.at(-1));
});

test("two bad checks in a row lower what is sent, one does not", () => {
  for (const bad of [
    { ...GOOD, loss: 0.2 },
    { ...GOOD, available: 500_000 },
    { ...GOOD, isCpuLimited: true },
  ]) {
    assert.equal(after(UNLOWERED, [bad]).lowered, 0);
    assert.equal(after(UNLOWERED, [bad, GOOD, bad]).lowered, 0);
    assert.equal(after(UNLOWERED, [bad, bad]).lowered, 1);
    assert.equal(after(UNLOWERED, [bad, bad, bad, bad]).lowered, 2);
    assert.equal(after(UNLOWERED, times(100, bad)).lowered, CAMERA_STEPS.length - 1);
  }
});

test("a browser that names no bandwidth is not taken for a slow one", () => {
  assert.deepEqual(after(UNLOWERED, times(3, { ...GOOD, available: null })), { ...UNLOWERED, good: 3 });
});

test("good checks raise it again, later after each step down, and a long good time forgets that", () => {
  const bad = { ...GOOD, loss: 0.5 };
  const lowered = after(UNLOWERED, [bad, bad]);
  assert.equal(after(lowered, times(9, GOOD)).lowered, 1);
  const raised = after(lowered, times(10, GOOD));
  assert.equal(raised.lowered, 0);
  const again = after(raised, [bad, bad]);
  assert.equal(after(again, times(19, GOOD)).lowered, 1);
  assert.equal(after(again, times(20, GOOD)).lowered, 0);
  assert.equal(after(again, times(100, GOOD)).patience, UNLOWERED.patience);
});

test("small calls show everybody, large ones the last speakers", () => {
  const names = ["a", "b", "c", "d"];
  assert.deepEqual([...wantedCameras(names, new Map())], names);
  assert.deepEqual([...wantedCameras(names, new Map(), 2)], ["a", "b"]);
  const spokeAt = new Map([["d", 5], ["b", 3], ["gone", 9]]);
  assert.deepEqual([...wantedCameras(names, spokeAt, 2)], ["d", "b"]);
  assert.deepEqual([...wantedCameras(names, spokeAt, 3)], ["d", "b", "a"]);
});

test("a tile says one line about its connection", () => {
  const facts = { via: null, state: "connecting", downFor: 1_000, arrives: false, online: true, failure: "" };
  const note = (more) => connectionNote({ ...facts, ...more }, "bob");
  assert.equal(note({ via: "webrtc" }), "");
  assert.equal(note({}), "Connecting…");
  assert.equal(note({ state: "disconnected" }), "Reconnecting…");
  assert.match(note({ state: "failed" }), /^Cannot connect to bob\./);
  assert.match(note({ downFor: 9_000 }), /^Cannot connect to bob\./);
  assert.equal(note({ state: "new", downFor: 9_000 }), "Connecting…");
  assert.match(note({ via: "relay" }), /^No direct connection to bob\./);
  assert.equal(note({ via: "relay", arrives: true }), "Using the server’s relay");
  assert.equal(note({ via: "relay", arrives: true, online: false }), "Waiting for the server…");
  assert.equal(note({ via: "relay", failure: "No WebM." }), "No WebM.");
});
