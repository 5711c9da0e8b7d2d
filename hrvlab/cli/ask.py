"""``hrvlab ask``: ask a pool of recorded queries about concepts, words and heads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from hrvlab.cli.options import a_path, out
from hrvlab.errors import ParameterError
from hrvlab.models.locate import locate_model

if TYPE_CHECKING:
    import xarray as xr

COUNT = 10


def ask(
    pool: Annotated[
        Path, typer.Argument(parser=a_path, metavar="POOL", help="Folder of a recorded pool.")
    ],
    concept: Annotated[
        str | None,
        typer.Option(
            help="A concept and its words, such as 'Metal: gold, silver, bronze', or a word."
        ),
    ] = None,
    head: Annotated[
        str | None, typer.Option(help="A head by its label, such as 'up, layer: 8, head: 0'.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="The rivals of a concept: 'published', 'miniature', or a YAML file; default: the "
            "shipped ones that the model knows."
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Heads or words that are listed.")] = COUNT,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="The pool's model, for words beyond the pool's vocabulary."
        ),
    ] = None,
) -> None:
    """Ask which heads look at a concept, or which words a head looks at, without the model."""
    if (concept is None) == (head is None):
        raise ParameterError("give either --concept or --head")
    if head is not None and against is not None:
        raise ParameterError("--against names rivals of a concept; leave it out with --head")
    # Imported here so that help and errors of parameters need not wait for it.
    from hrvlab.inputs.concepts import ConceptSet
    from hrvlab.reservoir.opening import open_pool
    from hrvlab.reservoir.questions import parse_concept, usual_rivals

    asked = None if concept is None else parse_concept(concept)
    rivals = None if against is None else ConceptSet.read(against)
    opened = open_pool(pool)
    if model is not None:
        locate_model(model)
        from hrvlab.models.load import load

        opened = open_pool(pool, load(model, device="cpu"))
    if asked is None:
        _print_words(opened.head_words(str(head), count=count))
        return
    rivals = rivals or ConceptSet.read(usual_rivals(opened.data))
    (name,) = asked
    _print_heads(name, opened.heads_of(asked, against=rivals, count=count))


def _print_heads(name: str, heads: xr.Dataset) -> None:
    table = Table(
        "head", "relevance", "95 % interval", box=None, title=f"heads that look at {name}"
    )
    for rank in range(heads.sizes["rank"]):
        row = heads.isel(rank=rank)
        interval = f"{float(row['low']):.2f} to {float(row['high']):.2f}"
        table.add_row(Text(str(row["label"].item())), f"{float(row['relevance']):.2f}", interval)
    out.print(table)


def _print_words(words: xr.Dataset) -> None:
    title = f"words that win the vote of {words.attrs['head']}"
    table = Table("word", "share of votes", "95 % interval", box=None, title=title)
    for rank in range(words.sizes["rank"]):
        row = words.isel(rank=rank)
        interval = f"{float(row['low']):.1%} to {float(row['high']):.1%}"
        table.add_row(Text(str(row["word"].item())), f"{float(row['share']):.1%}", interval)
    out.print(table)
