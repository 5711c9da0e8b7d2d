"""Every way to replace the words of a prompt that is compared with the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from diffusers import DiffusionPipeline

from hrvlab.errors import ParameterError
from hrvlab.experiments.arms import Arm, Drawing, Prompt
from hrvlab.experiments.editing import CROSS_SHARE, SELF_SHARE, SELF_SHARE_WITH_VECTORS, edit
from hrvlab.experiments.forms import Replacement
from hrvlab.experiments.steering import concept_row
from hrvlab.generation import initial_noise
from hrvlab.models.alignment import align
from hrvlab.relevance.vectors import rank

EARLY_SHARE = 0.4  # of cross-attention, where it is borrowed in early calls only
CROSS_SHARES = (0.2, 0.4, 0.6)
STRENGTHS = (0.0, 0.5, 2.0, 4.0)
TOPS = (8, 32)


@dataclass(frozen=True)
class Edited:
    """A replacement by Prompt-to-Prompt; its pictures are the edited ones.

    Parameters
    ----------
    case : Replacement
    index : int
        The noise derives from it and the seed.
    self_share, cross_share : float
        See `hrvlab.experiments.editing.edit`.
    hrv : xarray.DataArray, dims (concept, head_position), optional
    strength : float
    """

    case: Replacement
    index: int
    self_share: float
    hrv: xr.DataArray | None = None
    strength: float = 1.0
    cross_share: float = CROSS_SHARE

    @property
    def rows(self) -> int:
        """It has one row."""
        return 1

    def plan(self) -> dict[str, Any]:
        """Give all that determines its pictures, as JSON."""
        plan = {
            "source": self.case.source,
            "target": self.case.target,
            "index": self.index,
            "self_share": self.self_share,
            "cross_share": self.cross_share,
        }
        if self.hrv is None:
            return plan
        vector = concept_row(self.hrv, self.case.concept).values.tolist()
        return {**plan, "vector": vector, "strength": self.strength}

    def check(self, pipe: DiffusionPipeline) -> None:
        """Raise an error if the prompts cannot be aligned, or the strength is not a number."""
        align(pipe.tokenizer, self.case.source, self.case.target)
        if not np.isfinite(self.strength):
            raise ParameterError(f"the strength is {self.strength}; give a finite number")

    def draw(
        self, pipe: DiffusionPipeline, seeds: Sequence[int], *, batch_size: int, **call: Any
    ) -> Drawing:
        """Draw it."""
        pairs = edit(
            pipe,
            self.case.source,
            self.case.target,
            hrv=self.hrv,
            concept=None if self.hrv is None else self.case.concept,
            strength=self.strength,
            self_share=self.self_share,
            cross_share=self.cross_share,
            seed=seeds,
            latents=initial_noise(pipe, seeds, self.index),
            batch_size=batch_size,
            progress=False,
            **call,
        )
        return Drawing(pairs[1::2])


def make_ways(
    hrv: xr.DataArray, case: Replacement, index: int = 0, *, strengths: Sequence[float] = ()
) -> dict[str, Arm]:
    """Write down every way to replace the words of a case.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    case : Replacement
    index : int
        The noise derives from it and the seeds, and so does the shuffling.
    strengths : sequence of float
        Of the vector, more than 0 and 1.

    Returns
    -------
    dict of str to Arm
        ``"P2P"`` and ``"P2P-HRV × 1"`` as published; ``"P2P, long"`` and ``"P2P-HRV × 1, short"``,
        each with the other's share of borrowed self-attention; ``"P2P, early"`` and
        ``"P2P-HRV × 1, early"``, which borrow cross-attention half as long, and self-attention for
        the same share as each other; ``"P2P-HRV × 0"``, which leaves the new word its own
        attention, and further strengths; ``"shuffled heads"``, the vector on the wrong heads;
        ``"redrawn"``, the new prompt from the same noise.
    """
    concept_row(hrv, case.concept)
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
        "redrawn": Prompt(case.target, index),
    }


def make_trials(hrv: xr.DataArray, case: Replacement, index: int = 0) -> dict[str, Arm]:
    """Write down settings of P2P-HRV that were not published.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    case : Replacement
    index : int
        The noise derives from it and the seeds.

    Returns
    -------
    dict of str to Arm
        ``"P2P"`` and ``"P2P-HRV"`` as published; other strengths; the vector at the heads of one
        place only, or at the most relevant heads only; cross-attention borrowed for a smaller share
        of the calls; and ``"redrawn"``.
    """
    order = rank(concept_row(hrv, case.concept)).values
    chosen = {f"{name} only": hrv["place"] == name for name in dict.fromkeys(hrv["place"].values)}
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
        "redrawn": Prompt(case.target, index),
    }
