"""How fast the explorer is in a headless browser, for three sizes of models, beside plotly.

It needs Debian's chromium and chromium-driver.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import plotly.graph_objects as go
import typer
import xarray as xr
from rich.console import Console
from rich.table import Table
from selenium import webdriver

import hrvlab as hl
from hrvlab.atlas import explorer_data, turn_heads, write_atlas
from hrvlab.results import read_result

CONCEPTS = 34
# Blocks, their layers and the heads of each layer.
SIZES: Mapping[str, Sequence[tuple[str, int, int]]] = {
    "SDXL, 1,300 heads": [("down", 4, 10), ("down", 20, 20), ("mid", 10, 20), ("up", 30, 20),
                          ("up", 6, 10)],
    "FLUX.1, 1,368 heads": [("double", 19, 24), ("single", 38, 24)],
}  # fmt: skip
# The work that an action causes, and the time until its frame was shown.
MEASURE = """
const [done, action] = [arguments[1], new Function("root", arguments[0])];
const root = document.querySelector(".hrvlab-explorer")?.shadowRoot;
const start = performance.now();
action(root);
const work = performance.now() - start;
requestAnimationFrame(() => setTimeout(() => done([work, performance.now() - start])));
"""
ACTIONS = {
    "another concept": """
        const menu = root.querySelector(".hrv select[aria-label=Concept]");
        menu.selectedIndex = (menu.selectedIndex + 1) % menu.options.length;
        menu.dispatchEvent(new Event("change"));""",
    "another color": """
        const menu = root.querySelector(".hrv select[aria-label='Color heads by']");
        menu.selectedIndex = (menu.selectedIndex + 1) % menu.options.length;
        menu.dispatchEvent(new Event("change"));""",
    "hover": """
        const {left, top} = root.querySelector(".hrv .grid canvas").getBoundingClientRect();
        const at = {clientX: left + 60 + 200 * Math.random(), clientY: top + 99 * Math.random()};
        root.querySelector(".hrv .grid").dispatchEvent(
          new PointerEvent("pointermove", {...at, bubbles: true}));""",
    "choose a head": """
        const rows = root.querySelectorAll(".hrv .finder tbody tr");
        rows[Math.floor(Math.random() * rows.length)].click();""",
    "next in rank, by key": """
        root.querySelector(".hrv [role=gridcell]").dispatchEvent(
          new KeyboardEvent("keydown", {key: "n", bubbles: true}));""",
    "order by value": """
        [...root.querySelectorAll(".hrv [aria-label='Order in a layer'] button")]
          .find((button) => button.getAttribute("aria-pressed") === "false").click();""",
}  # fmt: skip


def shaped(blocks: Sequence[tuple[str, int, int]]) -> xr.DataArray:
    """Make random vectors for the layers of a model."""
    layers = [(block, heads) for block, count, heads in blocks for _ in range(count)]
    numbers: dict[str, int] = {}
    rows = []
    for index, (block, heads) in enumerate(layers):
        numbers[block] = numbers.get(block, -1) + 1
        rows += [(block, numbers[block], index, head) for head in range(heads)]
    values = np.random.default_rng(0).lognormal(-1, 1.2, (CONCEPTS, len(rows)))
    columns = zip(("block", "block_layer", "layer", "head"), zip(*rows, strict=True), strict=True)
    return xr.DataArray(
        values / values.mean(1, keepdims=True),
        dims=("concept", "head_position"),
        coords={
            "concept": [f"Concept {number}" for number in range(CONCEPTS)],
            "head_position": np.arange(len(rows)),
            **{name: ("head_position", np.array(own)) for name, own in columns},
        },
    )


def start_browser() -> webdriver.Chrome:
    """Start a headless browser."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1440,1000"):
        options.add_argument(argument)
    service = webdriver.ChromeService(str(shutil.which("chromedriver")))
    return webdriver.Chrome(options=options, service=service)


def first_paint(browser: webdriver.Chrome, page: Path) -> float:
    """Open a page, and return the milliseconds until something was painted."""
    browser.get("about:blank")
    browser.get(page.as_uri())
    time.sleep(1)
    painted = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    return float(browser.execute_script(f"return {painted}"))


def measure(browser: webdriver.Chrome, action: str, times: int) -> tuple[float, float, float]:
    """Repeat an action; return medians of work and of the time to its frame, and the 95th one."""
    found = []
    for _ in range(times):
        found.append(browser.execute_async_script(MEASURE, action))
        time.sleep(0.02)
    work, frame = (sorted(each) for each in zip(*found, strict=True))
    return statistics.median(work), statistics.median(frame), frame[int(0.95 * (times - 1))]


def plotly_page(hrv: xr.DataArray, path: Path) -> Path:
    """Write a heat map of plotly with the same cells."""
    layer, head = hrv["layer"].values, hrv["head"].values
    grid = np.full((head.max() + 1, layer.max() + 1), np.nan)
    grid[head, layer] = hrv.values[0]
    go.Figure(go.Heatmap(z=grid)).write_html(path, include_plotlyjs=True)
    return path


def main(
    times: Annotated[int, typer.Option(help="Repetitions of every action.")] = 50,
    live: Annotated[bool, typer.Option(help="Also time turning a head down.")] = False,
) -> None:
    """Measure first paint and interactions, and plotly's heat map of the same grid."""
    votes = read_result("votes").data
    atlases = {
        "miniature, 128 heads": explorer_data(
            votes=votes, effects=read_result("head-effects").data
        ),
        **{
            name: explorer_data(hrv, measures={"another": hrv, "a third": hrv - 1})
            for name, hrv in ((name, shaped(blocks)) for name, blocks in SIZES.items())
        },
    }
    table = Table("atlas", "what", "work, ms", "to the frame, ms", "95th percentile")
    with tempfile.TemporaryDirectory() as scratch:
        browser = start_browser()
        try:
            for name, data in atlases.items():
                page = write_atlas(data, Path(scratch) / "atlas.html", limit=20_000_000)[0]
                size = page.stat().st_size / 1e6
                paint = first_paint(browser, page)
                table.add_row(name, f"first paint ({size:.2f} MB)", "", f"{paint:.0f}", "")
                for what, action in ACTIONS.items():
                    cells = [f"{value:.1f}" for value in measure(browser, action, times)]
                    table.add_row("", what, *cells)
            hrv = shaped(SIZES["SDXL, 1,300 heads"])
            page = plotly_page(hrv, Path(scratch) / "plotly.html")
            paint = first_paint(browser, page)
            size = page.stat().st_size / 1e6
            table.add_row("plotly, 1,300 heads", f"first paint ({size:.2f} MB)", "", f"{paint:.0f}")
            recolor = (
                "const box = document.querySelector('.plotly-graph-div');"
                "Plotly.restyle(box, {z: [box.data[0].z]})"
            )
            cells = [f"{value:.1f}" for value in measure(browser, recolor, times)]
            table.add_row("", "another concept", *cells)
        finally:
            browser.quit()
    Console(width=110).print(table)
    if live:
        pipe = hl.load("miniature")
        for steps, what in ((4, "preview"), (20, "final")):
            call = {"num_inference_steps": steps, "progress": False}
            turned, plain = [], []
            for _ in range(5):
                begin = time.perf_counter()
                turn_heads(pipe, "a red car", heads=[100], factors=[-2.0], **call)
                middle = time.perf_counter()
                hl.generate(pipe, "a red car", **call)
                turned.append(middle - begin)
                plain.append(time.perf_counter() - middle)
            own, usual = statistics.median(turned), statistics.median(plain)
            Console().print(f"{what}, {steps} steps: {own:.2f} s, a plain image {usual:.2f} s")


if __name__ == "__main__":
    typer.run(main)
