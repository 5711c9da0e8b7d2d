"""What is supported of the text-to-image pipelines of diffusers, and why the rest is not."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from hrvlab.models.families import FAMILIES, Carrier
from hrvlab.models.unsupported import REFUSED

if TYPE_CHECKING:
    from pathlib import Path

    from hrvlab.models.families import Family

Row = dict[str, str]
TABLES = ("supported", "refused")


def supported_models() -> list[Row]:
    """Return a row of the book's table of supported models for every family."""
    return [_row(family) for family in FAMILIES]


def _row(family: Family) -> Row:
    edits = ["weaken, strengthen, adjust"]
    if "attention injection" not in family.refused:
        edits.append("Prompt-to-Prompt")
    if "attention excitation" not in family.refused:
        edits.append("Attend-and-Excite")
    refused = family.refused.get("votes")
    voted = f"beside {family.sink_name}"
    if isinstance(family, Carrier):
        voted += "; words are carried through the blocks beside the prompt"
    return {
        "model": family.name,
        "pipelines": ", ".join(f"`{name}`" for name in family.pipelines),
        "read": "means and maps of every head",
        "edited": "; ".join(edits),
        "votes": f"not yet: {refused}" if refused else voted,
        "how words become columns": family.words,
        "tested": family.tested,
    }


def refused_models() -> list[Row]:
    """Return a row of the book's table of refused models for every reason."""
    rows = []
    for refused in REFUSED:
        names = ", ".join(f"`{name}`" for name in refused.pipelines)
        rows.append({"pipelines": names, "support": refused.verdict, "because": refused.reason})
    return rows


def write_tables(folder: Path) -> None:
    """Write the book's tables of models, as CSV."""
    for name, rows in zip(TABLES, (supported_models(), refused_models()), strict=True):
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
