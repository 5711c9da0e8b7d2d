"""The explorer in JupyterLab, with a kernel behind it."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.atlas.visits import Visitor, complaints, keyboard_visit, open_browser, visit

pytestmark = [pytest.mark.browser, pytest.mark.full]
CODE = """
import hrvlab as hl
from hrvlab.atlas import record_panel
from hrvlab.results import read_result
pipe = hl.load("miniature")
call = {"num_inference_steps": 10}
panel = record_panel(pipe, ["a red car in the forest", "a blue bird"], progress=False, **call)
votes, effects = read_result("votes").data, read_result("head-effects").data
atlas = hl.explore(votes=votes, effects=effects, capture=panel, pipe=pipe, **call)
atlas
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": CODE, "outputs": []}
    book = {
        "cells": [{**cell, "execution_count": None}],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (folder / "atlas.ipynb").write_text(json.dumps(book))
    port = free_port()
    root = str(Path(__file__).parents[2])
    search = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    options = [
        "--no-browser",
        "--allow-root",
        f"--ServerApp.port={port}",
        "--IdentityProvider.token=",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options, "--LabApp.expose_app_in_browser=True"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": search},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            urlopen(f"{address}/api")
            break
        except OSError:
            time.sleep(0.2)
    yield f"{address}/lab/tree/atlas.ipynb"
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="module")
def visitor(lab):
    browser = open_browser()
    browser.get(lab)
    ready = (
        "const own = window.jupyterapp?.shell?.currentWidget?.sessionContext;"
        "return own?.session?.kernel?.status === 'idle'"
    )
    for _ in range(300):
        if browser.execute_script(ready):
            break
        time.sleep(0.2)
    complaints(browser)
    browser.execute_script("jupyterapp.commands.execute('notebook:run-all-cells')")
    browser.set_script_timeout(120)
    for _ in range(600):
        if browser.execute_script("return document.querySelector('.hrvlab-explorer') !== null"):
            break
        time.sleep(0.2)
    yield Visitor(browser)
    browser.quit()


def test_the_visit_of_a_page_passes_with_a_kernel(visitor):
    first, _ = visit(visitor, address=False)
    assert first == "up 7 · head 7"


def test_the_keyboard_is_the_explorers_while_it_has_the_focus(visitor):
    keyboard_visit(visitor)
    cells = visitor.read("jupyterapp.shell.currentWidget.content.widgets.length")
    assert cells == 1  # notebook shortcuts such as 'p' and 'n' made or moved nothing


def test_nothing_is_complained_of_and_no_host_is_asked(visitor):
    assert complaints(visitor.browser) == []
