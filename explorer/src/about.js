/** About: provenance, definitions, and a download of what is shown. */

import { h } from "./dom.js";
import { count } from "./format.js";

/** The table of all heads for the concept shown, with labels, as text. */
export function asTable(model, concept) {
  const names = [...model.columns.values()].flatMap(({ name, interval }) => (interval ? [name, `${name}_low`, `${name}_high`] : [name]));
  const rows = model.heads.map((one) =>
    [one.name, one.layer.block, one.layer.number, one.head, one.layer.grid, ...names.map((name) => {
      const base = model.columns.has(name) ? name : name.replace(/_(low|high)$/, "");
      const value = model.values(base, concept, name.slice(base.length))[one.index];
      return Number.isFinite(value) ? value : "";
    })].join(","),
  );
  const head = ["head", "block", "block_layer", "number", "grid", ...names].join(",");
  return [`# ${model.name}, ${concept}`, head, ...rows].join("\n");
}

export function aboutView(ctx) {
  const { model, store } = ctx;
  const { provenance } = model.first;
  const box = h("div", { class: "about card" });
  function download() {
    const { concept } = store.state;
    const address = URL.createObjectURL(new Blob([asTable(model, concept)], { type: "text/csv" }));
    const link = h("a", { href: address, download: `${model.name}-${concept}.csv`.replace(/[^\w.-]+/g, "-") });
    link.click();
    URL.revokeObjectURL(address);
  }
  const term = (name, text) => [h("dt", {}, name), h("dd", {}, text)];
  box.append(
    h("h2", {}, `About this atlas of ${model.name}`),
    h("p", {}, `${count(model.size)} heads in ${model.layers.length} layers, ${model.concepts.length} concepts${model.first.voted ? `, votes from ${count(model.first.voted)} prompts` : ""}${model.first.panel ? `, images of ${model.first.panel} prompts` : ""}.`),
    h("h3", {}, "What the numbers are"),
    h(
      "dl",
      {},
      [...model.columns.values()].map((column) => term(column.label, `${column.about}.${column.interval ? " Lines and ranges: 95 % intervals of a bootstrap over prompts." : " No interval is known."}`)),
      term("full and small cells", "A full cell: the interval excludes the reference (the mean head, or 0). A small one: it does not. An outline: not measured, which is not zero."),
      term("decile", "Prompts sorted by the head’s share of votes for a concept, in ten equal parts; those shown are drawn at random, so that they are not only the best ones."),
    ),
    h("h3", {}, "Where they come from"),
    h("dl", { class: "provenance" }, Object.entries(provenance).map(([name, text]) => term(name.replaceAll("_", " "), text))),
    h("p", {}, h("button", { type: "button", class: "button", onclick: download }, "Download the heads of this concept (CSV)")),
  );
  return { box, update() {} };
}
