/** The data of an atlas: heads, columns, ranks and lists. */

import { formatValue } from "./format.js";
import { columnScale } from "./scale.js";

const TYPES = { "<f4": Float32Array, "|u1": Uint8Array, "<u2": Uint16Array };

/** Decode an array of the contract, {dtype, shape, data in base64}. */
export function decode(array) {
  if (!array) return null;
  const text = atob(array.data);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) bytes[at] = text.charCodeAt(at);
  return { shape: array.shape, values: new TYPES[array.dtype](bytes.buffer) };
}

export class Model {
  constructor(first) {
    Object.assign(this, {
      name: first.model,
      first,
      concepts: first.concepts,
      live: Boolean(first.live),
      layers: first.layers.heads.map((heads, at) => ({
        index: at,
        heads,
        block: first.layers.block[at],
        number: first.layers.block_layer[at],
        grid: first.layers.grid[at],
      })),
    });
    this.heads = this.layers.flatMap((layer) =>
      Array.from({ length: layer.heads }, (_, head) => ({ layer, head })),
    );
    this.heads.forEach((one, index) => {
      const { block, number } = one.layer;
      one.index = index;
      one.name = `${block}.${number}.${one.head}`;
      one.label = `${block} ${number} · head ${one.head}`;
      one.short = `${block} ${number}·${one.head}`;
    });
    this.byName = new Map(this.heads.map((one) => [one.name, one]));
    this.columns = new Map(
      first.columns.map((column) => [
        column.name,
        { ...column, format: (value) => formatValue(column, value) },
      ]),
    );
    this.main = this.columns.has("relevance") ? "relevance" : [...this.columns.keys()][0];
    this.cache = new Map();
  }

  get size() {
    return this.heads.length;
  }

  once(key, make) {
    if (!this.cache.has(key)) this.cache.set(key, make());
    return this.cache.get(key);
  }

  all(name) {
    return this.once(`all ${name}`, () => decode(this.first.arrays[name])?.values ?? null);
  }

  /** The column's numbers of every head, for a concept if it has them by concept. */
  values(name, concept, suffix = "") {
    const own = this.all(name + suffix);
    if (!own || !this.columns.get(name).by_concept) return own;
    const row = this.concepts.indexOf(concept);
    return own.subarray(row * this.size, (row + 1) * this.size);
  }

  interval(name, concept, head) {
    const low = this.values(name, concept, "_low");
    if (!low || !Number.isFinite(low[head])) return null;
    return [low[head], this.values(name, concept, "_high")[head]];
  }

  /** On which side of the reference the interval lies: 1, −1, or 0; null without an interval. */
  side(name, concept, head) {
    const ends = this.interval(name, concept, head);
    const { reference } = this.columns.get(name);
    if (!ends || reference === null) return null;
    return ends[0] > reference ? 1 : ends[1] < reference ? -1 : 0;
  }

  scale(name) {
    return this.once(`scale ${name}`, () =>
      columnScale(this.columns.get(name), this.all(name) ?? []),
    );
  }

  /** Heads from the largest value to the smallest; unmeasured ones last. */
  order(name, concept) {
    return this.once(`order ${name} ${concept}`, () => {
      const values = this.values(name, concept);
      const key = (head) => (Number.isFinite(values[head]) ? values[head] : -Infinity);
      return Array.from(values.keys()).sort((a, b) => key(b) - key(a) || a - b);
    });
  }

  rank(name, concept, head) {
    const ranks = this.once(`rank ${name} ${concept}`, () => {
      const found = new Uint32Array(this.size);
      this.order(name, concept).forEach((own, at) => (found[own] = at + 1));
      return found;
    });
    return ranks[head];
  }

  measured(name, concept) {
    const values = this.columns.has(name) ? this.values(name, concept) : null;
    return Boolean(values?.some(Number.isFinite));
  }

  /** The heads of a list; both intervals decide where votes and effect disagree. */
  list(kind, concept, by = this.main) {
    const sides = (name, head) => this.side(name, concept, head);
    if (kind === "effect") return this.order("effect", concept);
    if (kind === "votes-only") {
      return this.order("relevance", concept).filter(
        (head) => sides("relevance", head) === 1 && sides("effect", head) === 0,
      );
    }
    if (kind === "effect-only") {
      return this.order("effect", concept).filter(
        (head) => sides("effect", head) === 1 && sides("relevance", head) !== 1,
      );
    }
    return this.order(by, concept);
  }

  /** The words that a head attends to most, as [word, share]. */
  topWords(head) {
    const index = this.once("words", () => decode(this.first.word_index));
    if (!index) return [];
    const shares = this.once("shares", () => decode(this.first.word_share)).values;
    const width = index.shape[1];
    return Array.from({ length: width }, (_, at) => [
      this.first.vocabulary[index.values[head * width + at]],
      shares[head * width + at],
    ]).filter(([, share]) => share > 0);
  }
}
