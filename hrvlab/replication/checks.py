"""Checks of the claims about the published arrays, computed from the files themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.errors import StoreError
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.paths import user_path
from hrvlab.replication.arrays import (
    SD,
    SD_BY_TIMESTEP,
    SD_HEADS,
    SDXL,
    SDXL_HEADS,
    SHARES,
    published_table,
    read_published,
    read_shares,
)
from hrvlab.replication.claims import claims


@dataclass(frozen=True)
class PublishedArrays:
    """The published arrays in a folder; None if a file is missing.

    Parameters
    ----------
    sd, sdxl : xarray.DataArray, dims (concept, head_position), optional
        Of Stable Diffusion 1.4 and of SDXL.
    sd_by_timestep : xarray.DataArray, dims (timestep, concept, head_position), optional
    sd_shares : ndarray of float64, shape (concept, head_position), optional
        Each concept's share of every head's votes.
    """

    sd: xr.DataArray | None = None
    sd_by_timestep: xr.DataArray | None = None
    sd_shares: NDArray[np.float64] | None = None
    sdxl: xr.DataArray | None = None


@dataclass(frozen=True)
class Fact:
    """A claim about the published arrays, and the value that was found.

    Parameters
    ----------
    claim : str
    claimed : str
    found : str
        Empty if the file is missing.
    agrees : bool or None
        None if the file is missing.
    """

    claim: str
    claimed: str
    found: str = ""
    agrees: bool | None = None


def read_arrays(folder: str | Path) -> PublishedArrays:
    """Read the published arrays of a folder, each under its published name.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    PublishedArrays

    Raises
    ------
    StoreError
        If the folder holds vectors of neither model, or a file that differs from the published one.
    ParameterError
        If an array has another shape, normalization or order of heads than the published one.
    """
    folder = user_path(folder)
    concepts = ConceptSet.read("published")

    def read(file: str, labels: str) -> xr.DataArray | None:
        if not (folder / file).exists():
            return None
        table = published_table(folder / labels)
        return read_published(folder / file, folder / labels, table, concepts=concepts)

    arrays = PublishedArrays(
        sd=read(SD, SD_HEADS),
        sd_by_timestep=read(SD_BY_TIMESTEP, SD_HEADS),
        sd_shares=read_shares(folder / SHARES) if (folder / SHARES).exists() else None,
        sdxl=read(SDXL, SDXL_HEADS),
    )
    if arrays.sd is None and arrays.sdxl is None:
        raise StoreError(f"{folder} holds neither {SD} nor {SDXL}; give a folder with one of them")
    return arrays


def check_facts(arrays: PublishedArrays) -> list[Fact]:
    """Compute every claimed value from the arrays, and compare.

    Parameters
    ----------
    arrays : PublishedArrays

    Returns
    -------
    list of Fact
        One for each claim; claims about missing arrays stay open.
    """
    facts = []
    for claim in claims():
        given = [getattr(arrays, name) for name in claim.needs]
        if any(array is None for array in given):
            facts.append(Fact(claim.text, _text(claim.value)))
            continue
        found = claim.compute(*given)
        facts.append(Fact(claim.text, _text(claim.value), _text(found), claim.holds(found)))
    return facts


def facts_table(facts: list[Fact]) -> str:
    """Format claims and findings as a Markdown table, after a sentence that counts them.

    Parameters
    ----------
    facts : list of Fact

    Returns
    -------
    str
    """
    outcome = {True: "yes", False: "**no**", None: "open"}
    rows = [f"| {f.claim} | {f.claimed} | {f.found} | {outcome[f.agrees]} |" for f in facts]
    agree, differ, left = (sum(f.agrees is state for f in facts) for state in outcome)
    counted = (
        f"Of {len(facts)} claims, {agree} agree with the files, {differ} do not, and {left} are "
        "open because their file is missing."
    )
    return "\n".join(
        [counted, "", "| claim | claimed | found | agrees |", "|---|---|---|---|", *rows]
    )


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.7g}"
