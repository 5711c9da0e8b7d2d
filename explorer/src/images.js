/** The prompt view: a lit image, bars of words, steps to scrub, and every word at every step. */

import { h } from "./dom.js";
import { share } from "./format.js";
import { paintMap } from "./maps.js";
import { decode } from "./model.js";
import { colorOf } from "./scale.js";

const OTHER = "everything else";
const DARK = 0.02; // below this share of a cell's attention an image stays dark
const INTERVAL = 350;
const TILE = 56;

/** Shares of attention of one featured prompt in one head. */
export class WordMaps {
  constructor(record, featured, prompt) {
    const codes = decode(record.word_maps);
    this.words = featured[prompt].words;
    [, this.steps, this.count, this.height, this.width] = codes.shape;
    const size = this.steps * this.count * this.height * this.width;
    this.codes = codes.values.subarray(prompt * size, (prompt + 1) * size);
    this.scale = decode(record.word_scale).values[prompt] / 255;
    this.cells = this.height * this.width;
  }

  map(step, word) {
    const at = (step * this.count + word) * this.cells;
    return this.codes.subarray(at, at + this.cells);
  }

  /** Shares of every word and of everything else, at a cell or on average. */
  shares(step, cell) {
    const own = this.words.map((_, word) => {
      const map = this.map(step, word);
      if (cell !== null) return map[cell] * this.scale;
      return (map.reduce((sum, code) => sum + code, 0) / this.cells) * this.scale;
    });
    return [...own, Math.max(0, 1 - own.reduce((sum, v) => sum + v, 0))];
  }

  get most() {
    return this.codes.reduce((most, code) => Math.max(most, code), 0);
  }
}

export function imagesView(ctx) {
  const { model, store } = ctx;
  const box = h("div", { class: "images" });
  const featured = model.first.featured;
  let smooth = false;
  let timer = null;
  let panels = [];
  let drawn = 0;

  const stepNow = () => {
    const { steps } = featured[store.state.prompt] ?? featured[0];
    return Math.min(store.state.step ?? steps.length - 1, steps.length - 1);
  };

  async function panel(prompt, head) {
    const record = await ctx.load(`heads/${head.name.replaceAll(".", "_")}`);
    if (!record.word_maps) throw new Error("No maps of this head were kept.");
    const maps = new WordMaps(record, featured, prompt);
    const address = await ctx.featuredImage(prompt);
    const image = await ctx.loadImage(address);
    const ratio = image.naturalHeight / image.naturalWidth;
    const canvas = h("canvas", { width: 512, height: Math.round(512 * ratio), role: "img" });
    const outline = h("div", { class: "cell", hidden: true });
    const said = h("p", { class: "note" });
    const bars = h("ul", { class: "bars" });
    const frame = h("div", { class: "frame" }, canvas, outline);
    const rows = [...maps.words, OTHER].map((word, at) => {
      const isWord = at < maps.words.length;
      const fill = h("i");
      const number = h("b");
      const pick = () => isWord && store.set({ word: maps.words[at], cell: null });
      const inside = [h("span", {}, word), h("span", { class: "track" }, fill), number];
      const own = isWord
        ? h("button", { type: "button", class: "row", onclick: pick, onpointerenter: () => hoverWord(at), onpointerleave: () => hoverWord(null) }, inside)
        : h("div", { class: "row" }, inside);
      bars.append(h("li", {}, own));
      return { own, fill, number, isWord };
    });
    let hovered = null;
    const chosen = () => {
      const at = maps.words.indexOf(store.state.word);
      return hovered ?? (at >= 0 ? at : strongest());
    };
    const strongest = () => {
      const means = maps.shares(maps.steps - 1, null).slice(0, -1);
      return means.indexOf(Math.max(...means));
    };
    function hoverWord(at) {
      hovered = at;
      paint();
    }
    function paint(cell = store.state.cell) {
      const step = Math.min(stepNow(), maps.steps - 1);
      const word = chosen();
      const values = maps.map(step, word);
      const top = values.reduce((most, code) => Math.max(most, code), 0);
      const ignores = top * maps.scale < DARK;
      paintMap(canvas, image, { values, height: maps.height, width: maps.width, most: ignores ? 1e9 : top }, { smooth });
      canvas.setAttribute("aria-label", `“${model.first.prompts[featured[prompt].prompt].text}”, lit where ${head.label} attends to “${maps.words[word]}”`);
      const shares = maps.shares(step, cell !== null && cell < maps.cells ? cell : null);
      rows.forEach(({ own, fill, number, isWord }, at) => {
        fill.style.width = `${100 * shares[at]}%`;
        number.textContent = share(shares[at]);
        if (isWord) own.setAttribute("aria-pressed", String(at === word));
      });
      const where = cell === null ? "on average over the image" : "at the outlined cell";
      said.textContent = ignores
        ? `At this step the head ignores “${maps.words[word]}” everywhere: the image stays dark. Bars: its attention ${where}.`
        : `Lit: where the head attends to “${maps.words[word]}”; brightest is ${share(top * maps.scale)} of a cell’s attention. Bars: its attention ${where}.`;
      outline.hidden = cell === null || cell >= maps.cells;
      if (!outline.hidden) {
        const [x, y] = [cell % maps.width, Math.floor(cell / maps.width)];
        outline.style.cssText = `left:${(100 * x) / maps.width}%;top:${(100 * y) / maps.height}%;width:${100 / maps.width}%;height:${100 / maps.height}%`;
      }
    }
    const cellAt = (event) => {
      const { left, top, width, height } = canvas.getBoundingClientRect();
      const x = Math.floor(((event.clientX - left) / width) * maps.width);
      const y = Math.floor(((event.clientY - top) / height) * maps.height);
      return x >= 0 && y >= 0 && x < maps.width && y < maps.height ? y * maps.width + x : null;
    };
    frame.addEventListener("pointermove", (event) => paint(cellAt(event) ?? store.state.cell));
    frame.addEventListener("pointerleave", () => paint());
    frame.addEventListener("click", (event) => {
      const cell = cellAt(event);
      store.set({ cell: cell === store.state.cell ? null : cell });
    });
    paint();
    const grid = `${maps.height}²: ${maps.cells} cells`;
    return {
      maps,
      head,
      paint,
      prompt,
      box: h("div", { class: "prompt" }, frame, h("div", { class: "side" }, h("h3", {}, head.label, " ", h("span", { class: "pill" }, grid)), bars, said)),
    };
  }

  function scrubber() {
    const own = featured[store.state.prompt];
    const last = own.steps.length - 1;
    const range = h("input", { type: "range", min: 0, max: last, value: stepNow(), "aria-label": "Denoiser call", oninput: (event) => store.set({ step: Number(event.target.value) }, { push: false }) });
    const text = h("output", {});
    const play = h("button", { type: "button", class: "button", "aria-label": "Play", onclick: toggle }, "▶");
    function toggle() {
      if (timer) stop();
      else {
        timer = setInterval(() => {
          const next = stepNow() + 1;
          store.set({ step: next > last ? 0 : next }, { push: false });
        }, INTERVAL);
      }
      label();
    }
    function label() {
      range.value = stepNow();
      text.textContent = `step ${own.steps[stepNow()] + 1} of ${own.calls}`;
      play.textContent = timer ? "⏸" : "▶";
      play.setAttribute("aria-label", timer ? "Pause" : "Play");
    }
    label();
    return { box: h("div", { class: "scrub" }, play, range, text), label };
  }

  function stop() {
    clearInterval(timer);
    timer = null;
  }

  function tiles({ maps }) {
    const { steps } = featured[store.state.prompt];
    const most = maps.most || 1;
    const scale = { kind: "sequential", place: (v) => v / most };
    const canvas = h("canvas", { role: "img", "aria-label": "Map of every word at every step kept, on one color scale" });
    const ratio = globalThis.devicePixelRatio || 1;
    const left = 84;
    const width = left + steps.length * (TILE + 6);
    const height = maps.words.length * (TILE + 6) + 20;
    [canvas.width, canvas.height] = [width * ratio, height * ratio];
    canvas.style.cssText = `width:${width}px;height:${height}px`;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    context.font = `12px ${ctx.font}`;
    const ink = ctx.ink();
    const theme = ctx.theme();
    const word = maps.words.indexOf(store.state.word);
    maps.words.forEach((text, row) => {
      const y = row * (TILE + 6);
      context.fillStyle = row === word ? ink.strong : ink.soft;
      context.textAlign = "right";
      context.fillText(text.slice(0, 12), left - 10, y + TILE / 2 + 4);
      steps.forEach((_, step) => {
        const x = left + step * (TILE + 6);
        const values = maps.map(step, row);
        const [w, t] = [TILE / maps.width, TILE / maps.height];
        values.forEach((code, at) => {
          context.fillStyle = colorOf(scale, theme, code);
          context.fillRect(x + (at % maps.width) * w, y + Math.floor(at / maps.width) * t, w + 0.3, t + 0.3);
        });
        if (step === stepNow() && row === word) {
          context.strokeStyle = ink.strong;
          context.lineWidth = 2;
          context.strokeRect(x - 1, y - 1, TILE + 2, TILE + 2);
        }
      });
    });
    context.fillStyle = ink.soft;
    context.textAlign = "center";
    steps.forEach((step, at) => context.fillText(step + 1, left + at * (TILE + 6) + TILE / 2, height - 6));
    canvas.addEventListener("click", (event) => {
      const step = Math.floor((event.offsetX - left) / (TILE + 6));
      const row = Math.floor(event.offsetY / (TILE + 6));
      if (step >= 0 && step < steps.length && row < maps.words.length) store.set({ step, word: maps.words[row] });
    });
    return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Tiles" }, canvas);
  }

  let scrub;
  const tileBox = h("section", { class: "card" });

  async function draw() {
    const mine = (drawn += 1);
    if (!featured.length) {
      box.replaceChildren(h("section", { class: "card blank" }, h("h2", {}, "No maps in this atlas"), h("p", {}, "Maps of every word come from a capture: hl.explore(hrv, capture=hl.capture(pipe, prompt, maps=[…])).")));
      return;
    }
    const { prompt, other, pin } = store.state;
    const head = model.byName.get(store.state.head) ?? model.heads[model.order(model.main, store.state.concept)[0]];
    const wanted = [[Math.min(prompt, featured.length - 1), head]];
    if (other !== null && featured[other]) wanted.push([other, head]);
    else if (pin && pin !== head.name && store.state.view === "compare") wanted.push([wanted[0][0], model.byName.get(pin)]);
    const made = await Promise.all(wanted.map(([p, own]) => panel(p, own))).catch((error) => error);
    if (mine !== drawn) return;
    if (made instanceof Error) {
      box.replaceChildren(h("section", { class: "card blank" }, h("h2", {}, "No maps of this head"), h("p", {}, made.message)));
      return;
    }
    panels = made;
    scrub = scrubber();
    const second = featured.length > 1 && h("button", { type: "button", class: "button", "aria-pressed": String(other !== null), onclick: () => store.set({ other: other === null ? (prompt + 1) % featured.length : null }) }, other === null ? "Lock a second prompt beside" : "One prompt only");
    const texts = featured.map((own, at) => [at, model.first.prompts[own.prompt].text]);
    box.replaceChildren(
      h(
        "section",
        { class: "card" },
        h(
          "div",
          { class: "bar" },
          texts.length > 1
            ? h("div", { class: "choice", role: "group", "aria-label": "Prompt" }, texts.map(([at, text]) => h("button", { type: "button", "aria-pressed": String(at === wanted[0][0]), onclick: () => store.set({ prompt: at, word: null, cell: null, other: null }) }, `“${text}”`)))
            : h("h2", {}, `“${texts[0][1]}”`),
        ),
        h("p", { class: "note" }, "Hover a word: the image is lit where this head looks at it. Hover the image: the bars are the words that this cell looks at."),
        h("div", { class: "prompts", "data-count": panels.length }, panels.map((own) => own.box)),
        h("div", { class: "bar" }, scrub.box, second || "", h("button", { type: "button", class: "button", "aria-pressed": String(smooth), onclick: () => { smooth = !smooth; draw(); } }, "Smooth")),
      ),
      tileBox,
    );
    drawTiles();
  }

  function drawTiles() {
    if (!panels.length) return;
    const { maps } = panels[0];
    tileBox.replaceChildren(h("h2", {}, "Every word at every step kept"), h("p", { class: "note" }, `one color scale for all tiles, up to ${share(maps.most * maps.scale)}; a tile is the head’s ${maps.height} × ${maps.width} map`), tiles(panels[0]));
  }

  draw();
  return {
    box,
    stop,
    update(changed) {
      if (["head", "prompt", "other", "pin", "theme"].some((part) => changed.has(part))) draw();
      else if (["step", "word", "cell"].some((part) => changed.has(part))) {
        scrub?.label();
        panels.forEach((own) => own.paint());
        if (changed.has("step") || changed.has("word")) drawTiles();
      }
    },
  };
}
