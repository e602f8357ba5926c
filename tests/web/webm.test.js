import assert from "node:assert/strict";
import test from "node:test";

import { Splitter } from "../../src/web/client/webm.js";

const UNKNOWN = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
const EBML = [0x1a, 0x45, 0xdf, 0xa3];
const SEGMENT = [0x18, 0x53, 0x80, 0x67];
const INFO = [0x15, 0x49, 0xa9, 0x66];
const CLUSTER = [0x1f, 0x43, 0xb6, 0x75];
const SIMPLE_BLOCK = [0xa3];

const element = (id, ...content) => [...id, 0x80 | content.length, ...content];

/** An element whose length takes two bytes. */
const longElement = (id, content) => [...id, 0x40 | (content.length >> 8), content.length & 0xff, ...content];

const INIT = [...element(EBML, 1, 2, 3), ...SEGMENT, ...UNKNOWN, ...element(INFO, 4, 5)];
const OPEN_CLUSTER = [...CLUSTER, ...UNKNOWN, ...element(SIMPLE_BLOCK, 6), ...element(SIMPLE_BLOCK, 7, 8)];
const LONG_CLUSTER = [...CLUSTER, ...UNKNOWN, ...longElement(SIMPLE_BLOCK, Array(300).fill(9))];
const SIZED_CLUSTER = element(CLUSTER, ...element(SIMPLE_BLOCK, 10, 11));
const RECORDING = [...INIT, ...OPEN_CLUSTER, ...LONG_CLUSTER, ...SIZED_CLUSTER, ...OPEN_CLUSTER];

/** Splits a recording that arrives in pieces of a size. */
function split(bytes, size) {
  const splitter = new Splitter();
  const inits = [];
  const clusters = [];
  for (let at = 0; at < bytes.length; at += size) {
    const parts = splitter.push(Uint8Array.from(bytes.slice(at, at + size)));
    if (parts.init) {
      inits.push([...parts.init]);
    }
    clusters.push(...parts.clusters.map((cluster) => [...cluster]));
  }
  return { inits, clusters };
}

test("a recording is split into its init segment and whole clusters, wherever its pieces are cut", () => {
  for (let size = 1; size <= RECORDING.length; size += 1) {
    const { inits, clusters } = split(RECORDING, size);
    assert.deepEqual(inits, [INIT], `pieces of ${size} bytes`);
    assert.deepEqual(clusters, [OPEN_CLUSTER, LONG_CLUSTER, SIZED_CLUSTER], `pieces of ${size} bytes`);
  }
});

test("a cluster id inside a block is content", () => {
  const block = element(SIMPLE_BLOCK, ...CLUSTER, ...UNKNOWN);
  const cluster = [...CLUSTER, ...UNKNOWN, ...block];
  const { clusters } = split([...INIT, ...cluster, ...OPEN_CLUSTER], 5);
  assert.deepEqual(clusters, [cluster]);
});

test("a length whose first byte alone has all bits set is a length", () => {
  const content = [...CLUSTER, ...UNKNOWN, ...Array(0x3f10 - 12).fill(0)];
  const cluster = [...CLUSTER, ...UNKNOWN, ...longElement(SIMPLE_BLOCK, content)];
  const { clusters } = split([...INIT, ...cluster, ...OPEN_CLUSTER], 4096);
  assert.deepEqual(clusters, [cluster]);
});

test("nothing is complete before the first cluster begins", () => {
  assert.deepEqual(split(INIT, INIT.length), { inits: [], clusters: [] });
});
