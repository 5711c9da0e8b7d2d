import assert from "node:assert/strict";
import { test } from "node:test";

import { formatValue, ratio, share, signed } from "../src/format.js";
import { colorOf, columnScale, palette, toLab } from "../src/scale.js";

const far = (a, b) => 100 * Math.hypot(...toLab(a).map((c, at) => c - toLab(b)[at]));
const relevance = { scale: "ratio", format: (v) => `${v}×` };
const effect = { scale: "signed", format: signed };

test("relevance spends a fifth of its scale below the mean and ends at eight times", () => {
  const scale = columnScale(relevance, []);
  assert.equal(scale.place(0), 0);
  assert.ok(Math.abs(scale.place(1) - 0.22) < 1e-9);
  assert.equal(scale.place(8), 1);
  assert.equal(scale.place(23), 1);
});

test("effects are diverging around zero, on one scale for all concepts", () => {
  const scale = columnScale(effect, [-0.1, 0.5, NaN, 0]);
  assert.equal(scale.place(0), 0.5);
  assert.equal(scale.place(-1), 0);
  assert.equal(colorOf(scale, "light", NaN), null);
});

for (const theme of ["light", "dark"]) {
  test(`steps of a scale can be told apart, ${theme}`, () => {
    for (const kind of ["sequential", "signed"]) {
      const colors = palette(theme, kind);
      const steps = Array.from({ length: 9 }, (_, at) => colors[Math.round((at / 8) * 255)]);
      for (let at = 1; at < 9; at += 1) assert.ok(far(steps[at - 1], steps[at]) > 5, `${kind} ${at}`);
    }
    const diverging = palette(theme, "signed");
    assert.ok(far(diverging[0], diverging[255]) > 10);
  });
}

test("numbers are short and have a real minus", () => {
  assert.equal(ratio(5.678), "5.68");
  assert.equal(ratio(0.5), ".50");
  assert.equal(ratio(26.34), "26.3");
  assert.equal(ratio(0.001), "0");
  assert.equal(signed(-0.054), "−.05");
  assert.equal(signed(-0.001), "0");
  assert.equal(share(0.173), "17.3 %");
  assert.equal(formatValue({ scale: "plain" }, 1234), "1,234");
  assert.equal(formatValue({ scale: "ratio" }, NaN), "–");
});
