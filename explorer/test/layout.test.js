import assert from "node:assert/strict";
import { test } from "node:test";

import { cellOf, gridLayout, hit, moved, slots } from "../src/layout.js";
import { Model } from "../src/model.js";
import { fake } from "./fake.js";

const model = new Model(fake());

for (const tall of [false, true]) {
  test(`every head is hit in the middle of its cell, ${tall ? "tall" : "wide"}`, () => {
    const layout = gridLayout(model, 400, tall);
    const slot = slots(model, "number", model.values("relevance", "Animals"));
    for (const head of model.heads) {
      const [x, y] = cellOf(layout, head.layer.index, slot[head.index]);
      const found = hit(layout, model, x + layout.cell / 2, y + layout.cell / 2);
      assert.deepEqual(found, { layer: head.layer.index, slot: head.head });
    }
    assert.equal(hit(layout, model, 1, 1), null);
    const [x, y] = cellOf(layout, 2, 2); // the last layer has two heads
    assert.equal(hit(layout, model, x + 2, y + 2), null);
  });
}

test("layers of 1,368 heads fit any width from 600 pixels", () => {
  const flux = new Model(fake({
    layers: { block: [...Array(19).fill("double"), ...Array(38).fill("single")], block_layer: [...Array(19).keys(), ...Array(38).keys()], heads: Array(57).fill(24), grid: Array(57).fill(64) },
  }));
  for (const width of [600, 800, 1400]) assert.ok(gridLayout(flux, width, false).width <= width);
  assert.ok(gridLayout(flux, 366, true).width <= 366);
});

test("ordered by value, a layer runs from its largest head to its smallest", () => {
  const slot = slots(model, "value", model.values("relevance", "Animals"));
  assert.deepEqual([...slot], [0, 1, 2, 1, 0, 2, 0, 1]);
});

test("keys move by the screen's direction, over blocks, and stop at ends and ragged layers", () => {
  const wide = gridLayout(model, 400, false);
  const tall = gridLayout(model, 400, true);
  const from = { layer: 1, slot: 2 };
  assert.deepEqual(moved(wide, model, from, "ArrowRight"), { layer: 2, slot: 1 });
  assert.deepEqual(moved(tall, model, from, "ArrowDown"), { layer: 2, slot: 1 });
  assert.deepEqual(moved(wide, model, from, "ArrowDown"), from);
  assert.deepEqual(moved(wide, model, from, "Home"), { layer: 1, slot: 0 });
  assert.deepEqual(moved(wide, model, from, "PageDown"), { layer: 2, slot: 1 });
  assert.deepEqual(moved(wide, model, { layer: 2, slot: 0 }, "PageUp"), { layer: 0, slot: 0 });
  assert.equal(moved(wide, model, from, "x"), null);
});
