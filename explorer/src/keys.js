/** Keys, while the explorer has the focus. */

export const HELP = [
  ["arrows", "move between heads, by the screen’s direction"],
  ["Home End", "first and last head of the layer"],
  ["PageUp PageDown", "blocks"],
  ["n p", "next and previous head in the ranking"],
  ["[ ]", "previous and next concept"],
  ["/", "search"],
  ["Enter", "go to the head page"],
  ["Escape", "back"],
  ["Shift-click", "turn another head together with the chosen one"],
  ["?", "this help"],
];

export function listenKeys(shell, ctx, found) {
  const { model, store } = ctx;
  const concept = (by) => {
    if (!model.concepts.length) return;
    const at = model.concepts.indexOf(store.state.concept) + by;
    store.set({ concept: model.concepts[(at + model.concepts.length) % model.concepts.length] });
  };
  const actions = {
    n: () => ctx.step(1),
    p: () => ctx.step(-1),
    "[": () => concept(-1),
    "]": () => concept(1),
    "/": () => found.focus(),
    "?": ctx.help,
    Escape: ctx.undo,
  };
  const pressed = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName);
    if (typing || event.target.closest("dialog") || !actions[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    actions[event.key]();
  };
  shell.addEventListener("keydown", pressed);
  return () => shell.removeEventListener("keydown", pressed);
}
