"""A text box that asks a pool of queries, and answers as one types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

import ipywidgets

from hrvlab.errors import HrvlabError
from hrvlab.reservoir.questions import parse_concept
from hrvlab.widgets.latest import Latest

if TYPE_CHECKING:
    from hrvlab.reservoir.pool import Pool
    from hrvlab.reservoir.questions import Concepts

COUNT = 10
HINT = (
    "a word, as in <i>rust</i>; a concept, as in <i>Metal: gold, silver</i>; or a head, as in "
    "<i>{head}</i>"
)


def asking_panel(
    pool: Pool, *, against: Concepts, question: str = "", count: int = COUNT
) -> ipywidgets.VBox:
    """Build a text box for words, concepts and heads, with the answer below it.

    A question that is still being answered is dropped when another is typed.

    Parameters
    ----------
    pool : Pool
    against : ConceptSet or mapping of str to sequence of str
        The rivals of words and concepts.
    question : str
        That the box holds at first.
    count : int
        Heads or words that are listed.

    Returns
    -------
    ipywidgets.VBox
    """
    hint = HINT.format(head=escape(str(pool.data["label"].values[-1])))
    box = ipywidgets.Text(question, description="ask", placeholder="rust")
    shown = ipywidgets.HTML()

    def work(text: str, check: Callable[[], None]) -> None:
        try:
            found = answer(pool, text, against, count) if text.strip() else hint
        except HrvlabError as error:
            found = escape(str(error), quote=False)
        except Exception as error:  # a background thread has nowhere else to report it
            found = escape(f"{type(error).__name__}: {error}", quote=False)
        check()
        shown.value = found

    latest = Latest(work)

    def ask(_: object = None) -> None:
        latest.submit(str(box.value))

    box.observe(ask, "value")
    ask()
    return ipywidgets.VBox([box, shown])


def answer(pool: Pool, text: str, against: Concepts, count: int) -> str:
    """Answer a question as an HTML table.

    Parameters
    ----------
    pool : Pool
    text : str
        A head's label, a word, or a concept with its words.
    against : ConceptSet or mapping of str to sequence of str
    count : int

    Raises
    ------
    ConceptError
        If it cannot be answered.
    """
    if text.strip() in pool.data["label"].values:
        words = pool.head_words(text.strip(), count=count)
        shares = [words[name].values for name in ("share", "low", "high")]
        rows = [
            (word, *(f"{value:.1%}" for value in values))
            for word, *values in zip(words["word"].values, *shares, strict=True)
        ]
        return _table(("word", "share of votes", "low", "high"), rows)
    heads = pool.heads_of(parse_concept(text), against=against, count=count)
    numbers = [heads[name].values for name in ("relevance", "low", "high")]
    rows = [
        (label, *(f"{value:.2f}" for value in values))
        for label, *values in zip(heads["label"].values, *numbers, strict=True)
    ]
    return _table(("head", "relevance", "low", "high"), rows)


def _table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Build an HTML table."""
    lines = [
        "".join(f"<{tag}>{escape(str(cell), quote=False)}</{tag}>" for cell in row)
        for tag, row in (("th", names), *(("td", row) for row in rows))
    ]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
