/** Where every head's cell is: layers in forward order, as many cells each as it has heads. */

const LARGEST = { wide: 38, tall: 28 };
const SMALLEST = 4;

/** Runs of neighboring layers for which a key is the same. */
export function runs(layers, key) {
  const found = [];
  for (const layer of layers) {
    const last = found.at(-1);
    if (last && last.key === key(layer)) last.to = layer.index;
    else found.push({ key: key(layer), from: layer.index, to: layer.index });
  }
  return found;
}

/**
 * Lay the grid out in a width. Wide: layers run from left to right; tall: from top to bottom.
 * Returns the cell's side, each layer's offset along the run, and the size in pixels.
 */
export function gridLayout(model, width, tall, height = 560) {
  const { layers } = model;
  const most = Math.max(...layers.map((layer) => layer.heads));
  const blocks = runs(layers, (layer) => layer.block);
  const gaps = blocks.length - 1;
  const start = tall ? { x: 26, y: 24 } : { x: 26, y: 24 };
  const end = tall ? 8 : 44;
  const room = width - start.x - 4;
  const fit = tall ? room / most : room / (layers.length + 0.6 * gaps);
  const limit = tall ? LARGEST.tall : Math.min(LARGEST.wide, (height - start.y - end) / most);
  const cell = Math.max(SMALLEST, Math.min(limit, Math.floor(fit * 2) / 2));
  const gap = tall ? 26 : Math.max(8, Math.round(cell * 0.6));
  const offsets = [];
  let along = 0;
  for (const block of blocks) {
    if (offsets.length) along += gap;
    for (let layer = block.from; layer <= block.to; layer += 1) {
      offsets.push(along);
      along += cell;
    }
  }
  const size = tall
    ? { width: start.x + most * cell + 4, height: start.y + along + end }
    : { width: start.x + along + 4, height: start.y + most * cell + end };
  return { cell, offsets, start, tall, most, blocks, ...size };
}

/** The slot of every head in its layer, by number or from the largest value to the smallest. */
export function slots(model, order, values) {
  const found = new Uint16Array(model.size);
  let first = 0;
  for (const layer of model.layers) {
    const own = Array.from({ length: layer.heads }, (_, head) => first + head);
    const key = (head) => (Number.isFinite(values[head]) ? values[head] : -Infinity);
    if (order === "value") own.sort((a, b) => key(b) - key(a) || a - b);
    own.forEach((head, slot) => (found[head] = slot));
    first += layer.heads;
  }
  return found;
}

export function cellOf(layout, layer, slot) {
  const along = layout.offsets[layer];
  const across = slot * layout.cell;
  return layout.tall
    ? [layout.start.x + across, layout.start.y + along]
    : [layout.start.x + along, layout.start.y + across];
}

/** The layer and the slot at a point, by arithmetic; null outside. */
export function hit(layout, model, x, y) {
  const along = layout.tall ? y - layout.start.y : x - layout.start.x;
  const across = layout.tall ? x - layout.start.x : y - layout.start.y;
  const layer = layout.offsets.findLastIndex((offset) => offset <= along);
  if (layer < 0 || along >= layout.offsets[layer] + layout.cell || across < 0) return null;
  const slot = Math.floor(across / layout.cell);
  return slot < model.layers[layer].heads ? { layer, slot } : null;
}

/** Move from a cell by a key; the screen's directions decide. */
export function moved(layout, model, { layer, slot }, key) {
  const last = model.layers.length - 1;
  const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[key];
  const block = layout.blocks.findIndex((own) => own.from <= layer && layer <= own.to);
  let next = { layer, slot };
  if (step) {
    const [x, y] = step;
    next = layout.tall ? { layer: layer + y, slot: slot + x } : { layer: layer + x, slot: slot + y };
  } else if (key === "Home") next.slot = 0;
  else if (key === "End") next.slot = Infinity;
  else if (key === "PageDown") next.layer = layout.blocks[block + 1]?.from ?? last;
  else if (key === "PageUp") {
    next.layer = layer > layout.blocks[block].from ? layout.blocks[block].from : (layout.blocks[block - 1]?.from ?? 0);
  } else return null;
  next.layer = Math.min(last, Math.max(0, next.layer));
  next.slot = Math.min(model.layers[next.layer].heads - 1, Math.max(0, next.slot));
  return next;
}
