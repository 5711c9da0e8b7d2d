import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"


def modules():
    paths = (p.relative_to(ROOT) for p in (ROOT / "hrvlab").rglob("*.py"))
    return {".".join(p.with_suffix("").parts) for p in paths if not p.name.startswith("__")}


def test_the_reference_covers_every_module_once():
    text = "".join(page.read_text() for page in sorted((BOOK / "reference").glob("*.md")))
    covered = re.findall(r"automodule:: (\S+)", text)
    assert sorted(covered) == sorted(modules())


def test_every_page_is_in_the_table_of_contents():
    parts = yaml.safe_load((BOOK / "_toc.yml").read_text())["parts"]
    listed = {entry["file"] for part in parts for entry in part["chapters"] if "file" in entry}
    pages = {str(p.relative_to(BOOK).with_suffix("")) for p in BOOK.rglob("*.md")}
    assert listed == {page for page in pages if not page.startswith("runs")} - {"index"}
