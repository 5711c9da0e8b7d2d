/** The head grid: a canvas of cells, an overlay for hover and selection, and a grid for readers. */

import { drawing, h } from "./dom.js";
import { cellOf, gridLayout, hit, moved, runs, slots } from "./layout.js";
import { colorOf } from "./scale.js";
import { describeHead } from "./sentences.js";

const UNSURE = 0.46; // side of a cell whose interval holds the reference

export function gridView(ctx) {
  const { model, store } = ctx;
  let layout;
  let slot;
  let bySlot;
  const hover = h("div", { class: "ring hover", hidden: true });
  const chosen = h("div", { class: "ring chosen", hidden: true });
  const cell = h("div", { role: "gridcell", tabindex: "0", class: "reader" });
  const reader = h(
    "div",
    { role: "grid", "aria-label": "Heads by layer", "aria-rowcount": model.layers.length },
    h("div", { role: "row" }, cell),
  );
  const tip = h("div", { class: "tip", hidden: true });
  const draw = drawing({ measure, paint }, { class: "drawing grid" });
  draw.box.append(hover, chosen, reader, tip);

  const values = () => model.values(store.state.by, store.state.concept);

  function measure(width) {
    layout = gridLayout(model, width, ctx.size() === "phone");
    return layout.height;
  }

  function arrange() {
    slot = slots(model, store.state.order, values());
    bySlot = model.layers.map((layer) => new Uint16Array(layer.heads));
    model.heads.forEach((one) => (bySlot[one.layer.index][slot[one.index]] = one.index));
  }

  function paint(context) {
    arrange();
    const theme = ctx.theme();
    const ink = ctx.ink();
    paintLabels(context, ink);
    const { by, concept } = store.state;
    const scale = model.scale(by);
    const numbers = values();
    const line = layout.cell > 8 ? 1 : 0.5;
    const inner = layout.cell - line;
    model.heads.forEach((one) => {
      const [x, y] = cellOf(layout, one.layer.index, slot[one.index]);
      const color = colorOf(scale, theme, numbers[one.index]);
      if (!color) {
        context.strokeStyle = ink.line;
        context.lineWidth = 1;
        context.strokeRect(x + 0.5, y + 0.5, inner - 1, inner - 1);
        return;
      }
      const small = model.side(by, concept, one.index) === 0;
      const side = small ? Math.max(2, Math.round(inner * UNSURE)) : inner;
      const inset = (inner - side) / 2;
      context.fillStyle = color;
      context.fillRect(x + inset, y + inset, side, side);
    });
    mark(chosen, store.state.head);
    name();
  }

  function paintLabels(context, ink) {
    const { cell: side, offsets, start, tall } = layout;
    context.font = `600 12px ${ctx.font}`;
    context.fillStyle = ink.strong;
    context.textBaseline = "alphabetic";
    const from = (layer) => (tall ? start.y : start.x) + offsets[layer];
    for (const block of layout.blocks) {
      context.textAlign = "left";
      if (tall) context.fillText(block.key, 0, from(block.from) - 8);
      else context.fillText(block.key, from(block.from), start.y - 9);
    }
    context.font = `11px ${ctx.font}`;
    context.fillStyle = ink.soft;
    const every = side >= 20 ? 1 : side >= 9 ? 5 : 10;
    context.textAlign = "right";
    if (!tall) {
      for (let head = 0; head < layout.most; head += every) {
        context.fillText(head, start.x - 7, start.y + (head + 0.5) * side + 4);
      }
    }
    for (const layer of model.layers) {
      if (layer.number % every) continue;
      if (tall) context.fillText(layer.number, start.x - 7, from(layer.index) + side / 2 + 4);
    }
    context.textAlign = "center";
    if (tall) return;
    const under = start.y + layout.most * side;
    for (const layer of model.layers) {
      if (layer.number % every === 0) context.fillText(layer.number, from(layer.index) + side / 2, under + 15);
    }
    for (const run of runs(model.layers, (layer) => `${layer.block} ${layer.grid}`)) {
      const grid = model.layers[run.from].grid;
      if (!grid) continue;
      const [left, right] = [from(run.from) + 1, from(run.to) + side - 2];
      context.fillStyle = ink.line;
      context.fillRect(left, under + 22, right - left, 1);
      context.fillStyle = ink.soft;
      const text = `${grid}²`;
      if (context.measureText(text).width < right - left + 8) context.fillText(text, (left + right) / 2, under + 36);
    }
  }

  function mark(ring, headName) {
    const one = headName && model.byName.get(headName);
    ring.hidden = !one || !layout;
    if (ring.hidden) return;
    const [x, y] = cellOf(layout, one.layer.index, slot[one.index]);
    ring.style.transform = `translate(${x}px, ${y}px)`;
    ring.style.width = ring.style.height = `${layout.cell - 1}px`;
  }

  function name() {
    const one = model.byName.get(store.state.head) ?? model.heads[0];
    cell.setAttribute("aria-label", describeHead(ctx, one));
    cell.setAttribute("aria-selected", String(one.name === store.state.head));
  }

  function at(event) {
    const box = draw.canvas.getBoundingClientRect();
    const found = layout && hit(layout, model, event.clientX - box.left, event.clientY - box.top);
    return found ? model.heads[bySlot[found.layer][found.slot]] : null;
  }

  draw.box.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "touch") ctx.hover(at(event)?.name ?? null);
  });
  draw.box.addEventListener("pointerleave", () => ctx.hover(null));
  draw.box.addEventListener("click", (event) => {
    const one = at(event);
    if (!one) return;
    if (event.shiftKey || event.ctrlKey || event.metaKey) ctx.alsoTurn(one.name);
    else ctx.select(one.name);
    cell.focus({ preventScroll: true });
  });
  cell.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || !layout) return;
    if (event.key === "Enter") ctx.open();
    const one = model.byName.get(store.state.head) ?? model.heads[0];
    const next = moved(layout, model, { layer: one.layer.index, slot: slot[one.index] }, event.key);
    if (!next) return;
    event.preventDefault();
    event.stopPropagation();
    ctx.select(model.heads[bySlot[next.layer][next.slot]].name);
  });

  return {
    box: draw.box,
    stop: draw.stop,
    resize: draw.redraw,
    hover(headName) {
      mark(hover, headName);
      tip.hidden = !headName || !layout || ctx.size() === "phone";
      if (tip.hidden) return;
      const one = model.byName.get(headName);
      const [x, y] = cellOf(layout, one.layer.index, slot[one.index]);
      const column = model.columns.get(store.state.by);
      tip.textContent = `${one.label}  ${column.format(values()[one.index])}`;
      const right = x > layout.width / 2;
      tip.style.transform = `translate(${right ? x - 8 : x + layout.cell + 8}px, ${y}px) translate(${right ? "-100%" : "0"}, -20%)`;
    },
    update(changed) {
      if (["by", "concept", "order", "theme"].some((part) => changed.has(part))) draw.redraw();
      else if (changed.has("head")) {
        mark(chosen, store.state.head);
        name();
      }
    },
  };
}
