/** The explorer: header, views, head page; one state, one host. */

import { aboutView } from "./about.js";
import { compareView } from "./compare.js";
import { choice, h, menu, svg } from "./dom.js";
import { finderView } from "./finder.js";
import { gridView } from "./grid.js";
import { headPage } from "./head.js";
import { imagesView } from "./images.js";
import { listenKeys, HELP } from "./keys.js";
import { loadImage } from "./maps.js";
import { Model } from "./model.js";
import { palette } from "./scale.js";
import { scatterView } from "./scatter.js";
import { gridCaption } from "./sentences.js";
import { searchBox } from "./searchbox.js";
import { formatPlace, parsePlace, Store } from "./state.js";
import style from "./style.css";

const TOGETHER = 12;
const VIEWS = [["heads", "Heads"], ["images", "Images"], ["compare", "Compare"], ["about", "About"]];
const SIZES = [["phone", 0], ["mid", 700], ["wide", 1100]];
const NARROW = 0.62; // of the width: a narrower grid has the scatter beside it

/** Show an atlas in an element; returns what takes it away again. */
export async function mount(root, host) {
  const shell = h("div", { class: "hrv" });
  // A shadow keeps the styles of the page away; what stays outside of it is not shown.
  const shadow = root.shadowRoot ?? root.attachShadow({ mode: "open" });
  shadow.replaceChildren(h("style", {}, style), shell);
  root.classList.add("hrvlab-explorer");
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab would take keys for its own
  shell.append(h("p", { class: "loading" }, "Loading the atlas …"));
  let first;
  try {
    first = await host.load("first");
  } catch (error) {
    shell.replaceChildren(h("p", { class: "loading" }, `The atlas cannot be shown: ${error.message}`));
    return () => {};
  }
  const model = new Model(first);
  const begin = parsePlace(host.place(), model);
  const store = new Store(begin.state);
  const live = h("p", { class: "hidden", "aria-live": "polite" });
  const note = h("p", { class: "ignored", hidden: !begin.ignored.length }, `Not understood in the address, and left out: ${begin.ignored.join(", ")}`);
  const loaded = new Map();
  const images = new Map();
  let views = {};
  let page = null;
  let size = "wide";
  let theme = host.theme();
  let also = [];
  let hovered = null;

  const ctx = {
    model,
    store,
    host,
    font: "system-ui, -apple-system, 'Segoe UI', sans-serif",
    lit: false,
    theme: () => theme,
    size: () => size,
    also: () => also,
    ink() {
      const css = getComputedStyle(shell);
      const get = (name) => css.getPropertyValue(name).trim();
      return { strong: get("--ink"), soft: get("--soft"), line: get("--line"), halo: get("--card") };
    },
    load(name) {
      if (!loaded.has(name)) {
        const asked = host.load(name);
        asked.catch(() => loaded.delete(name));
        loaded.set(name, asked);
      }
      return loaded.get(name);
    },
    loadImage,
    async image(prompt) {
      if (!images.has(prompt)) {
        const name = `images/${String(Math.floor(prompt / TOGETHER)).padStart(2, "0")}`;
        images.set(prompt, ctx.load(name).then((record) => loadImage(record.images[prompt % TOGETHER])));
      }
      return images.get(prompt);
    },
    async featuredImage(prompt) {
      return (await ctx.load("featured")).images[prompt];
    },
    scatterHeight: (width) => Math.round(Math.min(340, Math.max(230, 0.75 * width))),
    hover(name) {
      if (name === hovered) return;
      hovered = name;
      for (const view of Object.values(views)) view.hover?.(name);
    },
    select(name) {
      if (store.state.head !== name) also = [];
      store.set({ head: name, factor: null });
    },
    step(by) {
      const { list, concept, by: column, head } = store.state;
      const order = model.list(list, concept, column);
      const at = head ? order.indexOf(model.byName.get(head).index) : -1;
      if (order.length) ctx.select(model.heads[order[Math.min(order.length - 1, Math.max(0, at + by))]].name);
    },
    alsoTurn(name) {
      if (!store.state.head) return ctx.select(name);
      if (name === store.state.head) return undefined;
      also = also.includes(name) ? also.filter((own) => own !== name) : [...also, name];
      page?.update(new Set(["also"]));
      live.textContent = also.length ? `Turned together with ${also.join(", ")}` : "Turned alone";
      return undefined;
    },
    open: () => shell.querySelector(".head-page h2")?.scrollIntoView({ block: "nearest" }),
    undo: () => store.back(),
    redo: () => store.forward(),
    help,
    shell,
  };

  const main = h("div", { class: "views" });
  const side = h("aside", { class: "side-page card", "aria-label": "Head page" });
  const controls = h("div", { class: "controls-bar" });
  const tabs = h("nav", { class: "tabs", "aria-label": "Views" });
  const found = searchBox(ctx);
  const copy = h("button", { type: "button", class: "button", onclick: copyLink }, "Copy link");
  const help_ = h("dialog", { class: "help" }, h("h2", {}, "Keys"), h("dl", {}, HELP.map(([key, text]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, text)])), h("form", { method: "dialog" }, h("button", { class: "button" }, "Close")));
  const nav = h("nav", { class: "nav", "aria-label": "Parts of the atlas" });
  const header = h(
    "header",
    { class: "top" },
    h("h1", {}, "Head atlas ", h("span", { class: "soft" }, model.name)),
    nav,
    found.box,
    h("button", { type: "button", class: "button icon", "aria-label": "Back", title: "Back", onclick: ctx.undo }, "↶"),
    h("button", { type: "button", class: "button icon", "aria-label": "Forward", title: "Forward", onclick: ctx.redo }, "↷"),
    copy,
    h("span", { class: "pill state" }, host.kernel ? (model.live ? "live" : "kernel, no pipeline") : "static page"),
    host.toggle ? h("button", { type: "button", class: "button icon", "aria-label": "Light or dark", title: "Light or dark", onclick: host.toggle }, "◐") : "",
  );
  shell.replaceChildren(header, note, controls, h("div", { class: "body" }, main, side), tabs, live, help_);

  function help() {
    help_.showModal();
  }

  async function copyLink() {
    const text = host.address(formatPlace(store.state, model));
    await navigator.clipboard?.writeText(text).catch(() => {});
    copy.textContent = "Copied";
    live.textContent = `Copied ${text}`;
    setTimeout(() => (copy.textContent = "Copy link"), 1500);
  }

  function drawNav() {
    nav.replaceChildren(...VIEWS.map(([key, text]) => h("button", { type: "button", "aria-current": key === store.state.view ? "page" : null, onclick: () => store.set({ view: key }) }, text)));
    const all = [["grid", "Grid"], ["scatter", "Scatter"], ["finder", "Finder"], ["images", "Images"]];
    const now = store.state.view === "images" ? "images" : store.state.tab;
    tabs.replaceChildren(...all.map(([key, text]) => h("button", { type: "button", "aria-current": key === now ? "page" : null, onclick: () => store.set(key === "images" ? { view: "images", head: store.state.head } : { view: "heads", tab: key, ...(size === "phone" ? { head: null } : {}) }) }, text)));
  }

  function drawControls() {
    const { view, by, concept, order } = store.state;
    controls.hidden = view === "about" || (view !== "heads" && !model.concepts.length);
    const columns = [...model.columns.values()].map((column) => [column.name, column.label]);
    const column = model.columns.get(by);
    controls.replaceChildren(
      view === "heads" || model.concepts.length ? h("span", { class: "soft wide-only" }, view === "heads" ? "Color heads by" : "Concept") : "",
      view === "heads" ? menu("Color heads by", columns, by, (value) => store.set({ by: value, list: value === "effect" ? "effect" : "top" })) : "",
      view === "heads" && model.concepts.length ? h("span", { class: "soft wide-only" }, "for") : "",
      model.concepts.length ? menu("Concept", model.concepts.map((name) => [name, name]), concept, (value) => store.set({ concept: value })) : "",
      ...(view === "heads"
        ? [
            h("span", { class: "soft wide-only" }, "order in a layer"),
            h("div", { class: "wide-only" }, choice("Order in a layer", [["number", "number"], ["value", "value"]], order, (value) => store.set({ order: value }))),
            h("div", { class: "push legend-box" }, legend(column)),
          ]
        : []),
    );
  }

  function legend(column) {
    const scale = model.scale(column.name);
    const colors = palette(theme, scale.kind);
    const [width, height, edge] = [190, 34, 22];
    const x = (t) => edge + t * (width - 2 * edge);
    const bands = 64;
    const bar = Array.from({ length: bands }, (_, at) =>
      svg("rect", { x: x(at / bands), y: 3, width: (width - 2 * edge) / bands + 0.6, height: 11, fill: colors[Math.round((at / (bands - 1)) * (colors.length - 1))] }),
    );
    const ticks = scale.ticks.map(([value, text]) => [
      svg("line", { x1: x(scale.place(value)), x2: x(scale.place(value)), y1: 14, y2: 18 }),
      svg("text", { x: x(scale.place(value)), y: 29, "text-anchor": "middle" }, text),
    ]);
    const reference = column.scale === "ratio" ? "the mean" : "0";
    return h(
      "div",
      { class: "legend" },
      svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `${column.label}: from ${scale.ticks[0][1]} to ${scale.ticks.at(-1)[1]}` }, bar, ticks),
      column.interval
        ? h("span", { class: "keys" }, h("span", {}, h("i", { class: "full" }), `interval excludes ${reference}`), h("span", {}, h("i", { class: "part" }), "does not"), model.all(column.name).some(Number.isNaN) ? h("span", {}, h("i", { class: "none" }), "not measured") : "")
        : h("span", { class: "keys" }, "no intervals known"),
    );
  }

  function stopViews() {
    for (const view of Object.values(views)) view.stop?.();
    views = {};
  }

  function drawViews() {
    stopViews();
    const { view, tab } = store.state;
    shell.dataset.view = view;
    if (view === "images") views.images = imagesView(ctx);
    else if (view === "compare") views.compare = compareView(ctx);
    else if (view === "about") views.about = aboutView(ctx);
    if (view !== "heads") {
      main.replaceChildren(Object.values(views)[0].box);
      return;
    }
    const wanted = size === "phone" ? [tab] : ["grid", "scatter", "finder"];
    const cards = wanted.map((name) => {
      views[name] = { grid: gridView, scatter: scatterView, finder: finderView }[name](ctx);
      return h("section", { class: `card ${name}-card` }, name === "finder" ? "" : headOf(name), views[name].box);
    });
    main.replaceChildren(...cards);
    const wide = model.layers.length > 30;
    main.dataset.grid = wide || size === "phone" ? "wide" : "narrow";
    main.style.setProperty("--grid", wide ? 1 : NARROW);
  }

  const captions = { grid: h("p", { class: "note" }), scatter: h("div", { class: "axes" }) };
  function headOf(name) {
    captions[name] = name === "grid" ? h("p", { class: "note" }) : h("div", { class: "axes" });
    fillCaption(name);
    return h("div", { class: "card-head" }, h("h2", {}, name === "grid" ? "Every head, in the order in which layers run" : "Scatter"), captions[name]);
  }

  function fillCaption(name) {
    if (name === "grid") captions.grid.textContent = gridCaption(ctx);
    else {
      const columns = [...model.columns.values()].map((column) => [column.name, column.label]);
      captions.scatter.replaceChildren(
        h("span", { class: "soft" }, "across"),
        menu("Across", columns, store.state.x, (value) => store.set({ x: value })),
        h("span", { class: "soft" }, "up"),
        menu("Up", columns, store.state.y, (value) => store.set({ y: value })),
        model.main === "relevance" ? h("p", { class: "note" }, `${store.state.concept}. Large dots: both 95 % intervals exclude chance.`) : "",
      );
    }
  }

  function drawPage() {
    const { view, head } = store.state;
    side.hidden = view === "compare" || view === "about" || (size === "phone" && !head) || (size === "mid" && !head);
    shell.dataset.head = head ? "open" : "none";
    page = side.hidden ? null : headPage(ctx, head);
    side.replaceChildren(...(page ? [page.box] : []));
  }

  store.listen((state, changed, how) => {
    if (how !== "none") host.place(formatPlace(state, model), how);
    const drawn = changed.has("view") || (size === "phone" && changed.has("tab"));
    if (drawn) {
      drawViews();
      drawNav();
    } else {
      for (const view of Object.values(views)) view.update(changed);
      if (changed.has("tab")) drawNav();
    }
    if (["view", "by", "concept", "order"].some((part) => changed.has(part))) drawControls();
    if (views.grid && ["by", "concept"].some((part) => changed.has(part))) fillCaption("grid");
    if (views.scatter && ["x", "y", "concept"].some((part) => changed.has(part))) fillCaption("scatter");
    if (["head", "view", "pin"].some((part) => changed.has(part))) drawPage();
    else page?.update(changed);
    if (changed.has("head") && state.head) live.textContent = `${model.byName.get(state.head).label} chosen`;
  });

  function drawAll() {
    shell.dataset.theme = theme;
    shell.dataset.size = size;
    drawNav();
    drawControls();
    drawViews();
    drawPage();
  }

  function sizeOf(width) {
    return SIZES.findLast(([, least]) => width >= least)[0];
  }

  const observer = new ResizeObserver(() => {
    const width = shell.clientWidth;
    if (!width || sizeOf(width) === size) return;
    size = sizeOf(width);
    drawAll();
  });
  size = shell.clientWidth ? sizeOf(shell.clientWidth) : size;
  drawAll();
  observer.observe(shell);
  const stops = [
    () => observer.disconnect(),
    listenKeys(shell, ctx, found),
    host.listen("place", (text) => {
      const { state, ignored } = parsePlace(text, model);
      note.hidden = !ignored.length;
      note.textContent = `Not understood in the address, and left out: ${ignored.join(", ")}`;
      store.take(state);
    }),
    host.listen("theme", (now) => {
      theme = now;
      shell.dataset.theme = now;
      drawControls();
      for (const view of Object.values(views)) view.update(new Set(["theme"]));
      page?.update(new Set(["theme"]));
    }),
    host.listen("kernel", (text) => {
      header.querySelector(".state").textContent = text;
    }),
  ];
  return () => {
    stopViews();
    stops.forEach((stop) => stop());
    shadow.replaceChildren();
  };
}
