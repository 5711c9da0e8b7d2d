import json

import pytest

from timings.__main__ import RESULTS, TABLES
from timings.tables import tables

BUILT = tables(json.loads(RESULTS.read_text()))


def test_the_tables_in_the_book_are_those_of_the_stored_measurements():
    stored = {path.stem: path.read_text() for path in TABLES.glob("*.csv")}
    assert stored == BUILT


@pytest.mark.parametrize("name", BUILT)
def test_every_table_is_in_the_book_once(name):
    pages = "".join(page.read_text() for page in TABLES.parent.glob("*.md"))
    assert pages.count(f":file: tables/{name}.csv") == 1
