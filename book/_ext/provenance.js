/* Open the provenance of a page while it is printed. */
const paper = window.matchMedia("print");
const folded = [...document.querySelectorAll(".hrvlab-provenance:not([open])")];
const open = () => folded.forEach((part) => (part.open = paper.matches));
paper.addEventListener("change", open);
if (paper.matches) open();
