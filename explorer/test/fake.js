/** A small atlas, made of arithmetic. */

export const encode = (values, dtype, shape) => ({
  dtype,
  shape,
  data: Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString("base64"),
});
const f4 = (values, shape) => encode(Float32Array.from(values), "<f4", shape);

/** Two blocks of ragged layers: 2 × 3 heads, then 1 × 2. */
export function fake(changes = {}) {
  const heads = [3, 3, 2];
  const count = 8;
  const relevance = [2, 0.5, 0, 1, 3, 0.5, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1];
  const effect = [0, 0.4, 0, NaN, 0.2, 0, 0, 0, ...Array(8).fill(NaN)];
  const column = (name, scale, reference, more) => ({
    name, label: name, unit: "", scale, reference, by_concept: true, interval: true, about: name, ...more,
  });
  return {
    schema: "hrvlab atlas 1",
    model: "fake",
    provenance: { model: "fake" },
    layers: { block: ["down", "down", "up"], block_layer: [0, 1, 0], heads, grid: [8, 8, 4] },
    concepts: ["Animals", "Color"],
    voted: 10,
    votes: [100, 200],
    agreement: [0.9, null],
    columns: [
      column("relevance", "ratio", 1),
      column("effect", "signed", 0),
      column("entropy", "share", null, { by_concept: false, interval: false }),
    ],
    arrays: {
      relevance: f4(relevance, [2, count]),
      relevance_low: f4(relevance.map((v) => v - 0.4), [2, count]),
      relevance_high: f4(relevance.map((v) => v + 0.4), [2, count]),
      effect: f4(effect, [2, count]),
      effect_low: f4(effect.map((v) => v - 0.3), [2, count]),
      effect_high: f4(effect.map((v) => v + 0.3), [2, count]),
      entropy: f4([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], [count]),
    },
    notes: { effect: { factor: -2, prompts: 8, seeds: 2, evaluator: "judge" } },
    vocabulary: ["cat", "red"],
    word_index: encode(Uint16Array.from(Array(count).fill([0, 1]).flat()), "<u2", [count, 2]),
    word_share: f4(Array(count).fill([0.5, 0.1]).flat(), [count, 2]),
    prompts: [{ text: "a red cat", seed: 0 }],
    decile_prompts: 1,
    panel: 1,
    featured: [],
    turned: [],
    live: false,
    ...changes,
  };
}
