import re
from pathlib import Path

import pytest

BOOK = Path(__file__).parents[2] / "book"
GLOSSARY = (BOOK / "glossary.md").read_text()
PAGES = sorted(BOOK.glob("*.md"))


def terms():
    """List the lines of the glossary that are not indented: terms, one a line."""
    entries = re.findall(r"```\{glossary\}\n(.*?)```", GLOSSARY, re.DOTALL)
    return [line for entry in entries for line in entry.splitlines() if line and line[0] != " "]


def linked(text):
    """List the terms that a page links to, whatever text the link shows."""
    for shown in re.findall(r"\{term\}`([^`]+)`", text):
        target = re.search(r"<([^>]+)>$", shown)
        yield target[1] if target else shown


def test_every_term_is_defined_once():
    assert len(terms()) == len({term.lower() for term in terms()})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_term_that_a_page_links_to_is_defined(page):
    assert set(linked(page.read_text())) <= set(terms())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_links_to_a_term_where_it_is_first_used_only(page):
    links = list(linked(page.read_text()))
    assert page.stem == "glossary" or len(links) == len(set(links))
