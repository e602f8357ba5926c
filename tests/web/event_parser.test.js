import assert from "node:assert/strict";
import test from "node:test";

import { EventParser } from "../../src/web/client/event_parser.js";

const bytesOf = (text) => new TextEncoder().encode(text);

/** The events of a stream that arrives in pieces of so many bytes. */
function parse(text, size = Infinity) {
  const parser = new EventParser();
  const bytes = bytesOf(text);
  const events = [];
  for (let at = 0; at < bytes.length; at += size) {
    events.push(...parser.push(bytes.subarray(at, at + size)));
  }
  return events;
}

test("an event has a name, an id and data", () => {
  assert.deepEqual(parse("event:call\ndata:{\"a\":1}\nid:7\n\n"), [{ name: "call", id: "7", data: "{\"a\":1}" }]);
  assert.deepEqual(parse("event: call\ndata: x\nid: 7\n\n"), [{ name: "call", id: "7", data: "x" }], "one space goes");
  assert.deepEqual(parse("data:  x: y\n\n"), [{ name: "message", id: "", data: " x: y" }]);
});

test("what one event says is not the next one's, except for the id", () => {
  assert.deepEqual(parse("event:a\nid:1\ndata:x\n\ndata:y\n\nid\ndata:z\n\n"), [
    { name: "a", id: "1", data: "x" },
    { name: "message", id: "1", data: "y" },
    { name: "message", id: "", data: "z" },
  ]);
});

test("an event without data, and one that is not complete, are none", () => {
  assert.deepEqual(parse("event:a\nid:1\n\n"), []);
  assert.deepEqual(parse("event:a\n\ndata:x\n\n"), [{ name: "message", id: "", data: "x" }]);
  assert.deepEqual(parse("data:x\n"), []);
  assert.deepEqual(parse("data\n\n"), [{ name: "message", id: "", data: "" }]);
});

test("data can have several lines", () => {
  assert.deepEqual(parse("data:a\ndata:\ndata:b\n\n")[0].data, "a\n\nb");
});

test("comments, unknown fields and ids with a null are ignored", () => {
  const text = ":\n\n: ping\nretry:10\nwhatever:x\nwhatever\nid:1\nid:2\u00003\ndata:x\n:\n\n";
  assert.deepEqual(parse(text), [{ name: "message", id: "1", data: "x" }]);
});

test("a byte order mark at the start is dropped", () => {
  assert.deepEqual(parse("\uFEFFdata:x\n\n"), [{ name: "message", id: "", data: "x" }]);
});

test("every ending of lines, and every boundary between pieces, gives the same events", () => {
  const lines = ["event:call", "data:{\"name\":\"Zoë 🦉 漢\"}", "data:more", "id:7", "", ":", "", "data:x", "", ""];
  const expected = parse(lines.join("\n"));
  assert.equal(expected.length, 2);
  assert.equal(expected[0].data, "{\"name\":\"Zoë 🦉 漢\"}\nmore");
  for (const ending of ["\n", "\r", "\r\n"]) {
    for (let size = 1; size < 30; size += 1) {
      assert.deepEqual(parse(lines.join(ending), size), expected, `${JSON.stringify(ending)} in pieces of ${size}`);
    }
  }
  assert.deepEqual(parse("data:a\rdata:b\r\ndata:c\n\r\ndata:d\r\r", 1).map(({ data }) => data), ["a\nb\nc", "d"]);
});

test("a carriage return ends a line before the next byte arrives", () => {
  const parser = new EventParser();
  assert.deepEqual(parser.push(bytesOf("data:x\r\r")).length, 1);
  assert.deepEqual(parser.push(bytesOf("\ndata:y\r\n")), []);
  assert.deepEqual(parser.push(new Uint8Array()), []);
  assert.deepEqual(parser.push(bytesOf("\r\n")), [{ name: "message", id: "", data: "y" }]);
});
