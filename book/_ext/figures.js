/* Render every figure of the page from the data in its element. */
document.querySelectorAll(".hrvlab-figure").forEach((box) => {
  const { data, layout, frames } = JSON.parse(box.querySelector("script").textContent);
  const options = { responsive: true, displaylogo: false };
  // On narrow screens the bar of buttons would cover titles.
  if (window.innerWidth < 700) options.displayModeBar = false;
  // With its shape told, a drawing can be scaled; pages.css does so in print.
  const tellShape = () => {
    const { width, height } = box._fullLayout;
    box.style.setProperty("--shape", `${width} / ${height}`);
    box.querySelectorAll("svg.main-svg").forEach((drawing) => {
      drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    });
  };
  Plotly.newPlot(box, { data, layout, frames, config: options }).then(() => {
    tellShape();
    box.on("plotly_afterplot", tellShape);
  });
});
