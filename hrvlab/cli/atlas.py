"""``hrvlab atlas``: one page to look around in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hrvlab.cli.options import path_option, say
from hrvlab.errors import ParameterError
from hrvlab.paths import MINIATURE, user_path

if TYPE_CHECKING:
    import xarray as xr

KINDS = {"votes": "votes", "relevance": "hrv", "head_effects": "effects", "capture": "capture"}
SUFFIX = ".html"


def atlas(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Votes, vectors, effects of heads or a capture: folders of runs or zarr stores; "
            "or 'miniature', whose results ship.",
        ),
    ],
    output: Annotated[
        Path, path_option("--output", "-o", help="Page to write; must not exist yet.")
    ],
    name: Annotated[str | None, typer.Option(help="Of the model, as the page shows it.")] = None,
) -> None:
    """Write a page that shows every head: what it stands for, when, how surely; no network needed.

    Example: hrvlab atlas runs/votes/1f3a… cars.zarr -o atlas.html
    """
    if output.suffix != SUFFIX:
        raise ParameterError(f"{output} is a page; give it a name that ends in {SUFFIX}")
    if output.exists():
        raise ParameterError(f"{output} already exists; remove it, or choose another --output")
    missing = [run for run in runs if run != MINIATURE and not user_path(run).exists()]
    if missing:
        raise ParameterError(f"there is no run at {missing[0]}; give its folder")
    # Imported here so that help and errors of parameters need not wait for it.
    from hrvlab.atlas.data import explorer_data
    from hrvlab.atlas.pages import write_atlas

    found: dict[str, Any] = {}
    for run in runs:
        for kind, dataset in _read(run).items():
            if kind in found:
                raise ParameterError(f"{run} holds a second {kind}; an atlas shows one of a kind")
            found[kind] = dataset
    data = explorer_data(**found, name=name)
    written = write_atlas(data, output)
    size = sum(
        file.stat().st_size
        for path in written
        for file in (path.rglob("*") if path.is_dir() else [path])
    )
    heads, concepts = sum(data.first["layers"]["heads"]), len(data.first["concepts"])
    beside = f" and {written[1]}, which belongs beside it" if len(written) > 1 else ""
    say(f"atlas of {heads} heads and {concepts} concepts, {size / 1e6:.1f} MB: {output}{beside}")


def _read(run: str) -> dict[str, xr.Dataset | xr.DataArray | xr.DataTree]:
    """Read a run, by the keyword of `explorer_data` that takes it.

    Raises
    ------
    ParameterError
        If an atlas cannot show it.
    SchemaError, StoreError
    """
    from hrvlab.storage.datasets import read_dataset, read_tree
    from hrvlab.storage.units import DATA

    if run == MINIATURE:
        from hrvlab.results import read_result

        return {"votes": read_result("votes").data, "effects": read_result("head-effects").data}
    path = user_path(run)
    path = path / DATA if (path / DATA).exists() else path
    dataset = read_dataset(path)
    schema = str(dataset.attrs["schema"])
    if schema not in KINDS:
        raise ParameterError(f"{run} holds {schema}, which an atlas does not show")
    if schema == "capture":
        return {"capture": read_tree(path)}
    return {KINDS[schema]: dataset["relevance"] if schema == "relevance" else dataset}
