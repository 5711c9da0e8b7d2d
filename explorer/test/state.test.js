import assert from "node:assert/strict";
import { test } from "node:test";

import { Model } from "../src/model.js";
import { defaults, formatPlace, parsePlace, Store } from "../src/state.js";
import { fake } from "./fake.js";

const model = new Model(fake());

test("a place survives the way to an address and back", () => {
  const state = { ...defaults(model), view: "images", by: "effect", head: "up.0.1", word: "a & b", step: 3, factor: -2 };
  const { state: back, ignored } = parsePlace(formatPlace(state, model), model);
  assert.deepEqual(back, state);
  assert.deepEqual(ignored, []);
});

test("the usual place is short", () => {
  assert.equal(formatPlace(defaults(model), model), "#/heads");
});

test("what is unknown is left out and named; the rest holds", () => {
  const { state, ignored } = parsePlace("#/nowhere?head=up.9.9&concept=Animals&step=x&what=1", model);
  assert.equal(state.view, "heads");
  assert.equal(state.head, null);
  assert.equal(state.concept, "Animals");
  assert.deepEqual(ignored, ["nowhere", "head=up.9.9", "step=x", "what=1"]);
});

test("a heading's anchor is no place", () => {
  assert.deepEqual(parsePlace("#the-vectors", model).ignored, ["#the-vectors"]);
  assert.deepEqual(parsePlace("", model).ignored, []);
});

test("selections can be taken back, scrubbing cannot", () => {
  const store = new Store(defaults(model));
  const seen = [];
  store.listen((state, changed, how) => seen.push([[...changed].join(), how]));
  store.set({ head: "up.0.1" });
  store.set({ step: 2 }, { push: false });
  store.set({ head: "up.0.0" });
  store.set({ head: "up.0.0" });
  store.back();
  assert.equal(store.state.head, "up.0.1");
  assert.equal(store.state.step, 2);
  store.back();
  assert.equal(store.state.head, null);
  store.forward();
  assert.equal(store.state.head, "up.0.1");
  assert.deepEqual(seen.slice(0, 3), [["head", "push"], ["step", "replace"], ["head", "push"]]);
});
