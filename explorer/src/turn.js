/** Turn a head down: precomputed images, or live ones where a kernel runs. */

import { choice, h } from "./dom.js";
import { plain } from "./format.js";

const LIVE = [-2, -1, 0, 0.5, 1, 2, 4];
const NAMES = { 0: "off", 1: "untouched" };
const factorText = (factor) => (factor in NAMES ? NAMES[factor] : `× ${plain(factor)}`);

export function turnSection(ctx, one) {
  const { model, store, host } = ctx;
  const box = h("section", { class: "turn" });
  const before = h("img", { alt: "", class: "shown" });
  const after = h("img", { alt: "", class: "shown" });
  const status = h("p", { class: "note", "aria-live": "polite" });
  const caption = h("figcaption", {});
  const featured = model.first.featured;
  const live = model.live;
  const request = { words: "content", window: [0, null], factor: null };
  let record = null;
  let running = null;

  const prompt = () => Math.min(store.state.prompt, Math.max(0, featured.length - 1));
  const listed = () => model.first.prompts[featured[prompt()]?.prompt];
  const computed = () => (record?.changed ?? []).filter((own) => own.prompt === featured[prompt()]?.prompt);

  async function show(factor) {
    request.factor = factor;
    store.set({ factor }, { push: false });
    draw();
    const found = computed().find((own) => own.factor === factor && simple());
    if (factor === 1) after.src = before.src;
    else if (found) after.src = found.image;
    else if (live) await run();
    caption.textContent = `${one.short} ${factorText(factor)}`;
    after.alt = `${listed()?.text ?? ""}, ${one.label} ${factorText(factor)}`;
  }

  const simple = () => request.words === "content" && request.window[0] === 0 && request.window[1] === null && !ctx.also().length;

  async function run() {
    running?.abort();
    const own = new AbortController();
    running = own;
    status.textContent = "generating …";
    const asked = { ...request, heads: [one.name, ...ctx.also()], prompt: featured[prompt()].prompt };
    const take = (answer) => {
      if (own.signal.aborted) return;
      after.src = answer.image;
      if (answer.before) before.src = answer.before;
      status.textContent = answer.preview ? "preview of few steps; the whole image follows …" : `as parameters: ${describe(asked)}`;
    };
    await host.run(asked, own.signal, take).then(take, (error) => {
      if (error.name !== "AbortError") status.textContent = error.message;
    });
  }

  const describe = ({ heads, factor, words, window }) =>
    `${heads.join(", ")} × ${plain(factor)}, ${words === "content" ? "every word" : words.join(", ")}, steps ${window[0] + 1}–${window[1] ?? featured[prompt()].calls}`;

  function controls() {
    const own = featured[prompt()];
    const chips = own.words.map((word) => {
      const on = request.words === "content" || request.words.includes(word);
      return h("button", { type: "button", class: "chip", "aria-pressed": String(on), disabled: !live, onclick: () => toggleWord(word) }, word);
    });
    const bound = (label, value, change) =>
      h("input", { type: "number", min: 1, max: own.calls, value, "aria-label": label, disabled: !live, onchange: (event) => change(Number(event.target.value)) });
    return h(
      "div",
      { class: "controls" },
      h("div", { class: "line" }, h("span", { class: "soft" }, "words"), chips),
      h(
        "div",
        { class: "line" },
        h("span", { class: "soft" }, "steps"),
        bound("First step", request.window[0] + 1, (v) => setWindow(v - 1, request.window[1])),
        "to",
        bound("Last step", request.window[1] ?? own.calls, (v) => setWindow(request.window[0], v >= own.calls ? null : v)),
        live ? h("button", { type: "button", class: "button push", onclick: save }, "Save as parameters") : "",
      ),
      ctx.also().length ? h("p", { class: "note" }, `together with ${ctx.also().join(", ")}`) : "",
      live ? "" : h("p", { class: "missing" }, "Other factors, words and steps need a kernel: open this atlas in JupyterLab with hl.explore(…, pipe=pipe)."),
    );
  }

  function toggleWord(word) {
    const all = featured[prompt()].words;
    const now = new Set(request.words === "content" ? all : request.words);
    if (!now.delete(word)) now.add(word);
    request.words = now.size === all.length || !now.size ? "content" : all.filter((own) => now.has(own));
    if (request.factor !== null) show(request.factor);
    else draw();
  }

  function setWindow(start, stop) {
    if (stop !== null && stop <= start) stop = start + 1;
    request.window = [Math.max(0, start), stop];
    if (request.factor !== null) show(request.factor);
  }

  async function save() {
    const asked = { ...request, factor: request.factor ?? 0, heads: [one.name, ...ctx.also()], prompt: featured[prompt()].prompt, save: true };
    const answer = await host.run(asked, new AbortController().signal, () => {}).catch((error) => ({ said: error.message }));
    status.textContent = answer.said;
  }

  function draw() {
    const own = computed();
    const there = live ? [...new Set([...LIVE, ...own.map((each) => each.factor)])] : [...new Set([1, ...own.map((each) => each.factor)])];
    there.sort((a, b) => a - b);
    const title = h("h3", {}, "Turn it down");
    if (!featured.length || (!own.length && !live)) {
      box.replaceChildren(title, h("p", { class: "missing" }, featured.length && record ? "No images were computed for this head. With a kernel it can be turned down live." : record ? "This atlas has numbers only. With a kernel, hl.explore(…, pipe=pipe) turns heads down live." : "Loading …"));
      return;
    }
    const now = request.factor ?? 1;
    box.replaceChildren(
      title,
      h("p", { class: "note" }, `“${listed().text}”: this head’s attention to the words, multiplied`),
      choice("Factor", there.map((factor) => [factor, factorText(factor)]), now, show),
      h("div", { class: "pair" }, h("figure", {}, before, h("figcaption", {}, "untouched")), h("figure", {}, after, caption)),
      controls(),
      status,
    );
  }

  async function begin() {
    draw();
    record = await ctx.load(`heads/${one.name.replaceAll(".", "_")}`).catch(() => ({ changed: [] }));
    if (!featured.length) return draw();
    const image = await ctx.featuredImage(prompt()).catch(() => null);
    if (image) before.src = image;
    before.alt = `${listed().text}, untouched`;
    const wanted = store.state.factor;
    const first = computed().find((own) => own.factor === wanted) ?? computed()[0];
    after.src = before.src;
    if (first) {
      request.factor = first.factor;
      after.src = first.image;
      caption.textContent = `${one.short} ${factorText(first.factor)}`;
      after.alt = `${listed().text}, ${one.label} ${factorText(first.factor)}`;
    } else caption.textContent = "choose a factor";
    draw();
  }
  begin();
  return {
    box,
    update(changed) {
      if (changed.has("prompt")) begin();
      if (changed.has("also")) draw();
    },
  };
}
