"""The conditions of neglect: Attend-and-Excite, with vectors and without, and its controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hrvlab.experiments.conditions import Prompt
from hrvlab.experiments.runner import Generated
from hrvlab.methods.attend_and_excite import check_maps, excite, mark_words
from hrvlab.methods.excitation import Excitation
from hrvlab.noise import initial_noise
from hrvlab.relevance.vectors import concept_vector

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.experiments.conditions import Condition
    from hrvlab.experiments.neglect.cases import ObjectPair


@dataclass(frozen=True)
class ExcitedPair:
    """A prompt of two objects, generated while its latents are updated.

    Parameters
    ----------
    pair : ObjectPair
    index : int
        The noise derives from it and the seed.
    excitation : Excitation, optional
        None: the latents are not updated.
    hrv : xarray.DataArray, dims (concept, head_position), optional
        None: all heads are weighted alike.
    """

    pair: ObjectPair
    index: int
    excitation: Excitation | None = None
    hrv: xr.DataArray | None = None

    @property
    def rows(self) -> int:
        """Number of rows: 1."""
        return 1

    def plan(self) -> dict[str, Any]:
        """Return all that determines its images, as JSON."""
        plan = {"prompt": self.pair.prompt, "index": self.index}
        if self.excitation is None:
            return plan
        settings = asdict(self.excitation)
        settings["thresholds"] = sorted(self.excitation.thresholds.items())
        plan |= {"words": list(self.pair.objects), "excitation": settings}
        if self.hrv is None:
            return plan
        rows = [concept_vector(self.hrv, concept).values.tolist() for concept in self.pair.concepts]
        return {**plan, "vectors": rows}

    def check(self, pipe: DiffusionPipeline) -> None:
        """Raise an error if an object is not in the prompt, or no layer has maps of that side."""
        mark_words(pipe, self.pair.prompt, self.pair.objects)
        if self.excitation is not None:
            check_maps(pipe, self.excitation)

    def generate(
        self, pipe: DiffusionPipeline, seeds: Sequence[int], *, batch_size: int, **call: Any
    ) -> Generated:
        """Generate its images, and count the denoiser calls with gradients as ``passes``."""
        if self.excitation is None:
            plain = Prompt(self.pair.prompt, self.index)
            images = plain.generate(pipe, seeds, batch_size=batch_size, **call).images
            return Generated(images, {"passes": np.zeros(len(seeds), np.int64)})
        excited = excite(
            pipe,
            self.pair.prompt,
            self.pair.objects,
            hrv=self.hrv,
            concept=None if self.hrv is None else self.pair.concepts,
            preset=self.excitation,
            seed=seeds,
            latents=initial_noise(pipe, seeds, self.index, **call),
            batch_size=batch_size,
            progress=False,
            **call,
        )
        return Generated(excited.images, {"passes": excited.passes})


def make_conditions(
    hrv: xr.DataArray,
    pair: ObjectPair,
    index: int,
    *,
    with_vectors: Excitation,
    without: Excitation,
) -> dict[str, Condition]:
    """Build the conditions that a pair is generated under.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    pair : ObjectPair
    index : int
        The noise derives from it and the seeds, and so does the shuffling.
    with_vectors, without : Excitation
        Settings of A&E-HRV and of Attend-and-Excite.

    Returns
    -------
    dict of str to Condition
        ``"plain"``; ``"A&E"``; ``"r ≡ 1"``, with the settings of A&E-HRV but all heads alike;
        ``"A&E-HRV"``; ``"shuffled heads"``, A&E-HRV with the vectors' entries on the wrong heads.
    """
    rng = np.random.Generator(np.random.Philox(key=index))
    order = rng.permutation(hrv.sizes["head_position"])
    shuffled = hrv.copy(data=hrv.isel(head_position=order).values)
    return {
        "plain": ExcitedPair(pair, index),
        "A&E": ExcitedPair(pair, index, without),
        "r ≡ 1": ExcitedPair(pair, index, with_vectors),
        "A&E-HRV": ExcitedPair(pair, index, with_vectors, hrv),
        "shuffled heads": ExcitedPair(pair, index, with_vectors, shuffled),
    }


def make_candidates(
    sides: Sequence[float], step_sizes: Sequence[float], **settings: Any
) -> dict[str, Excitation]:
    """Build settings to choose among, of every side with every step size.

    Parameters
    ----------
    sides, step_sizes : sequence of float
        See `hrvlab.Excitation`.
    **settings
        Its other parameters, the same for all.

    Returns
    -------
    dict of str to Excitation
        Named such as ``"side 0.5, step 10"``.
    """
    return {
        f"side {side:g}, step {size:g}": Excitation(side=side, step_size=size, **settings)
        for side in sides
        for size in step_sizes
    }
