/** Where a visitor is: read from and written to the part of an address behind "#". */

export const VIEWS = ["heads", "images", "compare", "about"];
export const LISTS = ["top", "effect", "votes-only", "effect-only"];
const CHOICES = { order: ["number", "value"], list: LISTS, tab: ["grid", "scatter", "finder"] };
const NUMBERS = ["prompt", "step", "cell", "factor", "other"];

export function defaults(model) {
  const effect = model.columns.has("effect");
  const columns = [...model.columns.keys()];
  return {
    view: "heads",
    by: model.main,
    concept: model.concepts.includes("Color") ? "Color" : (model.concepts[0] ?? null),
    head: null,
    pin: null,
    order: "number",
    list: "top",
    x: model.main,
    y: effect ? "effect" : (columns.find((name) => name !== model.main) ?? model.main),
    tab: "grid",
    prompt: 0,
    word: null,
    step: null,
    cell: null,
    other: null,
    factor: null,
  };
}

/** Parse a place; return the state and the parts that were not understood. */
export function parsePlace(text, model) {
  const state = defaults(model);
  const ignored = [];
  const match = /^#?\/([a-z]*)(?:\?(.*))?$/.exec(text ?? "");
  if (!match) return { state, ignored: text && text !== "#" ? [text] : ignored };
  if (VIEWS.includes(match[1])) state.view = match[1];
  else if (match[1]) ignored.push(match[1]);
  const known = {
    by: (v) => model.columns.has(v),
    x: (v) => model.columns.has(v),
    y: (v) => model.columns.has(v),
    concept: (v) => model.concepts.includes(v),
    head: (v) => model.byName.has(v),
    pin: (v) => model.byName.has(v),
    word: () => true,
    ...Object.fromEntries(Object.entries(CHOICES).map(([n, all]) => [n, (v) => all.includes(v)])),
    ...Object.fromEntries(NUMBERS.map((n) => [n, (v) => v !== "" && Number.isFinite(Number(v))])),
  };
  for (const [name, value] of new URLSearchParams(match[2] ?? "")) {
    if (!known[name]?.(value)) ignored.push(`${name}=${value}`);
    else state[name] = NUMBERS.includes(name) ? Number(value) : value;
  }
  return { state, ignored };
}

/** Write a place: only what differs from the default. */
export function formatPlace(state, model) {
  const usual = defaults(model);
  const parts = Object.keys(usual)
    .filter((name) => name !== "view" && state[name] !== usual[name] && state[name] !== null)
    .map((name) => `${name}=${encodeURIComponent(state[name])}`);
  return `#/${state.view}${parts.length ? `?${parts.join("&")}` : ""}`;
}

/** A state with listeners, and a stack to go back and forth on. */
export class Store {
  constructor(state) {
    this.state = state;
    this.listeners = [];
    this.past = [];
    this.future = [];
  }

  listen(listener) {
    this.listeners.push(listener);
  }

  /** Change the state. Selections are pushed; scrubbing and typing replace. */
  set(patch, { push = true } = {}) {
    const changed = Object.keys(patch).filter((name) => patch[name] !== this.state[name]);
    if (!changed.length) return;
    if (push) {
      this.past.push(this.state);
      this.future = [];
    }
    this.apply({ ...this.state, ...patch }, changed, push ? "push" : "replace");
  }

  /** Take another state as it is, such as one that came with an address. */
  take(state, how = "none") {
    const changed = Object.keys(state).filter((name) => state[name] !== this.state[name]);
    if (changed.length) this.apply(state, changed, how);
  }

  apply(state, changed, how) {
    this.state = state;
    for (const listener of this.listeners) listener(state, new Set(changed), how);
  }

  back() {
    if (!this.past.length) return;
    this.future.push(this.state);
    this.take(this.past.pop(), "replace");
  }

  forward() {
    if (!this.future.length) return;
    this.past.push(this.state);
    this.take(this.future.pop(), "replace");
  }
}
