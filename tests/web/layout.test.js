import assert from "node:assert/strict";
import test from "node:test";

import { arrange, nextSpeaker, stageOf } from "../../src/web/client/layout.js";
import { fitting } from "../../src/web/call/fitting.js";

const people = (count, ...more) => [
  ...more,
  ...Array.from({ length: count - 1 }, (_, index) => ({ key: `p${index}`, name: `p${index}`, kind: "peer" })),
  { key: "me", name: "me", kind: "self" },
];
const screen = { key: "screen p0", name: "p0", kind: "screen" };

/** Window sizes without header and controls: phones upright and on their side, tablets, desktops, a strip. */
const AREAS = [[300, 420], [300, 560], [370, 640], [640, 180], [748, 860], [1000, 560], [1408, 760], [1400, 300]];

/** What is wrong with an arrangement. */
function faults(items, rects, [width, height]) {
  const found = [];
  const isOver = (a, b) =>
    a.left < b.left + b.width - 0.5 && b.left < a.left + a.width - 0.5 &&
    a.top < b.top + b.height - 0.5 && b.top < a.top + a.height - 0.5;
  rects.forEach((rect, index) => {
    if (!(rect.width >= 40 && rect.height >= 40)) {
      found.push(`tile ${index} is too small`);
    }
    if (rect.left < -0.5 || rect.left + rect.width > width + 0.5 || rect.top < -0.5) {
      found.push(`tile ${index} is outside`);
    }
    const aspect = rect.width / rect.height;
    if (items[index].kind !== "screen" && (aspect < 0.55 || aspect > 1.8)) {
      found.push(`tile ${index} is a strip: ${aspect}`);
    }
    rects.slice(index + 1).forEach((other, more) => isOver(rect, other) && found.push(`${index} over ${index + 1 + more}`));
  });
  return found.map((fault) => `${items.length} in ${width}x${height}: ${fault} ${JSON.stringify(rects)}`);
}

test("every count of tiles fits every window, without strips and without one over another", () => {
  for (const area of AREAS) {
    const [width, height] = area;
    for (let count = 1; count <= 12; count += 1) {
      for (const items of [people(count), people(count, screen)]) {
        const stage = stageOf(items, { pinned: null, layout: "grid", speaker: null });
        const { rects, mode } = arrange({ items, stage, width, height });
        assert.equal(rects.length, items.length);
        if (mode !== "pair") {
          assert.deepEqual(faults(items, rects, area), []);
          const bottom = Math.max(...rects.map((rect) => rect.top + rect.height));
          assert.ok(bottom <= height + 0.5, `${items.length} in ${width}x${height} end at ${bottom}`);
        }
      }
    }
  }
});

test("far more people than fit are in rows to scroll", () => {
  const items = people(60);
  const { rects } = arrange({ items, stage: null, width: 300, height: 300 });
  assert.deepEqual(faults(items, rects, [300, 300]), []);
  assert.ok(rects.at(-1).top > 300);
});

test("two people: the other one large, this person in a corner of it", () => {
  for (const [width, height] of AREAS) {
    const { rects: [large, corner], mode } = arrange({ items: people(2), stage: null, width, height });
    assert.equal(mode, "pair");
    assert.ok(corner.width < large.width / 2 && corner.height < large.height / 2, `${width}x${height}`);
    assert.ok(corner.left + corner.width <= width && corner.top + corner.height <= height);
  }
});

test("a grid uses the area: tall phones have rows, desktops have columns", () => {
  const columns = (count, width, height) => {
    const { rects } = arrange({ items: people(count), stage: null, width, height });
    return new Set(rects.slice(0, Math.ceil(count / 2)).map(({ left }) => Math.round(left))).size;
  };
  assert.equal(columns(4, 370, 640), 2);
  assert.equal(columns(3, 370, 640), 1);
  assert.equal(columns(6, 1400, 700), 3);
  assert.equal(columns(12, 1400, 700), 4);
});

test("a shared screen gets most of the area", () => {
  for (const [width, height] of AREAS) {
    const items = people(8, screen);
    const { rects: [large] } = arrange({ items, stage: screen.key, width, height });
    assert.ok(large.width * large.height > 0.5 * width * height, `${width}x${height}`);
  }
});

test("a pinned tile is large, then a screen, then who speaks", () => {
  const choice = { pinned: null, layout: "grid", speaker: "p1" };
  assert.equal(stageOf(people(4), choice), null);
  assert.equal(stageOf(people(4), { ...choice, layout: "speaker" }), "p1");
  assert.equal(stageOf(people(4), { ...choice, layout: "speaker", speaker: "gone" }), "p0");
  assert.equal(stageOf(people(2), { ...choice, layout: "speaker" }), null);
  assert.equal(stageOf(people(4, screen), { ...choice, layout: "speaker" }), "screen p0");
  assert.equal(stageOf(people(4, screen), { ...choice, pinned: "p2" }), "p2");
  assert.equal(stageOf(people(4), { ...choice, pinned: "gone" }), null);
  assert.equal(stageOf(people(1), { ...choice, pinned: "me" }), null);
});

test("who speaks stays large until another one speaks alone, and is never this person", () => {
  assert.equal(nextSpeaker(null, new Set(["me"]), "me"), null);
  assert.equal(nextSpeaker(null, new Set(["me", "bob"]), "me"), "bob");
  assert.equal(nextSpeaker("bob", new Set(["carol", "bob"]), "me"), "bob");
  assert.equal(nextSpeaker("bob", new Set(["carol"]), "me"), "carol");
  assert.equal(nextSpeaker("bob", new Set(), "me"), "bob");
});

test("buttons that do not fit move away, the least needed first", () => {
  const order = ["mute", "camera", "chat", "screen", "hand"];
  const inRow = (width, ids = order) => [...fitting({ width, size: 46, gap: 6, fixed: 2, ids, order })].join();
  assert.equal(inRow(1000), "mute,camera,chat,screen,hand");
  assert.equal(inRow(300), "mute,camera,chat");
  assert.equal(inRow(300, ["mute", "screen", "hand", "chat"]), "mute,chat,screen");
  assert.equal(inRow(90), "");
});
