"""The rendered book in a real browser that can reach no other host."""

import json
import shutil
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from hrvlab.publish.book import render
from hrvlab.publish.chapters import find_chapter
from hrvlab.publish.runs import execute
from tests.notebooks.smallest import FIGURES, smallest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The whole book, its chapters run on a tiny model, served to this machine only."""
    root = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "book", root / "book", ignore=shutil.ignore_patterns("runs"))
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    shutil.copy(ROOT / "_config.yml", root)
    for name, given in smallest(root).items():
        execute(root, find_chapter(root, name), given, name="tiny")
    handler = partial(Quiet, directory=render(root).parent)
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


@pytest.mark.parametrize(
    "page",
    [
        "index.html",
        "how-to-read-an-hrv.html",
        "reference/relevance.html",
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


@pytest.mark.parametrize("chapter", FIGURES)
def test_every_figure_of_a_chapter_is_rendered(browser, site, chapter, tmp_path):
    visit(browser, site, f"runs/{chapter}/tiny.html")
    rendered = browser.find_elements(By.CSS_SELECTOR, ".hrvlab-figure .plot-container")
    assert len(rendered) == FIGURES[chapter]
    assert all(figure.size["height"] > 100 for figure in rendered)
    assert browser.save_screenshot(str(tmp_path / f"{chapter}.png"))


def test_a_menu_changes_what_a_figure_shows(browser, site):
    visit(browser, site, "runs/relevance/tiny.html")
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


def test_formulas_are_typeset(browser, site):
    visit(browser, site, "how-to-read-an-hrv.html")
    WebDriverWait(browser, 30).until(
        lambda b: b.find_elements(By.CSS_SELECTOR, "mjx-container svg")
    )
