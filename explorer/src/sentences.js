/** Numbers of a head in words. */

import { count, ratio, signed } from "./format.js";

/** A label for screen readers, as in "up 7 · head 7, Color 5.68×, 5.53 to 5.83, rank 1 of 128". */
export function describeHead(ctx, one) {
  const { model, store } = ctx;
  const { by, concept } = store.state;
  const column = model.columns.get(by);
  const value = model.values(by, concept)[one.index];
  const what = column.by_concept ? `${concept} ${column.label}` : column.label;
  if (!Number.isFinite(value)) return `${one.label}, ${what} not measured`;
  const ends = model.interval(by, concept, one.index);
  const between = ends ? `, ${ends.map((end) => column.format(end)).join(" to ")}` : "";
  const rank = `rank ${model.rank(by, concept, one.index)} of ${model.size}`;
  return `${one.label}, ${what} ${column.format(value)}${between}, ${rank}`;
}

/** One sentence of numbers, as [text, emphasized] parts. */
export function headSentence(ctx, one) {
  const { model, store } = ctx;
  const { concept } = store.state;
  if (model.main !== "relevance") return columnParts(model, one);
  const value = model.values("relevance", concept)[one.index];
  const ends = model.interval("relevance", concept, one.index);
  const parts = [
    ["For "],
    [concept, true],
    [": "],
    [`${ratio(value)} ×`, true],
    [" the votes of the mean head"],
  ];
  if (ends) parts.push([` (${ends.map(ratio).join("–")})`]);
  parts.push([`, rank ${model.rank("relevance", concept, one.index)} of ${count(model.size)}. `]);
  if (!model.measured("effect", concept)) {
    parts.push([model.columns.has("effect") ? "Its effect on this concept was not measured." : ""]);
    return parts;
  }
  const effect = model.values("effect", concept)[one.index];
  if (!Number.isFinite(effect)) return [...parts, ["Its effect was not measured."]];
  const [low, high] = model.interval("effect", concept, one.index);
  const factor = signed(model.first.notes.effect.factor).replace(".00", "");
  const fall = effect < 0 && signed(effect) !== "0" ? "rises" : "falls";
  parts.push(
    [`Multiplied alone by ${factor}, the score ${fall} by `],
    [signed(Math.abs(effect)), true],
    [` (${fall === "rises" ? `${signed(-high)} to ${signed(-low)}` : `${signed(low)} to ${signed(high)}`}), rank ${model.rank("effect", concept, one.index)}.`],
  );
  return parts;
}

/** Every column of a head, where no votes are known. */
function columnParts(model, one) {
  return [...model.columns.values()].flatMap((column) => [
    [`${column.label[0].toUpperCase()}${column.label.slice(1)}: `],
    [column.format(model.values(column.name, null)[one.index]), true],
    [`, rank ${model.rank(column.name, null, one.index)} of ${count(model.size)}. `],
  ]);
}

/** What the numbers of the grid rest on, and what chance would give. */
export function gridCaption(ctx) {
  const { model, store } = ctx;
  const { by, concept } = store.state;
  const { first } = model;
  const column = model.columns.get(by);
  const said = [`${count(model.size)} heads in ${model.layers.length} layers`];
  if (by === "relevance" && first.votes) {
    const row = model.concepts.indexOf(concept);
    const own = first.votes[row];
    if (own !== null) said.push(`${concept}: ${count(own)} votes${first.voted ? ` from ${count(first.voted)} prompts` : ""}`);
    const agreement = first.agreement?.[row];
    if (agreement !== null && agreement !== undefined) said.push(`its halves correlate at ${signed(agreement)}`);
  } else if (by === "effect") {
    const { prompts, seeds, evaluator } = first.notes.effect;
    said.push(`${prompts} prompts × ${seeds} seeds${evaluator ? `, scored by the ${evaluator}` : ""}`);
  } else said.push(column.about);
  if (column.interval && model.measured(by, concept)) {
    const above = model.heads.filter((one) => model.side(by, concept, one.index) === 1).length;
    const chance = Math.round(0.025 * model.size);
    said.push(`${count(above)} above ${column.scale === "ratio" ? "the mean" : "0"}, ${chance} expected by chance`);
  }
  return said.join(" · ");
}
