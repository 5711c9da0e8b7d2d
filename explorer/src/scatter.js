/** The scatter of heads over two columns; unmeasured heads lie on strips beside it. */

import { drawing, svg } from "./dom.js";
import { colorOf } from "./scale.js";

const NAMED = 5;
const EDGE = { left: 46, right: 16, top: 12, bottom: 30 };

/** Positions along an axis: relevance on the root, for its top is far away. */
export function axis(column, values, from, to) {
  const bend = column.scale === "ratio" ? Math.sqrt : (v) => v;
  const known = Array.from(values ?? []).filter(Number.isFinite).map(bend);
  let low = known.reduce((a, b) => Math.min(a, b), column.scale === "signed" ? 0 : Infinity);
  let high = known.reduce((a, b) => Math.max(a, b), column.scale === "signed" ? 0 : -Infinity);
  if (!known.length) [low, high] = [0, 1];
  if (column.scale === "ratio" || column.scale === "share") low = Math.min(low, 0);
  if (low === high) high = low + 1;
  const room = 0.04 * (high - low);
  if (column.scale === "signed") low -= room;
  high += room;
  const place = (v) => from + ((bend(v) - low) / (high - low)) * (to - from);
  return { place, ticks: ticks(column, low, high), reference: column.reference };
}

function ticks(column, low, high) {
  if (column.scale === "ratio") {
    const all = [0, 1, 2, 4, 8, 16, 32].filter((v) => Math.sqrt(v) <= high);
    return all.map((v) => [v, v === 1 ? "mean" : v === 0 ? "0" : `${v}×`]);
  }
  const step = 10 ** Math.floor(Math.log10((high - low) / 3));
  const size = [1, 2, 5, 10].map((m) => m * step).find((s) => (high - low) / s <= 6);
  const first = Math.ceil(low / size - 1e-9);
  const found = [];
  for (let at = first; at * size <= high; at += 1) found.push(at * size);
  return found.map((v) => [v, column.format(v)]);
}

export function scatterView(ctx) {
  const { model, store } = ctx;
  let axes;
  let points;
  const overlay = svg("svg", { class: "overlay", "aria-hidden": "true" });
  const draw = drawing({ measure: (w) => ctx.scatterHeight(w), paint }, { class: "drawing scatter" });
  draw.box.append(overlay);

  function paint(context, width, height) {
    const { x, y, by, concept } = store.state;
    const ink = ctx.ink();
    const [xs, ys] = [x, y].map((name) => model.values(name, concept));
    const [left, right, top, bottom] = [EDGE.left, width - EDGE.right, EDGE.top, height - EDGE.bottom];
    axes = [
      axis(model.columns.get(x), xs, left, right),
      axis(model.columns.get(y), ys, bottom, top),
    ];
    context.font = `11px ${ctx.font}`;
    context.textBaseline = "middle";
    context.fillStyle = ink.soft;
    context.textAlign = "center";
    let free = -Infinity;
    for (const [value, text] of axes[0].ticks) {
      const place = axes[0].place(value);
      const half = context.measureText(text).width / 2 + 4;
      if (place - half < free || place > right + 1) continue;
      context.fillText(text, place, bottom + 16);
      free = place + half;
    }
    context.textAlign = "right";
    for (const [value, text] of axes[1].ticks) {
      if (axes[1].place(value) >= top - 1) context.fillText(text, left - 8, axes[1].place(value));
    }
    context.fillStyle = ink.line;
    if (axes[0].reference !== null) context.fillRect(axes[0].place(axes[0].reference), top, 1, bottom - top);
    if (axes[1].reference !== null) context.fillRect(left, axes[1].place(axes[1].reference), right - left, 1);
    const scale = model.scale(by);
    const colors = model.values(by, concept);
    const theme = ctx.theme();
    const strip = (v, place, edge) => (Number.isFinite(v) ? place(v) : edge);
    points = model.heads.map(({ index }) => [
      strip(xs[index], axes[0].place, left - 4),
      strip(ys[index], axes[1].place, bottom + 5),
    ]);
    const sure = (index) => [x, y].every((name) => Math.abs(model.side(name, concept, index) ?? 0) === 1);
    for (const { index } of model.heads) {
      const [px, py] = points[index];
      const large = sure(index);
      context.beginPath();
      context.arc(px, py, large ? 4.5 : 2.8, 0, 7);
      const color = colorOf(scale, theme, colors[index]);
      if (color) {
        context.fillStyle = color;
        context.fill();
      }
      context.strokeStyle = color ? ink.halo : ink.line;
      context.lineWidth = large ? 1 : 0.6;
      context.stroke();
    }
    nameOutliers(context, ink, width);
    overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
    mark(null);
  }

  /** Name the heads farthest out along either axis, where there is room. */
  function nameOutliers(context, ink, width) {
    const { x, y, concept } = store.state;
    const far = [...model.order(y, concept).slice(0, NAMED), ...model.order(x, concept).slice(0, NAMED)];
    const placed = [];
    context.fillStyle = ink.strong;
    for (const index of new Set(far)) {
      const [px, py] = points[index];
      if (model.heads[index].name === store.state.head) continue;
      if (![x, y].every((name) => Number.isFinite(model.values(name, concept)[index]))) continue;
      const text = model.heads[index].short;
      const wide = context.measureText(text).width;
      const box = px + 8 + wide < width ? [px + 8, py - 7] : [px - 8 - wide, py - 7];
      const clear = ([bx, by]) =>
        placed.every(([ox, oy, ow]) => bx > ox + ow + 4 || bx + wide + 4 < ox || Math.abs(by - oy) > 13) &&
        points.filter(([qx, qy]) => qx > bx && qx < bx + wide && Math.abs(qy - by) < 6).length < 2;
      if (!clear(box)) continue;
      placed.push([...box, wide]);
      context.textAlign = "left";
      context.fillText(text, ...box);
    }
  }

  function mark(hovered) {
    overlay.replaceChildren();
    for (const [name, kind] of [[store.state.head, "chosen"], [hovered, "hover"]]) {
      const one = name && model.byName.get(name);
      if (!one || !points) continue;
      const [px, py] = points[one.index];
      const { x, y, concept } = store.state;
      for (const [which, column] of [x, y].entries()) {
        const [first, last] = which ? [EDGE.top, Infinity] : [0, overlay.viewBox.baseVal.width];
        const clamp = (v) => Math.min(last, Math.max(first, axes[which].place(v)));
        const ends = model.interval(column, concept, one.index)?.map(clamp);
        if (!ends) continue;
        const line = which ? { x1: px, x2: px, y1: ends[0], y2: ends[1] } : { x1: ends[0], x2: ends[1], y1: py, y2: py };
        overlay.append(svg("line", line));
      }
      overlay.append(svg("circle", { cx: px, cy: py, r: 5.5, class: kind }));
      const right = px > overlay.viewBox.baseVal.width / 2;
      overlay.append(
        svg("text", { x: px + (right ? -10 : 10), y: py - 8, "text-anchor": right ? "end" : "start" }, one.short),
      );
    }
  }

  function at(event) {
    const box = draw.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let best = null;
    let least = event.pointerType === "touch" ? 30 ** 2 : 14 ** 2;
    points?.forEach(([px, py], index) => {
      const far = (px - x) ** 2 + (py - y) ** 2;
      if (far < least) [best, least] = [index, far];
    });
    return best === null ? null : model.heads[best].name;
  }

  draw.box.addEventListener("pointermove", (event) => ctx.hover(at(event)));
  draw.box.addEventListener("pointerleave", () => ctx.hover(null));
  draw.box.addEventListener("click", (event) => {
    const name = at(event);
    if (name) ctx.select(name);
  });
  return {
    box: draw.box,
    stop: draw.stop,
    resize: draw.redraw,
    hover: mark,
    update(changed) {
      if (["x", "y", "by", "concept", "theme"].some((part) => changed.has(part))) draw.redraw();
      else if (changed.has("head")) mark(null);
    },
  };
}
