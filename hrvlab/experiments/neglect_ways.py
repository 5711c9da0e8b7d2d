"""Ways to draw a prompt of two things, while its latents are moved or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr
from diffusers import DiffusionPipeline

from hrvlab.experiments.arms import Arm, Drawing, Prompt
from hrvlab.experiments.excitation import Excitation
from hrvlab.experiments.neglect import check_maps, excite, mark_words
from hrvlab.experiments.pairs import Pair
from hrvlab.experiments.steering import concept_row
from hrvlab.generation import initial_noise


@dataclass(frozen=True)
class Moved:
    """A prompt of two things, drawn while its latents are moved.

    Parameters
    ----------
    pair : Pair
    index : int
        The noise derives from it and the seed.
    excitation : Excitation, optional
        None: the latents are not moved.
    hrv : xarray.DataArray, dims (concept, head_position), optional
    """

    pair: Pair
    index: int
    excitation: Excitation | None = None
    hrv: xr.DataArray | None = None

    @property
    def rows(self) -> int:
        """It has one row."""
        return 1

    def plan(self) -> dict[str, Any]:
        """Give all that determines its pictures, as JSON."""
        plan = {"prompt": self.pair.prompt, "index": self.index}
        if self.excitation is None:
            return plan
        settings = asdict(self.excitation)
        settings["thresholds"] = sorted(self.excitation.thresholds.items())
        plan |= {"words": list(self.pair.things), "excitation": settings}
        if self.hrv is None:
            return plan
        rows = [concept_row(self.hrv, concept).values.tolist() for concept in self.pair.concepts]
        return {**plan, "vectors": rows}

    def check(self, pipe: DiffusionPipeline) -> None:
        """Raise an error if a thing is not in the prompt, or no layer has the maps' side."""
        mark_words(pipe, self.pair.prompt, self.pair.things)
        if self.excitation is not None:
            check_maps(pipe, self.excitation)

    def draw(
        self, pipe: DiffusionPipeline, seeds: Sequence[int], *, batch_size: int, **call: Any
    ) -> Drawing:
        """Draw it; ``passes`` counts those of the UNet with gradients."""
        if self.excitation is None:
            plain = Prompt(self.pair.prompt, self.index)
            images = plain.draw(pipe, seeds, batch_size=batch_size, **call).images
            return Drawing(images, {"passes": np.zeros(len(seeds), np.int64)})
        excited = excite(
            pipe,
            self.pair.prompt,
            self.pair.things,
            hrv=self.hrv,
            concept=None if self.hrv is None else self.pair.concepts,
            preset=self.excitation,
            seed=seeds,
            latents=initial_noise(pipe, seeds, self.index),
            batch_size=batch_size,
            progress=False,
            **call,
        )
        return Drawing(excited.images, {"passes": excited.passes})


def make_ways(
    hrv: xr.DataArray, pair: Pair, index: int, *, with_vectors: Excitation, without: Excitation
) -> dict[str, Arm]:
    """Write down every way to draw a pair.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    pair : Pair
    index : int
        The noise derives from it and the seeds, and so does the shuffling.
    with_vectors, without : Excitation
        Settings of A&E-HRV and of Attend-and-Excite.

    Returns
    -------
    dict of str to Arm
        ``"plain"``; ``"A&E"``; ``"r ≡ 1"``, with the settings of A&E-HRV but all heads alike;
        ``"A&E-HRV"``; ``"shuffled heads"``, A&E-HRV with the vectors' entries on the wrong heads.
    """
    rng = np.random.Generator(np.random.Philox(key=index))
    shuffled = hrv.copy(data=hrv.values[:, rng.permutation(hrv.sizes["head_position"])])
    return {
        "plain": Moved(pair, index),
        "A&E": Moved(pair, index, without),
        "r ≡ 1": Moved(pair, index, with_vectors),
        "A&E-HRV": Moved(pair, index, with_vectors, hrv),
        "shuffled heads": Moved(pair, index, with_vectors, shuffled),
    }


def make_candidates(
    sides: Sequence[float], step_sizes: Sequence[float], **settings: Any
) -> dict[str, Excitation]:
    """Write down settings to choose among.

    Parameters
    ----------
    sides, step_sizes : sequence of float
        Every one with every other.
    **settings
        The rest of every `Excitation`.

    Returns
    -------
    dict of str to Excitation
    """
    return {
        f"side {side:g}, step {size:g}": Excitation(side=side, step_size=size, **settings)
        for side in sides
        for size in step_sizes
    }
