"""The scripted visit of an explorer, the same for a page, the book, and JupyterLab."""

import json
import shutil
import time

from selenium import webdriver
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE = 30
ROOT = "document.querySelector('.hrvlab-explorer')?.shadowRoot"


def open_browser():
    """Start a browser that finds no other host than this machine."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--window-size=1440,1000",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(
        options=options, service=webdriver.ChromeService(shutil.which("chromedriver"))
    )


class Visitor:
    """Someone who looks around in an explorer."""

    def __init__(self, browser):
        self.browser = browser
        self.wait = WebDriverWait(browser, PATIENCE, poll_frequency=0.05)
        self.wait.until(lambda _: self.all(".hrv .grid canvas"))

    def all(self, selector):
        """Find elements within the explorer, whose styles and elements are its own."""
        return self.browser.execute_script(
            f"const root = {ROOT}; return root ? [...root.querySelectorAll(arguments[0])] : []",
            selector,
        )

    def one(self, selector, text=None):
        """Wait for an element that is shown, with a text in it if given."""

        def found(_):
            shown = [e for e in self.all(selector) if e.is_displayed()]
            return next((e for e in shown if text is None or text in e.text), None)

        return self.wait.until(found)

    def click(self, selector, text=None):
        element = self.one(selector, text)
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def head(self):
        return self.one(".side-page .head-page h2").text

    def read(self, script, *arguments):
        return self.browser.execute_script(f"const root = {ROOT}; return {script}", *arguments)

    def until(self, script):
        """Wait until a script says true."""
        self.wait.until(lambda _: self.read(script))


def visit(visitor, *, changed=True, address=True):
    """Find the head most relevant to Color, open it, scrub, hover, turn it down, go back."""
    menu = visitor.one("select[aria-label='Concept']")
    visitor.browser.execute_script(
        "arguments[0].value = 'Color'; arguments[0].dispatchEvent(new Event('change'))", menu
    )
    first = visitor.one(".finder tbody tr .name").text
    visitor.click(".finder tbody tr .name")
    visitor.wait.until(lambda _: visitor.head() == first)
    said = visitor.one(".lead").text
    assert "For Color" in said and "rank 1 of" in said
    if changed:
        visitor.one(".turn .pair img")
        visitor.until("[...root.querySelectorAll('.turn .pair img')].every(i => i.naturalWidth)")
        images = "[...root.querySelectorAll('.turn .pair img')].map(i => i.src)"
        visitor.click(".turn .choice button", "untouched")
        before, after = visitor.read(images)
        assert before == after
        visitor.click(".turn .choice button", "× −2")
        visitor.until(f"new Set({images}).size === 2")
    place = visitor.read("location.hash") if address else None
    if address:
        visitor.until("location.hash.includes('head=')")
        place = visitor.read("location.hash")
    look_at_words(visitor)
    visitor.click(".nav button", "Heads")
    visitor.wait.until(lambda _: visitor.head() == first)
    return first, place


def look_at_words(visitor):
    """Scrub through the steps of an image, and hover its words and cells."""
    visitor.click(".nav button", "Images")
    canvas = visitor.one(".frame canvas")
    pixels = "root.querySelector('.frame canvas').toDataURL()"
    words = visitor.all(".bars button.row")
    visitor.browser.execute_script(
        "arguments[0].dispatchEvent(new PointerEvent('pointerenter'))", words[0]
    )
    one = visitor.read(pixels)
    visitor.browser.execute_script(
        "arguments[0].dispatchEvent(new PointerEvent('pointerenter'))", words[-1]
    )
    assert visitor.read(pixels) != one
    bars = "[...root.querySelectorAll('.bars b')].map(b => b.textContent).join()"
    everywhere = visitor.read(bars)
    visitor.browser.execute_script(
        "const {left, top, width, height} = arguments[0].getBoundingClientRect();"
        "arguments[0].dispatchEvent(new PointerEvent('pointermove', {bubbles: true,"
        "clientX: left + width * 0.55, clientY: top + height * 0.55}))",
        canvas,
    )
    assert visitor.read(bars) != everywhere
    step = visitor.one(".scrub output").text
    visitor.one(".scrub input").send_keys(Keys.HOME)
    visitor.wait.until(lambda _: visitor.one(".scrub output").text != step)


def keyboard_visit(visitor):
    """Do without a pointer: search, arrows, ranking, concept, back."""
    cell = visitor.all("[role=gridcell]")[0]
    cell.send_keys("/")
    field = visitor.read("root.activeElement")
    field.send_keys("up 7 7", Keys.ENTER)
    visitor.wait.until(lambda _: visitor.head() == "up 7 · head 7")
    cell = visitor.all("[role=gridcell]")[0]
    cell.send_keys(Keys.ARROW_LEFT)
    visitor.wait.until(lambda _: visitor.head() == "up 6 · head 7")
    label = cell.get_attribute("aria-label")
    assert "up 6 · head 7" in label and "rank" in label
    cell.send_keys("n")
    visitor.wait.until(lambda _: visitor.head() != "up 6 · head 7")
    concept = "root.querySelector('select[aria-label=Concept]').value"
    before = visitor.read(concept)
    cell.send_keys("]")
    visitor.wait.until(lambda _: visitor.read(concept) != before)
    cell.send_keys(Keys.ESCAPE)
    visitor.wait.until(lambda _: visitor.read(concept) == before)


def complaints(browser):
    """Return the errors of the console, and the requests to anything but the page's own files."""
    errors = [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    local = ("file:", "data:", "blob:", "chrome:", "about:", "http://127.0.0.1")
    return errors + [url for url in asked if not url.startswith(local)]


def settle():
    """Wait for what replaces the address with a delay."""
    time.sleep(0.5)
