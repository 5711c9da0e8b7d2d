import assert from "node:assert/strict";
import { test } from "node:test";

import { asTable } from "../src/about.js";
import { decode, Model } from "../src/model.js";
import { search } from "../src/search.js";
import { encode, fake } from "./fake.js";

const model = new Model(fake());

test("arrays of every type come back with their shape", () => {
  for (const [dtype, values] of [["<f4", Float32Array.of(1.5, NaN)], ["|u1", Uint8Array.of(0, 255)], ["<u2", Uint16Array.of(1, 65535)]]) {
    const back = decode(encode(values, dtype, [1, 2]));
    assert.deepEqual([...back.values], [...values]);
    assert.deepEqual(back.shape, [1, 2]);
  }
});

test("heads are named by block, layer and number, in ragged layers", () => {
  assert.equal(model.size, 8);
  assert.equal(model.heads[7].name, "up.0.1");
  assert.equal(model.byName.get("down.1.2").index, 5);
});

test("values are those of the concept, and of all concepts where a column has none", () => {
  assert.equal(model.values("relevance", "Animals")[4], 3);
  assert.equal(model.values("relevance", "Color")[4], 1);
  assert.equal(model.values("entropy", "Color"), model.values("entropy", "Animals"));
});

test("heads without a measurement come last, whatever their number", () => {
  const order = model.order("effect", "Animals");
  assert.equal(order[0], 1);
  assert.equal(order.at(-1), 3);
  assert.equal(model.rank("effect", "Animals", 1), 1);
});

test("an interval is on a side of the reference only if it excludes it", () => {
  assert.equal(model.side("relevance", "Animals", 0), 1);
  assert.equal(model.side("relevance", "Animals", 3), 0);
  assert.equal(model.side("relevance", "Animals", 2), -1);
  assert.equal(model.side("effect", "Animals", 3), null);
  assert.equal(model.side("entropy", "Animals", 0), null);
});

test("lists of disagreement go by both intervals, and leave unmeasured heads out", () => {
  assert.deepEqual(model.list("votes-only", "Animals"), [4, 0]);
  assert.deepEqual(model.list("effect-only", "Animals"), [1]);
  assert.deepEqual(model.list("votes-only", "Color"), []);
});

test("search finds heads by parts of their names, concepts, and heads by words", () => {
  assert.deepEqual(search(model, "up 0 1").found.map((hit) => hit.value), ["up.0.1"]);
  assert.equal(search(model, "up 0 · head 1").found[0].value, "up.0.1");
  assert.equal(search(model, "anim").found[0].value, "Animals");
  assert.match(search(model, "red").found[0].text, /“red” 10 %/);
});

test("a head that is not there brings the nearest ones", () => {
  const { found, near } = search(model, "up 7 1");
  assert.deepEqual(found, []);
  assert.equal(near[0].value, "up.0.1");
});

test("the download names its model, its concept and every column", () => {
  const lines = asTable(model, "Animals").split("\n");
  assert.equal(lines[0], "# fake, Animals");
  assert.equal(lines[1], "head,block,block_layer,number,grid,relevance,relevance_low,relevance_high,effect,effect_low,effect_high,entropy");
  assert.equal(lines.length, 10);
  assert.ok(lines[5].startsWith("down.1.0,down,1,0,8,1,"));
  assert.match(lines[5], /,,,,0.4/);
});
