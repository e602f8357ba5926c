import assert from "node:assert/strict";
import test, { beforeEach } from "node:test";

import { FakeTrack, clock, reset, sound } from "./fakes.js";
import { absenceOf } from "../../src/web/client/absent.js";
import { Conversation, TEXT_MAX } from "../../src/web/client/conversation.js";
import { MutedVoice } from "../../src/web/client/muted_voice.js";
import { partsOf } from "../../src/web/call/links.js";
import { actionOf } from "../../src/web/call/shortcuts.js";

beforeEach(reset);

function create(unreached = []) {
  const sent = [];
  const conversation = new Conversation("alice", (message) => {
    sent.push(message);
    return unreached;
  });
  return { conversation, sent };
}

test("messages are bounded in length and number, and say whom they did not reach", () => {
  const { conversation, sent } = create(["dave"]);
  conversation.say("  ");
  conversation.say(` ${"x".repeat(TEXT_MAX + 5)} `);
  assert.equal(sent.length, 1);
  assert.equal(sent[0].text.length, TEXT_MAX);
  assert.deepEqual(conversation.messages[0].unreached, ["dave"]);
  for (let count = 0; count < 1_000; count += 1) {
    conversation.receive("bob", { text: `message ${count}` });
  }
  assert.equal(conversation.messages.length, 300);
  assert.equal(conversation.messages.at(-1).text, "message 999");
  conversation.receive("bob", { text: "y".repeat(10 * TEXT_MAX) });
  assert.equal(conversation.messages.at(-1).text.length, TEXT_MAX);
});

test("what is no message, no reaction and no hand is ignored", () => {
  const { conversation } = create();
  const seen = [];
  for (const event of ["message", "reaction", "hand"]) {
    conversation.on(event, (detail) => seen.push(detail));
  }
  for (const message of [{}, { text: 7 }, { text: " " }, { reaction: "<b>" }, { reaction: 1 }, { hand: "yes" }]) {
    conversation.receive("bob", message);
  }
  conversation.react("anything");
  assert.deepEqual(seen, []);
  conversation.receive("bob", { reaction: "👍" });
  assert.deepEqual(seen, [{ name: "bob", reaction: "👍" }]);
});

test("hands are up until they are lowered or their people leave, and who joins later learns of mine", () => {
  const { conversation, sent } = create();
  const seen = [];
  conversation.on("hand", ({ name, isUp }) => seen.push(`${name} ${isUp}`));
  conversation.raiseHand();
  conversation.receive("bob", { hand: true });
  conversation.receive("bob", { hand: true, muted: true });
  assert.deepEqual(conversation.status, { hand: true });
  assert.deepEqual([...conversation.hands], ["alice", "bob"]);
  conversation.keepOnly(["alice"]);
  conversation.raiseHand(false);
  assert.deepEqual(seen, ["alice true", "bob true", "bob false", "alice false"]);
  assert.deepEqual(sent, [{ hand: true }, { hand: false }]);
});

test("speech while muted is noticed by a copy of the track, which ends with it", async () => {
  const seen = [];
  const voice = new MutedVoice((isSpeaking) => seen.push(isSpeaking));
  const copies = [];
  const microphone = new FakeTrack("audio");
  microphone.clone = () => copies[copies.push(new FakeTrack("audio")) - 1];
  microphone.enabled = false;
  voice.follow({ muted: false, tracks: { microphone } });
  assert.equal(copies.length, 0);
  voice.follow({ muted: true, tracks: { microphone } });
  voice.follow({ muted: true, tracks: { microphone } });
  assert.equal(copies.length, 1);
  await clock.advance(500);
  assert.deepEqual(seen, []);
  sound.level = 0.2;
  await clock.advance(500);
  assert.deepEqual(seen, [true]);
  voice.follow({ muted: false, tracks: { microphone } });
  assert.deepEqual(seen, [true, false]);
  assert.equal(copies[0].readyState, "ended");
  assert.equal(microphone.enabled, false, "the track that is sent is left alone");
});

test("why a person is absent", () => {
  assert.equal(absenceOf({ state: "pending" }), "ringing");
  assert.equal(absenceOf({ state: "rejected", absence: "declined" }), "declined");
  assert.equal(absenceOf({ state: "rejected", absence: "quiet" }), "quiet");
  assert.equal(absenceOf({ state: "left" }), null);
  assert.equal(absenceOf({ state: "accepted" }), null);
});

test("keys do something only where they are no text and no shortcut of the browser", () => {
  const key = (key, more = {}) => ({ key, ctrlKey: false, altKey: false, metaKey: false, repeat: false, ...more });
  const free = { isTyping: false, areLettersOn: true };
  assert.equal(actionOf(key("m"), free), "mute");
  assert.equal(actionOf(key("M"), free), "mute");
  assert.equal(actionOf(key("?"), free), "help");
  assert.equal(actionOf(key("x"), free), null);
  assert.equal(actionOf(key("m", { ctrlKey: true }), free), null);
  assert.equal(actionOf(key("m", { repeat: true }), free), null);
  assert.equal(actionOf(key("m"), { ...free, isTyping: true }), null);
  assert.equal(actionOf(key("m"), { ...free, areLettersOn: false }), null);
  assert.equal(actionOf(key("Escape"), { ...free, areLettersOn: false }), "shrink");
});

test("addresses in a text are links, and nothing else is", () => {
  const links = (text) => partsOf(text).filter(({ address }) => address).map(({ address }) => address);
  assert.deepEqual(links("see https://example.org/a?b=1#c, or (http://example.org/x_(y))."), [
    "https://example.org/a?b=1#c",
    "http://example.org/x_(y)",
  ]);
  assert.deepEqual(links("javascript:alert(1) <b>x</b> ftp://example.org https://"), []);
  const text = "a https://example.org. b\nc";
  assert.equal(partsOf(text).map((part) => part.text).join(""), text);
});
