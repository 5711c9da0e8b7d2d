/* Render every figure of the page from the data in its element. */
document.querySelectorAll(".hrvlab-figure").forEach((box) => {
  const { data, layout, frames } = JSON.parse(box.querySelector("script").textContent);
  const options = { responsive: true, displaylogo: false };
  Plotly.newPlot(box, { data, layout, frames, config: options });
});
