/** The field that searches heads, concepts and words. */

import { h } from "./dom.js";
import { search } from "./search.js";

let fields = 0;

export function searchBox(ctx) {
  const { model, store } = ctx;
  fields += 1;
  const id = `hrv-hits-${fields}`;
  const list = h("ul", { id, role: "listbox", class: "hits", "aria-label": "Found", hidden: true });
  const input = h("input", {
    type: "search",
    role: "combobox",
    "aria-expanded": "false",
    "aria-controls": id,
    "aria-autocomplete": "list",
    "aria-label": "Search a head, a concept or a word",
    placeholder: "head, concept or word   /",
    oninput: draw,
    onkeydown: keys,
    onblur: () => setTimeout(close, 150),
  });
  let hits = [];
  let at = 0;

  function close() {
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function draw() {
    const { found, near } = search(model, input.value);
    hits = found.length ? found : near;
    at = 0;
    const nothing = !found.length && input.value.trim();
    list.replaceChildren(
      ...(nothing ? [h("li", { role: "option", "aria-disabled": "true", class: "soft" }, near.length ? "No head of that name. The nearest:" : "Nothing is called so.")] : []),
      ...hits.map((hit, own) => h("li", { role: "option", id: `${id}-${own}`, "aria-selected": String(own === at), onpointerdown: () => take(hit) }, hit.text, h("span", { class: "soft" }, hit.kind))),
    );
    list.hidden = !input.value.trim();
    input.setAttribute("aria-expanded", String(!list.hidden));
  }

  function take(hit) {
    if (hit.kind === "concept") store.set({ concept: hit.value, view: "heads" });
    else ctx.select(hit.value);
    input.value = "";
    close();
  }

  function keys(event) {
    event.stopPropagation();
    if (event.key === "Escape") {
      input.value = "";
      close();
      ctx.shell.querySelector(".reader")?.focus({ preventScroll: true });
    } else if (event.key === "Enter" && hits[at]) take(hits[at]);
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      at = Math.min(hits.length - 1, Math.max(0, at + (event.key === "ArrowDown" ? 1 : -1)));
      list.querySelectorAll("[id]").forEach((item, own) => item.setAttribute("aria-selected", String(own === at)));
      input.setAttribute("aria-activedescendant", `${id}-${at}`);
    }
  }

  return { box: h("div", { class: "search" }, input, list), focus: () => input.focus() };
}
