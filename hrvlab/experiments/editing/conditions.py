"""The conditions of editing: Prompt-to-Prompt, with vectors and without, and its controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hrvlab.errors import ParameterError
from hrvlab.experiments.conditions import Prompt
from hrvlab.experiments.runner import Generated
from hrvlab.methods.prompt_to_prompt import CROSS_SHARE, SELF_SHARE, SELF_SHARE_WITH_VECTORS, edit
from hrvlab.models.alignment import align
from hrvlab.noise import initial_noise
from hrvlab.relevance.vectors import concept_vector, rank

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.experiments.conditions import Condition
    from hrvlab.experiments.editing.cases import EditingCase

REGENERATED = "regenerated"
EARLY_SHARE = 0.4  # of cross-attention, where it is injected in early calls only
CROSS_SHARES = (0.2, 0.4, 0.6)
STRENGTHS = (0.0, 0.5, 2.0, 4.0)
TOPS = (8, 32)


@dataclass(frozen=True)
class Edited:
    """A case edited by Prompt-to-Prompt; its images are the edited ones.

    Parameters
    ----------
    case : EditingCase
    index : int
        The noise derives from it and the seed.
    self_share, cross_share : float
        Shares of the calls in which attention is injected, see `hrvlab.edit`.
    hrv : xarray.DataArray, dims (concept, head_position), optional
    strength : float
        Of the vector.
    """

    case: EditingCase
    index: int
    self_share: float
    hrv: xr.DataArray | None = None
    strength: float = 1.0
    cross_share: float = CROSS_SHARE

    @property
    def rows(self) -> int:
        """Number of rows: 1."""
        return 1

    def plan(self) -> dict[str, Any]:
        """Return all that determines its images, as JSON."""
        plan = {
            "source": self.case.source,
            "target": self.case.target,
            "index": self.index,
            "self_share": self.self_share,
            "cross_share": self.cross_share,
        }
        if self.hrv is None:
            return plan
        vector = concept_vector(self.hrv, self.case.concept).values.tolist()
        return {**plan, "vector": vector, "strength": self.strength}

    def check(self, pipe: DiffusionPipeline) -> None:
        """Raise an error if the prompts cannot be aligned, or the strength is not finite."""
        align(pipe, self.case.source, self.case.target)
        if not np.isfinite(self.strength):
            raise ParameterError(f"the strength is {self.strength}; give a finite number")

    def generate(
        self, pipe: DiffusionPipeline, seeds: Sequence[int], *, batch_size: int, **call: Any
    ) -> Generated:
        """Generate its images, seed by seed."""
        pairs = edit(
            pipe,
            self.case.source,
            self.case.target,
            hrv=self.hrv,
            concept=None if self.hrv is None else self.case.concept,
            hrv_strength=self.strength,
            self_share=self.self_share,
            cross_share=self.cross_share,
            seed=seeds,
            latents=initial_noise(pipe, seeds, self.index, **call),
            batch_size=batch_size,
            progress=False,
            **call,
        )
        return Generated(pairs[1::2])


def make_conditions(
    hrv: xr.DataArray, case: EditingCase, index: int = 0, *, strengths: Sequence[float] = ()
) -> dict[str, Condition]:
    """Build the conditions that a case is edited under.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    case : EditingCase
    index : int
        The noise derives from it and the seeds, and so does the shuffling.
    strengths : sequence of float
        Of the vector, besides 0 and 1.

    Returns
    -------
    dict of str to Condition
        ``"P2P"`` and ``"P2P-HRV × 1"`` as published; ``"P2P, long"`` and ``"P2P-HRV × 1, short"``,
        each with the other's share of injected self-attention; ``"P2P, early"`` and
        ``"P2P-HRV × 1, early"``, with cross-attention injected in half as many calls, and
        self-attention in equally many; ``"P2P-HRV × 0"``, which leaves the new word its own
        attention, and further strengths; ``"shuffled heads"``, the vector on the wrong heads;
        ``"regenerated"``, the target prompt from the same noise.

    Raises
    ------
    ConceptError
        If the case's concept has no vector.
    """
    concept_vector(hrv, case.concept)
    rng = np.random.Generator(np.random.Philox(key=index))
    shuffled = hrv.copy(data=hrv.values[:, rng.permutation(hrv.sizes["head_position"])])
    short, long = SELF_SHARE, SELF_SHARE_WITH_VECTORS
    return {
        "P2P": Edited(case, index, short),
        "P2P, long": Edited(case, index, long),
        "P2P, early": Edited(case, index, short, cross_share=EARLY_SHARE),
        **{f"P2P-HRV × {s:g}": Edited(case, index, long, hrv, s) for s in [0, 1, *strengths]},
        "P2P-HRV × 1, short": Edited(case, index, short, hrv),
        "P2P-HRV × 1, early": Edited(case, index, short, hrv, cross_share=EARLY_SHARE),
        "shuffled heads": Edited(case, index, long, shuffled),
        REGENERATED: Prompt(case.target, index),
    }


def make_candidates(hrv: xr.DataArray, case: EditingCase, index: int = 0) -> dict[str, Condition]:
    """Build conditions with settings of P2P-HRV that were not published.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    case : EditingCase
    index : int
        The noise derives from it and the seeds.

    Returns
    -------
    dict of str to Condition
        ``"P2P"`` and ``"P2P-HRV"`` as published; other strengths; the vector at the heads of one
        block only, or at the most relevant heads only; cross-attention injected in a smaller share
        of the calls; and ``"regenerated"``.

    Raises
    ------
    ConceptError
        If the case's concept has no vector.
    """
    order = rank(concept_vector(hrv, case.concept)).values
    chosen = {f"{name} only": hrv["block"] == name for name in dict.fromkeys(hrv["block"].values)}
    for top in TOPS:
        chosen[f"top {top}"] = hrv["label"].isin(hrv["label"].values[order[:top]])
    short, long = SELF_SHARE, SELF_SHARE_WITH_VECTORS
    return {
        "P2P": Edited(case, index, short),
        "P2P-HRV": Edited(case, index, long, hrv),
        **{f"× {strength:g}": Edited(case, index, long, hrv, strength) for strength in STRENGTHS},
        **{
            name: Edited(case, index, long, hrv.where(heads, 1.0)) for name, heads in chosen.items()
        },
        **{
            f"cross {share:g}": Edited(case, index, long, hrv, cross_share=share)
            for share in CROSS_SHARES
        },
        REGENERATED: Prompt(case.target, index),
    }
