/** Small charts in SVG: an interval, a line over steps. */

import { h, svg } from "./dom.js";

/** A value and its interval, on an axis that its neighbors share. */
export function intervalMark(column, value, ends, side, range, width = 110) {
  const bend = column.scale === "ratio" ? Math.sqrt : (v) => v;
  const [low, high] = range.map(bend);
  const place = (v) => 4 + Math.min(1, Math.max(0, (bend(Math.max(v, range[0])) - low) / (high - low || 1))) * (width - 8);
  const tone = column.scale === "signed" ? (side === 0 || side === null ? "unsure" : side > 0 ? "more" : "less") : "sure";
  const parts = [];
  if (column.reference !== null) {
    const at = place(column.reference);
    parts.push(svg("line", { x1: at, x2: at, y1: 0, y2: 16, class: "axis" }));
  }
  if (Number.isFinite(value)) {
    if (ends) parts.push(svg("line", { x1: place(ends[0]), x2: place(ends[1]), y1: 8, y2: 8, class: tone }));
    parts.push(svg("circle", { cx: place(value), cy: 8, r: 3.4, class: tone }));
  }
  return svg("svg", { class: "mark", viewBox: `0 0 ${width} 16`, width, height: 16, "aria-hidden": "true" }, parts);
}

/** The range that all intervals of a column fit into. */
export function rangeOf(column, values, ends) {
  const known = [...values, ...ends.filter(Boolean).flat()].filter(Number.isFinite);
  const reference = column.reference === null ? [] : [column.reference];
  const low = Math.min(...known, ...reference, column.scale === "signed" ? Infinity : 0);
  return known.length ? [low, Math.max(...known, ...reference)] : [0, 1];
}

/** A line over denoiser calls, with a reference. */
export function stepLine(values, reference, format) {
  const [width, height, left] = [360, 74, 38];
  const most = Math.max(...values.filter(Number.isFinite), 2 * reference);
  const x = (at) => left + (at / Math.max(1, values.length - 1)) * (width - left - 6);
  const y = (v) => height - 18 - (v / most) * (height - 26);
  let path = "";
  values.forEach((v, at) => {
    if (!Number.isFinite(v)) return;
    const pen = path && Number.isFinite(values[at - 1]) ? "L" : "M";
    path += `${pen}${x(at).toFixed(1)} ${y(v).toFixed(1)}`;
  });
  const label = (v, text) => svg("text", { x: left - 7, y: y(v) + 4, "text-anchor": "end" }, text);
  return h(
    "div",
    { class: "steps" },
    svg(
      "svg",
      { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `From ${format(values[0])} in the first step to ${format(values.at(-1))} in the last` },
      svg("line", { x1: left, x2: width - 6, y1: y(reference), y2: y(reference), class: "axis" }),
      label(reference, "mean"),
      most > 2.5 * reference ? label(most, format(most)) : null,
      svg("path", { d: path, class: "line" }),
      svg("text", { x: left, y: height - 2 }, "noise"),
      svg("text", { x: width - 6, y: height - 2, "text-anchor": "end" }, "image"),
    ),
  );
}
