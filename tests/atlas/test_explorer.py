"""The explorer in a real browser, over file://, that can reach no other host."""

import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import hrvlab as hl
from hrvlab.atlas import explorer_data, record_panel, turn_heads, write_atlas
from hrvlab.results import read_result
from tests.atlas.visits import Visitor, complaints, keyboard_visit, open_browser, settle, visit

ROOT = Path(__file__).parents[2]
EXPLORER = ROOT / "explorer"
BUILT = ROOT / "hrvlab" / "atlas" / "built"
TOOLS = EXPLORER / "node_modules"
AXE = TOOLS / "axe-core" / "axe.min.js"
NO_TOOLS = "node or the explorer's tools are not installed; make explorer installs them"
needs_tools = pytest.mark.skipif(not (shutil.which("node") and TOOLS.exists()), reason=NO_TOOLS)
PROMPTS = ["a red car in the forest", "a blue bird", "a green tree"]
FEW = {"num_inference_steps": 3, "progress": False}


def test_the_built_files_are_of_the_source_as_it_is():
    digest = sha256()
    for path in sorted((EXPLORER / "src").iterdir()):
        digest.update(f"{path.name}\n".encode() + path.read_bytes())
    for built in BUILT.iterdir():
        assert f"Source: {digest.hexdigest()} */" in built.read_text()[:200], "run make explorer"


def test_the_built_files_are_small():
    assert all(path.stat().st_size <= 80_000 for path in BUILT.iterdir())


@needs_tools
def test_building_the_source_again_gives_the_built_files(tmp_path):
    subprocess.run(["node", "build.mjs", str(tmp_path)], cwd=EXPLORER, check=True)
    for built in BUILT.iterdir():
        assert (tmp_path / built.name).read_bytes() == built.read_bytes()


@needs_tools
@pytest.mark.parametrize("script", ["lint", "test"])
def test_the_source_passes_its_own_checks(script):
    done = subprocess.run(
        ["npm", "run", "-s", script], cwd=EXPLORER, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def data():
    pipe = hl.load("miniature")
    votes, effects = read_result("votes").data, read_result("head-effects").data
    hrv = votes.hrv.relevance()
    top = int(hrv.sel(concept="Color").values.argmax())
    return explorer_data(
        votes=votes,
        effects=effects,
        capture=record_panel(pipe, PROMPTS, **{**FEW, "num_inference_steps": 8}),
        changed=turn_heads(pipe, PROMPTS[0], heads=[top], factors=[-2.0, 0.0], **FEW),
    )


@pytest.fixture(scope="module")
def page(data, tmp_path_factory):
    return write_atlas(data, tmp_path_factory.mktemp("atlas") / "atlas.html")[0]


@pytest.fixture(scope="module")
def browser():
    driver = open_browser()
    yield driver
    driver.quit()


def opened(browser, page, place=""):
    browser.get("about:blank")
    complaints(browser)
    browser.get(f"{page.as_uri()}{place}")
    return Visitor(browser)


@pytest.mark.browser
def test_one_file_passes_the_visit_without_a_network(browser, page):
    visitor = opened(browser, page)
    first, place = visit(visitor)
    settle()
    assert first == "up 7 · head 7" and "head=up.7.7" in place
    again = opened(browser, page, place)
    assert again.head() == first
    assert complaints(browser) == []


@pytest.mark.browser
def test_the_browsers_back_takes_back_a_choice(browser, page):
    visitor = opened(browser, page)
    names = [e.text for e in visitor.all(".finder tbody tr .name")[:2]]
    for name in names:
        visitor.click(".finder tbody tr .name", name)
        visitor.wait.until(lambda _, name=name: visitor.head() == name)
    browser.back()
    visitor.wait.until(lambda _: visitor.head() == names[0])
    assert complaints(browser) == []


@pytest.mark.browser
def test_everything_can_be_done_by_keyboard(browser, page):
    keyboard_visit(opened(browser, page))
    assert complaints(browser) == []


@pytest.mark.browser
def test_unknown_parts_of_an_address_are_named(browser, page):
    visitor = opened(browser, page, "#/heads?head=up.99.1&concept=Color")
    assert "head=up.99.1" in visitor.one(".ignored").text
    assert visitor.one("select[aria-label='Concept']").get_attribute("value") == "Color"


@pytest.mark.browser
def test_numbers_of_the_page_are_those_of_the_data(browser, page, data):
    visitor = opened(browser, page, "#/heads?concept=Color")
    row = data.first["concepts"].index("Color")
    relevance = data.first["arrays"]["relevance"][row]
    shown = [e.text for e in visitor.all(".finder tbody tr td:nth-child(4)")]
    best = np.sort(relevance)[::-1][: len(shown)]
    assert [float(text.strip("×")) for text in shown] == pytest.approx(best, abs=0.0051)


@pytest.mark.browser
def test_records_beside_a_page_are_loaded_when_they_are_opened(browser, data, tmp_path):
    page, folder = write_atlas(data, tmp_path / "big.html", limit=1000)
    assert (folder / "heads" / "up_7_7.js").exists()
    visitor = opened(browser, page, "#/heads?concept=Color&head=up.7.7")
    visitor.one(".side-page .steps svg")
    visitor.one(".turn .pair img")
    assert complaints(browser) == []
    shutil.rmtree(folder / "heads")
    visitor = opened(browser, page, "#/heads?concept=Color&head=up.7.6")
    assert "is missing; keep the folder" in visitor.one(".side-page .missing").text


@pytest.mark.browser
@pytest.mark.parametrize(
    "width", [*(pytest.param(w, marks=pytest.mark.full) for w in (1440, 800)), 390]
)
def test_nothing_but_tables_scrolls_sideways(browser, page, width):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        for view in ("heads", "images", "compare", "about"):
            browser.get("about:blank")
            browser.get(f"{page.as_uri()}#/{view}?concept=Color&head=up.7.7")
            settle()
            wide, seen = browser.execute_script(
                "const {scrollWidth, clientWidth} = document.documentElement;"
                "return [scrollWidth, clientWidth]"
            )
            assert wide <= seen, view
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@needs_tools
@pytest.mark.browser
@pytest.mark.parametrize(
    ("width", "theme"),
    [
        (1440, "light"),
        pytest.param(1440, "dark", marks=pytest.mark.full),
        pytest.param(800, "light", marks=pytest.mark.full),
        pytest.param(390, "light", marks=pytest.mark.full),
        pytest.param(390, "dark", marks=pytest.mark.full),
    ],
)
def test_axe_finds_nothing_serious(browser, page, width, theme):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
    try:
        for view in ("heads", "images", "compare", "about"):
            browser.get("about:blank")
            browser.get(f"{page.as_uri()}#/{view}?concept=Color&head=up.7.7")
            settle()
            browser.execute_script(AXE.read_text())
            found = browser.execute_async_script(
                "const done = arguments[0];"
                "axe.run(document, {resultTypes: ['violations']}).then((r) => done(r.violations"
                ".filter((v) => ['serious', 'critical'].includes(v.impact))"
                ".map((v) => [v.id, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 120))])))"
            )
            assert found == [], view
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def sized(layers, heads, concepts=34):
    """Vectors of the shape of a large model; the numbers are random."""
    count, rng = layers * heads, np.random.default_rng(0)
    values = rng.lognormal(-1, 1.2, (concepts, count))
    position = np.arange(count)
    coords = {
        "concept": [f"Concept {number}" for number in range(concepts)],
        "head_position": position,
        "block": ("head_position", np.where(position < count // 2, "down", "up")),
        "layer": ("head_position", position // heads),
        "block_layer": ("head_position", position // heads % -(-layers // 2)),
        "head": ("head_position", position % heads),
        "grid": ("head_position", np.full(count, 32)),
    }
    return xr.DataArray(
        values / values.mean(1, keepdims=True), dims=("concept", "head_position"), coords=coords
    )


def test_the_first_page_of_a_large_model_is_small(tmp_path):
    hrv = sized(70, 20)
    measures = {name: hrv for name in ("relevance, low", "relevance, high", "effect", "attention")}
    page = write_atlas(explorer_data(hrv, measures=measures), tmp_path / "large.html")[0]
    assert page.stat().st_size <= 3_000_000
