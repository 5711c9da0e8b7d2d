/** The head page: what the head stands for, when, on which prompts, and what turning it down does. */

import { h } from "./dom.js";
import { ratio, share } from "./format.js";
import { intervalMark, rangeOf, stepLine } from "./marks.js";
import { decode } from "./model.js";
import { paintMap } from "./maps.js";
import { headSentence } from "./sentences.js";
import { turnSection } from "./turn.js";

const SHOWN = 6;
const NONE = 65535;

const section = (title, note, ...content) =>
  h("section", {}, h("h3", {}, title), note && h("p", { class: "note" }, note), ...content);
const missing = (text) => h("p", { class: "missing" }, text);

/** Draw a head's page; parts that are loaded later replace their outlines. */
export function headPage(ctx, name, { compact = false } = {}) {
  const { model, store } = ctx;
  const box = h("article", { class: "head-page", "aria-label": "Head" });
  let every = false;
  if (!name) {
    box.append(
      h("div", { class: "blank" }, h("h2", {}, "No head chosen"), h("p", {}, "Click a cell, a dot or a row to see what that head attends to, when, how surely, and what changes when it is turned down."), h("p", { class: "soft" }, "Arrow keys move between heads; n and p follow the ranking.")),
    );
    return { box, update() {} };
  }
  const one = model.byName.get(name);
  const sentence = h("p", { class: "lead" });
  const concepts = h("div");
  const when = h("div");
  const prompts = h("div");
  const turned = compact ? null : turnSection(ctx, one);
  box.append(
    h(
      "header",
      {},
      ctx.size() === "phone" && !compact && h("button", { type: "button", class: "button", "aria-label": "Back to the views", onclick: () => store.set({ head: null }) }, "←"),
      h("h2", {}, one.label),
      one.layer.grid ? h("span", { class: "pill" }, `grid ${one.layer.grid}²`) : "",
      h("span", { class: "push" }),
      !compact && [
        h("button", { type: "button", class: "button", "aria-label": "Previous in rank", title: "Previous in rank (p)", onclick: () => ctx.step(-1) }, "‹"),
        h("button", { type: "button", class: "button", "aria-label": "Next in rank", title: "Next in rank (n)", onclick: () => ctx.step(1) }, "›"),
        h("button", { type: "button", class: "button", "aria-pressed": String(store.state.pin === name), title: "Keep this head for Compare", onclick: () => store.set({ pin: store.state.pin === name ? null : name }) }, "Pin"),
      ],
    ),
    sentence,
    h("div", { class: "parts" }, concepts, wordList(), when, prompts, turned?.box ?? ""),
  );

  function wordList() {
    const words = model.topWords(one.index);
    if (!words.length) return "";
    const most = words[0][1];
    return section(
      "Which words",
      "words that it attends to most, mean share of its attention",
      h(
        "ol",
        { class: "words" },
        words.slice(0, compact ? 4 : 8).map(([word, own]) =>
          h("li", {}, h("span", {}, word), h("i", { style: `width:${Math.max(2, (56 * own) / most)}px` }), h("b", {}, share(own))),
        ),
      ),
    );
  }

  function drawSentence() {
    sentence.replaceChildren(...headSentence(ctx, one).map(([text, bold]) => (bold ? h("strong", {}, text) : text)));
  }

  function drawConcepts() {
    if (!model.concepts.length) return;
    const shownColumns = ["relevance", "effect"].filter((c) => model.columns.has(c)).map((c) => model.columns.get(c));
    const relevance = model.concepts.map((concept) => model.values("relevance", concept)[one.index]);
    const sorted = model.concepts.map((_, at) => at).sort((a, b) => relevance[b] - relevance[a]);
    const own = model.concepts.indexOf(store.state.concept);
    const rows = every ? sorted : [...new Set([own, ...sorted.slice(0, SHOWN)])].sort((a, b) => relevance[b] - relevance[a]);
    const ranges = shownColumns.map((column) => {
      const values = rows.map((row) => model.values(column.name, model.concepts[row])[one.index]);
      const ends = rows.map((row) => model.interval(column.name, model.concepts[row], one.index));
      return rangeOf(column, values, ends);
    });
    const cells = (row) =>
      shownColumns.map((column, at) => {
        const concept = model.concepts[row];
        const value = model.values(column.name, concept)[one.index];
        const ends = model.interval(column.name, concept, one.index);
        const said = ends ? `${column.format(ends[0])} to ${column.format(ends[1])}` : "";
        return [
          h("td", { class: "number" }, column.format(value)),
          h("td", { title: said }, intervalMark(column, value, ends, model.side(column.name, concept, one.index), ranges[at], 84)),
        ];
      });
    const surely = shownColumns.some((column) => column.interval) ? "; lines: 95 % intervals over prompts" : "";
    concepts.replaceChildren(
      section(
        "Which concepts",
        `${shownColumns.map((column) => column.label).join(", ")}${surely}`,
        h(
          "table",
          { class: "concepts" },
          h("colgroup", {}, h("col"), shownColumns.map(() => [h("col", { class: "value" }), h("col", { class: "interval" })])),
          h("thead", { class: "hidden" }, h("tr", {}, h("th", { scope: "col" }, "concept"), shownColumns.map((c) => [h("th", { scope: "col" }, c.label), h("th", { scope: "col" }, "interval")]))),
          h(
            "tbody",
            {},
            rows.map((row) =>
              h("tr", { "aria-current": row === own ? "true" : null }, h("th", { scope: "row" }, h("button", { type: "button", class: "name", onclick: () => store.set({ concept: model.concepts[row] }) }, model.concepts[row])), cells(row)),
            ),
          ),
        ),
        model.concepts.length > rows.length || every
          ? h("button", { type: "button", class: "more", "aria-expanded": String(every), onclick: () => { every = !every; drawConcepts(); } }, every ? "Show fewer" : `All ${model.concepts.length} concepts`)
          : "",
      ),
    );
  }

  async function drawLoaded() {
    const { concept } = store.state;
    const record = await ctx.load(`heads/${name.replaceAll(".", "_")}`).catch((error) => error);
    if (!box.isConnected && !compact) return;
    if (record instanceof Error) {
      when.replaceChildren(section("When, and on which prompts", null, missing(record.message)));
      prompts.replaceChildren();
      return;
    }
    const row = model.concepts.indexOf(concept);
    const steps = decode(record.steps);
    if (!model.concepts.length) when.replaceChildren();
    else if (steps) {
      const calls = steps.shape[1];
      const own = Array.from(steps.values.subarray(row * calls, (row + 1) * calls));
      when.replaceChildren(section("When", `relevance for ${concept} at each of ${calls} denoiser calls; no intervals`, stepLine(own, 1, (v) => `${ratio(v)}×`)));
    } else when.replaceChildren(section("When", null, missing("Votes by denoiser call are not part of this atlas.")));
    prompts.replaceChildren(await promptSection(ctx, one, record, concept));
  }

  function draw() {
    drawSentence();
    drawConcepts();
    if (!when.firstChild && model.concepts.length) when.append(section("When", null, h("div", { class: "outline" })));
    drawLoaded();
  }
  draw();
  return {
    box,
    update(changed) {
      if (changed.has("concept")) draw();
      else if (changed.has("theme")) drawLoaded();
      turned?.update(changed);
    },
  };
}

const LIT = { true: "Show the images as they are", false: "Light them where this head looks" };

/** Prompts by decile of the head's share of votes, each a draw: images if there are, or texts. */
async function promptSection(ctx, one, record, concept) {
  const { model } = ctx;
  const drawn = decode(record.decile_prompt);
  const listed = model.first.prompts;
  const count = model.first.decile_prompts;
  const title = `Prompts by decile of its share of votes for ${concept}`;
  if (!drawn) {
    if (!model.first.panel) return section("Prompts", null, missing("This atlas has numbers only: no prompts were kept."));
    const all = listed.slice(0, 20).map((_, at) => at);
    return section("Prompts", record.maps ? "lit where the head attends to the word named" : null, h("div", { class: "thumbs" }, await Promise.all(all.map((at) => thumb(ctx, one, record, at)))));
  }
  const [, tenths, each] = drawn.shape;
  const row = model.concepts.indexOf(concept);
  const shares = decode(record.decile_share).values;
  const images = model.first.panel > 0;
  const columns = [];
  for (let tenth = 0; tenth < tenths; tenth += 1) {
    const at = (row * tenths + tenth) * each;
    const own = Array.from(drawn.values.subarray(at, at + (images ? 2 : each))).filter((p) => p !== NONE);
    const share100 = shares[row * tenths + tenth];
    if (own.length) columns.push([own, share100]);
  }
  if (images) {
    const box = h("div", { class: "deciles" });
    const fill = async () => box.replaceChildren(...(await Promise.all(columns.map(async ([own, part]) => h("div", { class: "decile" }, await Promise.all(own.map((p) => thumb(ctx, one, record, p, ctx.lit))), h("span", {}, share(part).replace(/\.\d/, "")))))));
    await fill();
    const lit = h("button", { type: "button", class: "more", "aria-pressed": String(ctx.lit), onclick: () => {
      ctx.lit = !ctx.lit;
      lit.setAttribute("aria-pressed", String(ctx.lit));
      lit.textContent = LIT[ctx.lit];
      fill();
    } }, LIT[ctx.lit]);
    return section(title, `left: the tenth of ${count} prompts with the largest share; two of each tenth, drawn at random`, box, record.maps ? lit : "");
  }
  const pick = [0, 4, 9].filter((at) => at < columns.length);
  return section(
    title,
    `three at random from the highest, the middle and the lowest tenth of ${count} prompts`,
    h("table", { class: "texts" }, h("tbody", {}, pick.map((at) => h("tr", {}, h("th", { scope: "row" }, ["highest", "fifth", "lowest"][pick.indexOf(at)], h("small", {}, share(columns[at][1]))), h("td", {}, columns[at][0].map((p) => h("div", {}, listed[p].text))))))),
  );
}

/** A prompt's image, lit where the head attends to the word that it attends to most. */
export async function thumb(ctx, one, record, prompt, lit = true) {
  const { model } = ctx;
  const text = model.first.prompts[prompt].text;
  const image = await ctx.image(prompt);
  const maps = lit ? decode(record?.maps) : null;
  const featured = model.first.featured.findIndex((own) => own.prompt === prompt);
  const open = () => ctx.store.set(featured >= 0 ? { view: "images", prompt: featured } : {});
  const canvas = h("canvas", { width: 96, height: 96, "aria-hidden": "true" });
  const word = decode(record?.map_word)?.values[prompt];
  const scale = decode(record?.map_scale)?.values[prompt];
  const said = maps ? `“${text}”: most to “${text.split(/\s+/)[word] ?? "?"}”, at most ${share(scale)}` : `“${text}”`;
  const box = h(featured >= 0 ? "button" : "span", { class: "thumb", title: said, type: featured >= 0 ? "button" : null, onclick: featured >= 0 ? open : null }, h("span", { class: "hidden" }, said), canvas);
  const [, height, width] = maps?.shape ?? [];
  const own = maps?.values.subarray(prompt * height * width, (prompt + 1) * height * width);
  paintMap(canvas, image, own && { values: own, height, width, most: 255, strength: Math.min(1, scale / 0.25) });
  return box;
}

