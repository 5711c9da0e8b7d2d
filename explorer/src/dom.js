/** Build elements: h("button", {class: "x", onclick: f}, "text", child). */

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child || child === 0));
  return element;
}

export const h = (tag, properties, ...children) =>
  fill(document.createElement(tag), properties, children);

export const svg = (tag, properties, ...children) =>
  fill(document.createElementNS(SVG, tag), properties, children);

/** A menu whose options are [value, text] or [group, [[value, text], …]]. */
export function menu(label, options, value, change) {
  const option = ([key, text]) => h("option", { value: key, selected: key === value }, text);
  const entry = ([key, text]) =>
    Array.isArray(text) ? h("optgroup", { label: key }, text.map(option)) : option([key, text]);
  const select = h(
    "select",
    { "aria-label": label, onchange: () => change(select.value) },
    options.map(entry),
  );
  select.value = value;
  return select;
}

/** Buttons of which one is pressed. */
export function choice(label, options, value, change) {
  const buttons = options.map(([key, text, title]) =>
    h(
      "button",
      { type: "button", "aria-pressed": String(key === value), title, onclick: () => change(key) },
      text,
    ),
  );
  return h("div", { class: "choice", role: "group", "aria-label": label }, buttons);
}

/** A canvas that is drawn anew whenever its width changes, never at width 0. */
export function drawing(draw, properties = {}) {
  const canvas = h("canvas", { "aria-hidden": "true" });
  const box = h("div", { class: "drawing", ...properties }, canvas);
  let last = 0;
  const redraw = () => {
    const width = Math.floor(box.clientWidth);
    if (!width) return;
    last = width;
    const height = draw.measure(width);
    const ratio = globalThis.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    draw.paint(context, width, height);
  };
  const observer = new ResizeObserver(() => {
    if (Math.floor(box.clientWidth) !== last) redraw();
  });
  observer.observe(box);
  return { box, canvas, redraw, stop: () => observer.disconnect() };
}
