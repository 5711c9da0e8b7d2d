"""What is claimed of the published arrays, computed from the files themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.concepts import ConceptSet
from hrvlab.errors import StoreError
from hrvlab.relevance.claims import claims
from hrvlab.relevance.published import (
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


@dataclass(frozen=True)
class PublishedArrays:
    """The published arrays that a folder holds; None where a file is not there.

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
    """A claim about the published arrays, and what was found.

    Parameters
    ----------
    claim : str
    claimed : str
    found : str
        Empty if the file is not there.
    agrees : bool or None
        None if the file is not there.
    """

    claim: str
    claimed: str
    found: str = ""
    agrees: bool | None = None


def read_arrays(folder: str | Path) -> PublishedArrays:
    """Read the published arrays that lie in a folder under their own names.

    Raises
    ------
    StoreError
        If the folder holds no vectors at all calls, or a file that is not what its name says.
    """
    folder = Path(folder)
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
        raise StoreError(f"{folder} holds neither {SD} nor {SDXL}")
    return arrays


def check_facts(arrays: PublishedArrays) -> list[Fact]:
    """Compute from the arrays what is claimed of them.

    Parameters
    ----------
    arrays : PublishedArrays
        Whatever of them there is.

    Returns
    -------
    list of Fact
        All claims; those about arrays that are not there remain open.
    """
    facts = []
    for claim in claims():
        given = [getattr(arrays, name) for name in claim.needs]
        if any(array is None for array in given):
            facts.append(Fact(claim.text, _written(claim.value)))
            continue
        found = claim.compute(*given)
        facts.append(Fact(claim.text, _written(claim.value), _written(found), claim.holds(found)))
    return facts


def facts_table(facts: list[Fact]) -> str:
    """Write claims and what was found as a Markdown table, with a sentence that counts them."""
    outcome = {True: "yes", False: "**no**", None: "open"}
    rows = [f"| {f.claim} | {f.claimed} | {f.found} | {outcome[f.agrees]} |" for f in facts]
    agree, differ, left = (sum(f.agrees is state for f in facts) for state in outcome)
    counted = (
        f"Of {len(facts)} claims, {agree} agree with the files, {differ} do not, and {left} are "
        "open because their file was not given."
    )
    return "\n".join(
        [counted, "", "| claim | claimed | found | agrees |", "|---|---|---|---|", *rows]
    )


def _written(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.7g}"
