/** The host in a notebook: records and images are messages, the place is a trait. */

const GONE = "The kernel is busy or gone; wait and click again, or run the cell again.";
const PATIENCE = 60_000; // for a record; images of a large model may take minutes

export function widgetHost(model) {
  const waiting = new Map();
  const listeners = { place: [], theme: [], kernel: [] };
  const tell = (event, value) => listeners[event].forEach((listener) => listener(value));
  let asked = 0;

  const answer = (content) => {
    const own = waiting.get(content.id);
    if (!own) return;
    if (content.preview) return void own.preview?.(content);
    waiting.delete(content.id);
    clearTimeout(own.timer);
    if (content.error) own.reject(new Error(content.error));
    else own.resolve(content);
  };
  model.on("msg:custom", answer);

  function ask(request, preview) {
    asked += 1;
    const id = asked;
    return {
      id,
      reply: new Promise((resolve, reject) => {
        const gone = () => {
          waiting.delete(id);
          tell("kernel", "no kernel");
          reject(new Error(GONE));
        };
        const timer = request.load ? setTimeout(gone, PATIENCE) : null;
        waiting.set(id, { resolve, reject, preview, timer });
        model.send({ ...request, id });
      }),
    };
  }

  const themeNow = () => {
    const { body, documentElement: html } = document;
    const lab = body.dataset.jpThemeLight;
    if (lab) return lab === "true" ? "light" : "dark";
    if (body.classList.contains("vscode-dark")) return "dark";
    if (body.classList.contains("vscode-light")) return "light";
    const colab = html.getAttribute("theme");
    if (colab) return colab === "dark" ? "dark" : "light";
    return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  };
  const watch = new MutationObserver(() => tell("theme", themeNow()));
  watch.observe(document.body, { attributeFilter: ["data-jp-theme-light", "class"] });
  watch.observe(document.documentElement, { attributeFilter: ["theme"] });
  let own = null;
  const placed = () => {
    if (model.get("place") !== own) tell("place", model.get("place"));
  };
  model.on("change:place", placed);

  return {
    kernel: true,
    load: (name) => ask({ load: name }).reply.then((content) => content.record),
    run(request, signal, preview) {
      const { id, reply } = ask({ run: request }, preview);
      signal.addEventListener("abort", () => {
        waiting.delete(id);
        model.send({ cancel: id });
      });
      return reply;
    },
    place(text) {
      if (text === undefined) return model.get("place");
      own = text;
      model.set("place", text);
      model.save_changes();
      return text;
    },
    listen(event, listener) {
      listeners[event].push(listener);
      return () => (listeners[event] = listeners[event].filter((each) => each !== listener));
    },
    theme: themeNow,
    toggle: null,
    address: (text) => text,
    stop() {
      watch.disconnect();
      model.off("msg:custom", answer);
      model.off("change:place", placed);
    },
  };
}
