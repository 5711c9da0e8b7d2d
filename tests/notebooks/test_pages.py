"""Every chapter executed, and the rendered book in a real browser that can reach no other host."""

import json
import shutil
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import nbformat
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from hrvlab.publish.book import render
from hrvlab.publish.chapters import find_chapter
from hrvlab.publish.pages import plan_page
from hrvlab.publish.runs import RunError, execute
from tests.atlas.visits import Visitor, complaints
from tests.atlas.visits import visit as look_around
from tests.notebooks.smallest import FIGURES, smallest

ROOT = Path(__file__).parents[2]
FIGURE = "application/vnd.plotly.v1+json"


@dataclass
class Checkout:
    """A copy of the book's sources, whose chapters are executed on a tiny model."""

    root: Path
    smallest: dict[str, dict[str, Any]]
    pages: Path | None = None

    def executed(self, name, run="tiny", **given):
        """Return the page of a chapter, executed unless it was before."""
        chapter = find_chapter(self.root, name)
        page = plan_page(self.root, chapter, self.smallest[name] | given, run)
        if not page.finished:
            execute(page)
        return page.path


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "book", root / "book", ignore=shutil.ignore_patterns("runs"))
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    for name in ("_config.yml", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    return Checkout(root, smallest(root))


@pytest.fixture(scope="module")
def site(checkout):
    """The whole book, its chapters run on a tiny model, served to this machine only."""
    for name in FIGURES:
        checkout.executed(name)
    checkout.pages = render(checkout.root).parent
    handler = partial(Quiet, directory=checkout.pages)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--window-size=1280,2400",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


def visit(browser, site, page):
    """Open a page; return the addresses it requested and the errors it logged."""
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(f"{site}/{page}")
    WebDriverWait(browser, 60).until(
        lambda b: b.execute_script(
            "return document.readyState === 'complete' && "
            "[...document.querySelectorAll('.hrvlab-figure')]"
            ".every(box => box.querySelector('.plot-container svg.main-svg'))"
        )
    )
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requested = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    errors = [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]
    return requested, errors


@pytest.mark.parametrize("name", FIGURES)
def test_a_chapter_runs_on_any_pipeline_folder(name, checkout):
    cells = nbformat.read(checkout.executed(name), as_version=4).cells
    outputs = [out for cell in cells if cell.cell_type == "code" for out in cell.outputs]
    figures = [out for out in outputs if FIGURE in out.get("data", {})]
    assert len(figures) == FIGURES[name]
    assert all(out["data"][FIGURE]["data"] for out in figures)


def test_a_word_missing_from_the_prompt_stops_the_chapter_before_it_generates(checkout):
    with pytest.raises(RunError, match="zebra"):
        checkout.executed("capture", run="failed", words=["zebra"])


@pytest.mark.browser
@pytest.mark.parametrize(
    "page",
    [
        "index.html",
        "how-to-read-an-hrv.html",
        "reference/relevance.html",
        "runs/atlas/tiny.html",
        "runs/capture/tiny.html",
        "runs/relevance/tiny.html",
        "runs/weakening/tiny.html",
        "runs/steering/tiny.html",
        "runs/disambiguation/tiny.html",
        "runs/editing/tiny.html",
        "runs/miniature/tiny.html",
        "search.html?q=relevance",
    ],
)
def test_a_page_is_complete_without_a_network(browser, site, page):
    requested, errors = visit(browser, site, page)
    assert requested
    foreign = [url for url in requested if not url.startswith((site, "data:", "blob:"))]
    assert not foreign
    assert not errors


@pytest.mark.browser
@pytest.mark.parametrize("chapter", FIGURES)
def test_every_figure_of_a_chapter_is_rendered(browser, site, chapter, tmp_path):
    visit(browser, site, f"runs/{chapter}/tiny.html")
    rendered = browser.find_elements(By.CSS_SELECTOR, ".hrvlab-figure .plot-container")
    assert len(rendered) == FIGURES[chapter]
    assert all(figure.size["height"] > 100 for figure in rendered)
    assert browser.save_screenshot(str(tmp_path / f"{chapter}.png"))


@pytest.mark.browser
def test_the_explorer_of_a_page_passes_the_visit_without_a_server(browser, site, checkout):
    browser.get("about:blank")
    complaints(browser)
    browser.get((checkout.pages / "runs" / "atlas" / "tiny.html").as_uri())
    _, place = look_around(Visitor(browser))
    assert "concept=" in place or "head=" in place
    assert complaints(browser) == []


@pytest.mark.browser
def test_a_menu_changes_what_a_figure_shows(browser, site):
    visit(browser, site, "runs/steering/tiny.html")
    visible = (
        "const box = document.querySelector('.hrvlab-figure');"
        "return box.data.filter(trace => trace.visible !== false).map(trace => trace.name)"
    )
    assert browser.execute_script(visible) == ["Color"]
    browser.execute_script(
        "const box = document.querySelector('.hrvlab-figure');"
        "const button = box.layout.updatemenus[0].buttons[1];"
        "Plotly.restyle(box, ...button.args)"
    )
    assert browser.execute_script(visible) == ["Animals"]


@pytest.mark.browser
def test_formulas_are_typeset(browser, site):
    visit(browser, site, "how-to-read-an-hrv.html")
    WebDriverWait(browser, 30).until(
        lambda b: b.find_elements(By.CSS_SELECTOR, "mjx-container svg")
    )


@pytest.fixture
def emulate(browser):
    """Set what the browser pretends to be, until the test ends."""

    def begin(width=1280, height=900, **media):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)

    yield begin
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})


OVERLAPS = """
const meet = (a, b) =>
  a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
return [...document.querySelectorAll(".hrvlab-figure")].flatMap((box) => {
  const parts = [".gtitle", ".updatemenu-container", ".cartesianlayer .plot", ".modebar"]
    .map((name) => [name, box.querySelector(name)])
    .filter(([, part]) => part && part.getBoundingClientRect().width)
    .map(([name, part]) => [name, part.getBoundingClientRect()]);
  return parts.flatMap(([name, one], at) =>
    parts.slice(at + 1).filter(([, other]) => meet(one, other)).map(([other]) => name + other)
  );
});
"""


@pytest.mark.browser
@pytest.mark.parametrize("chapter", ["capture", "relevance", "weakening"])
def test_nothing_overlaps_on_the_screen_of_a_phone(browser, site, chapter, emulate):
    emulate(width=390, height=844)
    visit(browser, site, f"runs/{chapter}/tiny.html")
    wide, seen = browser.execute_script(
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide <= seen  # figures are scrolled, the page is not
    assert browser.execute_script(OVERLAPS) == []


@pytest.mark.browser
@pytest.mark.parametrize("chapter", ["capture", "weakening"])
def test_figures_are_whole_in_print_and_the_provenance_is_open(browser, site, chapter, emulate):
    visit(browser, site, f"runs/{chapter}/tiny.html")
    emulate(width=700, height=1000, media="print")  # A4 in pixels, less the margins
    drawings = browser.execute_script(
        "return [...document.querySelectorAll('.hrvlab-figure svg.main-svg')].map(drawing => {"
        "const {left, right, height} = drawing.getBoundingClientRect();"
        "return [left, right, height, drawing.hasAttribute('viewBox')] })"
    )
    assert drawings
    for left, right, height, scaled in drawings:
        assert left >= 0 and right <= 700 and height <= 950 and scaled
    table = browser.find_element(By.CSS_SELECTOR, ".hrvlab-provenance table")
    assert table.is_displayed()
    assert "model fingerprint" in table.text


CONTRAST = r"""
const numbers = (color) => (color.match(/[\d.]+/g) || []).map(Number);
const luminance = (color) => {
  const [r, g, b] = numbers(color).map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  for (let e = element; e; e = e.parentElement) {
    const color = getComputedStyle(e).backgroundColor;
    if ((numbers(color)[3] ?? 1) > 0.5) return color;
  }
  return "rgb(255, 255, 255)";
};
const inside = ".xr-wrap *, .hrvlab-provenance *, table.dataframe *";
document.querySelectorAll("details.hrvlab-provenance").forEach((part) => (part.open = true));
return [...document.querySelectorAll(inside)]
  .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()))
  .filter((e) => !["STYLE", "SCRIPT"].includes(e.tagName) && e.getClientRects().length)
  .map((e) => {
    const both = [getComputedStyle(e).color, ground(e)].map(luminance);
    const [dark, light] = both.sort((a, b) => a - b);
    return [e.textContent.trim().slice(0, 30), (light + 0.05) / (dark + 0.05)];
  });
"""


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_datasets_and_provenance_can_be_read_by_day_and_by_night(browser, site, scheme, emulate):
    emulate(features=[{"name": "prefers-color-scheme", "value": scheme}])
    visit(browser, site, "runs/capture/tiny.html")
    seen = browser.execute_script(CONTRAST)
    assert len(seen) > 20
    assert [text for text, contrast in seen if contrast < 4.5] == []
