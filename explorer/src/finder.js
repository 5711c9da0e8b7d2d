/** The finder: heads as rows, by any column, and lists where votes and effect disagree. */

import { choice, h } from "./dom.js";
import { count } from "./format.js";
import { intervalMark, rangeOf } from "./marks.js";

const NAMES = [
  ["top", "most relevant"],
  ["effect", "largest effect"],
  ["votes-only", "votes, no effect"],
  ["effect-only", "effect, no votes"],
];
const FEW = 12;
const PAGE = 50;

export function finderView(ctx) {
  const { model, store } = ctx;
  const box = h("div", { class: "finder" });
  let shown = FEW;
  let rows = new Map();

  const columns = () => [...model.columns.values()];

  function heading(column, by) {
    const sorted = column.name === by;
    const press = () => store.set({ by: column.name, list: column.name === "effect" ? "effect" : "top" });
    return h(
      "th",
      { class: "number", "aria-sort": sorted ? "descending" : null, scope: "col" },
      h("button", { type: "button", class: "sort", onclick: press, title: column.about }, `${column.label}${sorted ? " ▾" : ""}`),
    );
  }

  function draw() {
    const { list, concept, by } = store.state;
    const effect = model.columns.has("effect");
    const lists = NAMES.filter(([kind]) => kind === "top" || effect);
    const sortedBy = list === "top" ? by : list === "votes-only" ? model.main : "effect";
    const found = model.list(list, concept, by);
    const own = found.slice(0, shown);
    const ranges = new Map(
      columns().map((column) => {
        const values = own.map((head) => model.values(column.name, concept)[head]);
        const ends = own.map((head) => model.interval(column.name, concept, head));
        return [column.name, rangeOf(column, values, ends)];
      }),
    );
    const title = list === "top" && by !== "relevance" ? `highest ${model.columns.get(by).label}` : null;
    const names = lists.map(([kind, text]) => [kind, kind === "top" && title ? title : text]);
    rows = new Map();
    const body = own.map((head, at) => {
      const one = model.heads[head];
      const row = h(
        "tr",
        { "aria-selected": String(one.name === store.state.head), onclick: () => ctx.select(one.name), onpointerenter: () => ctx.hover(one.name) },
        h("td", { class: "number soft" }, at + 1),
        h("th", { scope: "row" }, h("button", { type: "button", class: "name" }, one.label)),
        h("td", { class: "number soft" }, one.layer.grid ? `${one.layer.grid}²` : ""),
        columns().map((column) => cells(column, head, ranges.get(column.name))),
      );
      rows.set(one.name, row);
      return row;
    });
    const none = !found.length && h("p", { class: "empty" }, emptyReason(list, concept));
    box.replaceChildren(
      h(
        "div",
        { class: "bar" },
        h("h2", {}, "Finder"),
        choice("Which heads", names, list, (value) => {
          shown = FEW;
          store.set({ list: value, ...(value === "top" ? { by: model.main } : {}) });
        }),
        h("span", { class: "soft push" }, found.length ? `1–${count(own.length)} of ${count(found.length)} heads` : ""),
      ),
      none ||
        h(
          "div",
          { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table of heads" },
          h(
            "table",
            {},
            h("thead", {}, h("tr", {}, h("th", { class: "number", scope: "col" }, "#"), h("th", { scope: "col" }, "head"), h("th", { class: "number", scope: "col" }, "grid"), columns().map((column) => [heading(column, sortedBy), column.interval ? h("th", { class: "soft small", scope: "col", title: "95 % interval over prompts" }, "95 %") : null]))),
            h("tbody", {}, body),
          ),
        ),
      own.length < found.length &&
        h("button", { type: "button", class: "more", onclick: () => { shown = shown < PAGE ? PAGE : shown + PAGE; draw(); } }, `Show ${count(Math.min(found.length, shown < PAGE ? PAGE : shown + PAGE) - own.length)} more`) || "",
    );
  }

  function cells(column, head, range) {
    const { concept } = store.state;
    const value = model.values(column.name, concept)[head];
    const number = h("td", { class: "number" }, column.format(value));
    if (!column.interval) return number;
    const ends = model.interval(column.name, concept, head);
    const said = ends ? `${column.format(ends[0])} to ${column.format(ends[1])}` : "not measured";
    return [
      number,
      h("td", { title: said }, intervalMark(column, value, ends, model.side(column.name, concept, head), range, 92)),
    ];
  }

  function emptyReason(list, concept) {
    if (!model.measured("effect", concept)) return `No effects were measured for ${concept}.`;
    return list === "votes-only"
      ? `No head votes for ${concept} more than the mean head without a measured effect.`
      : `No head has a measured effect on ${concept} without more votes than the mean head.`;
  }

  box.addEventListener("pointerleave", () => ctx.hover(null));
  draw();
  return {
    box,
    hover(name) {
      box.querySelector("tr.hover")?.classList.remove("hover");
      rows.get(name)?.classList.add("hover");
    },
    update(changed) {
      if (["by", "concept", "list"].some((part) => changed.has(part))) draw();
      else if (changed.has("head")) {
        for (const [name, row] of rows) row.setAttribute("aria-selected", String(name === store.state.head));
      }
    },
  };
}
