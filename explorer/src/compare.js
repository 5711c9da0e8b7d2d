/** Compare: two heads side by side. */

import { h } from "./dom.js";
import { headPage } from "./head.js";

export function compareView(ctx) {
  const { model, store } = ctx;
  const box = h("div", { class: "compare" });
  let pages = [];
  function draw() {
    const { head, pin, concept } = store.state;
    const first = model.order(model.main, concept);
    const one = head ?? model.heads[first[0]].name;
    const other = pin && pin !== one ? pin : model.heads[first.find((own) => model.heads[own].name !== one)].name;
    pages = [one, other].map((name) => headPage(ctx, name, { compact: true }));
    const said = pin && pin !== one ? "The chosen head and the pinned one, on the same concept." : "Pin a head to keep it here; until then, the next most relevant one stands beside the chosen one.";
    box.replaceChildren(h("p", { class: "note" }, said), h("div", { class: "two" }, pages.map((page) => h("div", { class: "card" }, page.box))));
  }
  draw();
  return {
    box,
    update(changed) {
      if (changed.has("head") || changed.has("pin")) draw();
      else pages.forEach((page) => page.update(changed));
    },
  };
}
