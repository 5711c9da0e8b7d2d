/** The host in a page: records inside it or in scripts beside it, the place in its address. */

const SLOW = 400; // milliseconds between replacements of the address; Safari allows few
const REASON = "Images need a kernel: open this atlas in JupyterLab with hl.explore(…, pipe=pipe).";

/** Records that scripts beside the page hand over, and who waits for them. */
const received = new Map();
export function receive({ name }, record) {
  received.set(name, record);
}

export function pageHost(carrier, { owner }) {
  const records = new Map();
  carrier.querySelectorAll("script[data-record]").forEach((script) => records.set(script.dataset.record, script.textContent));
  const first = JSON.parse(records.get("first"));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const listeners = { place: [], theme: [], kernel: [] };
  const tell = (event, value) => listeners[event].forEach((listener) => listener(value));
  const outside = () => {
    const said = document.documentElement.dataset.theme;
    return ["light", "dark"].includes(said) ? said : dark.matches ? "dark" : "light";
  };
  let timer = null;
  let last = null;

  function beside(name) {
    if (received.has(name)) return Promise.resolve(received.get(name));
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = `${first.records}/${name}.js`;
      script.onload = () => resolve(received.get(name));
      script.onerror = () => reject(new Error(`${script.getAttribute("src")} is missing; keep the folder ${first.records} beside the page`));
      document.head.append(script);
    });
  }

  async function load(name) {
    if (name === "first") return first;
    if (records.has(name)) return JSON.parse(records.get(name));
    if (!["inline", "none"].includes(first.records)) return beside(name);
    throw new Error("This atlas has numbers only: what belongs to single heads was left out.");
  }

  function write(text, how) {
    clearTimeout(timer);
    if (how === "push") {
      last = text;
      location.hash = text;
      return;
    }
    timer = setTimeout(() => {
      last = text;
      try {
        history.replaceState(null, "", text);
      } catch {
        location.replace(text); // a frame of srcdoc refuses replaceState
      }
    }, SLOW);
  }

  function place(text, how) {
    if (!owner) return "";
    if (text === undefined) return location.hash.startsWith("#/") ? location.hash : "";
    if (text !== last) write(text, how);
    return text;
  }

  if (owner) {
    addEventListener("hashchange", () => {
      if (location.hash === last) return;
      if (location.hash && !location.hash.startsWith("#/")) return; // a heading of the page
      last = location.hash;
      tell("place", location.hash);
    });
  }
  dark.addEventListener("change", () => tell("theme", outside()));
  new MutationObserver(() => tell("theme", outside())).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  const alone = document.body.children.length <= 2;
  return {
    kernel: false,
    load,
    run: () => Promise.reject(new Error(REASON)),
    place,
    listen(event, listener) {
      listeners[event].push(listener);
      return () => (listeners[event] = listeners[event].filter((own) => own !== listener));
    },
    theme: outside,
    toggle: alone ? () => (document.documentElement.dataset.theme = outside() === "dark" ? "light" : "dark") : null,
    address: (text) => `${location.href.split("#")[0]}${text}`,
  };
}
