import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
REFERENCE = sorted((BOOK / "reference").glob("*.md"))
# Rooms that are too small for a page of their own, by the page that covers them.
GUESTS = {
    "generation": {
        "capture",
        "cluster",
        "dry_run",
        "faults",
        "forecast",
        "keywords",
        "libraries",
        "noise",
        "pictures",
        "provenance",
        "rehearsal",
        "watch",
        "words",
    },
    "models": {"options"},
    "storage": {"errors", "paths", "progress", "typing"},
    "publish": {"widgets"},
}


def modules():
    paths = (p.relative_to(ROOT) for p in (ROOT / "hrvlab").rglob("*.py"))
    return {".".join(p.with_suffix("").parts) for p in paths if not p.name.startswith("__")}


def covered(page):
    return re.findall(r"automodule:: (\S+)", page.read_text())


def listed(chapters):
    """List every page that the table of contents names, sections of pages included."""
    for entry in chapters:
        if "file" in entry:
            yield entry["file"]
        yield from listed(entry.get("sections", []))


def test_the_reference_covers_every_module_once():
    assert sorted(name for page in REFERENCE for name in covered(page)) == sorted(modules())


@pytest.mark.parametrize("page", REFERENCE, ids=lambda page: page.stem)
def test_a_page_of_the_reference_is_about_one_room(page):
    room, _, experiment = page.stem.partition("-")
    for module in covered(page):
        _, *parts = module.split(".")
        assert parts[0] in {room} | GUESTS.get(room, set())
        if room == "experiments":
            assert "".join(parts[1:-1]) == experiment.replace("-", "_")


def test_every_page_is_in_the_table_of_contents():
    parts = yaml.safe_load((BOOK / "_toc.yml").read_text())["parts"]
    pages = {str(p.relative_to(BOOK).with_suffix("")) for p in BOOK.rglob("*.md")}
    expected = {page for page in pages if not page.startswith("runs")} - {"index"}
    assert sorted(page for part in parts for page in listed(part["chapters"])) == sorted(expected)
