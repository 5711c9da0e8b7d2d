import json

import pytest

from benchmarks.__main__ import RESULTS, TABLES
from benchmarks.tables import tables

MADE = tables(json.loads(RESULTS.read_text()))


def test_the_books_tables_are_those_of_the_stored_measurements():
    stored = {path.stem: path.read_text() for path in TABLES.glob("*.csv")}
    assert stored == MADE


@pytest.mark.parametrize("name", MADE)
def test_every_table_is_in_the_book_once(name):
    pages = "".join(page.read_text() for page in TABLES.parent.glob("*.md"))
    assert pages.count(f":file: tables/{name}.csv") == 1
