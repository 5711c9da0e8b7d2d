"""Ways to make both of two things appear, compared by how often they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from diffusers import DiffusionPipeline

from hrvlab.errors import ParameterError
from hrvlab.experiments.arms import Arm, Prompt, draw_arms, rate
from hrvlab.experiments.excitation import Excitation, looked_at
from hrvlab.experiments.neglect import excite, mark_words
from hrvlab.experiments.pairs import Pair
from hrvlab.experiments.scoring import Score
from hrvlab.experiments.steering import concept_row
from hrvlab.generation import initial_noise
from hrvlab.relevance.vectors import check_model
from hrvlab.typing import Images

PLAIN, ONES, WITH_VECTORS = "plain", "r ≡ 1", "A&E-HRV"


@dataclass(frozen=True)
class Moved:
    """A prompt of two things drawn while its latents are moved.

    Parameters
    ----------
    pair : Pair
    index : int
        The noise derives from it and the seed.
    excitation : Excitation
    hrv : xarray.DataArray, dims (concept, head_position), optional
    """

    pair: Pair
    index: int
    excitation: Excitation
    hrv: xr.DataArray | None = None

    @property
    def rows(self) -> int:
        """It has one row."""
        return 1

    def plan(self) -> dict[str, Any]:
        """Give all that determines its pictures, as JSON."""
        settings = asdict(self.excitation)
        plan = {
            "prompt": self.pair.prompt,
            "words": list(self.pair.things),
            "index": self.index,
            "excitation": {**settings, "thresholds": sorted(settings["thresholds"].items())},
        }
        if self.hrv is None:
            return plan
        rows = [concept_row(self.hrv, concept).values.tolist() for concept in self.pair.concepts]
        return {**plan, "vectors": rows}

    def check(self, pipe: DiffusionPipeline) -> None:
        """Raise an error if a thing is not in the prompt, or no layer has the maps' side."""
        mark_words(pipe, self.pair.prompt, self.pair.things)
        looked_at(pipe, self.excitation)

    def draw(
        self, pipe: DiffusionPipeline, seeds: Sequence[int], *, batch_size: int, **call: Any
    ) -> Images:
        """Draw it, seed by seed."""
        return excite(
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
        ).images


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
        PLAIN: Prompt(pair.prompt, index),
        "A&E": Moved(pair, index, without),
        ONES: Moved(pair, index, with_vectors),
        WITH_VECTORS: Moved(pair, index, with_vectors, hrv),
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


def rate_ways(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    pairs: Sequence[Pair],
    made: Sequence[Mapping[str, Arm]],
    *,
    score: Score,
    store: str | Path,
    seeds: Sequence[int] = tuple(range(8)),
    batch_size: int = 8,
    progress: bool = True,
    **call: Any,
) -> xr.Dataset:
    """Draw pairs in several ways, and see which of their things are there.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    hrv : xarray.DataArray, dims (concept, head_position)
    pairs : sequence of Pair
    made : sequence of dict of str to Arm
        For each pair the same ways, from `make_ways` or of one's own.
    score : Score
        A thing is seen where it scores the score's least or more.
    store : str or Path
        Keeps the pictures; a killed run resumes.
    seeds : sequence of int
        Of the initial noise.
    batch_size : int
        Pictures of a pair that go through the model together.
    progress : bool
    **call
        Keywords of the pipeline's own call.

    Returns
    -------
    xarray.Dataset
        ``score (arm, prompt, seed, half)``, of what the prompt says of each thing; ``shown``,
        whether that is seen; ``present``, whether the thing is, of whatever color; ``image (arm,
        prompt, seed)``; ``evaluations (arm, prompt, with_gradient)``, how often the UNet ran for a
        picture, each half of a guided batch for itself.

    Raises
    ------
    ParameterError, ConceptError, TokenError, ModelError, StoreError
        Before anything is generated.
    """
    if not pairs:
        raise ParameterError("the list of pairs is empty; give at least one")
    check_model(hrv, pipe)
    score.check([text for pair in pairs for text in (*pair.halves, *pair.things)])
    ways = list(made[0])
    arms = [ways_of[way] for way in ways for ways_of in made]
    drawn = draw_arms(
        pipe, arms, store=store, seeds=seeds, batch_size=batch_size, progress=progress, **call
    )
    shape = (len(ways), len(pairs), len(seeds))

    def rated(texts: Sequence[tuple[str, str]]) -> xr.DataArray:
        halves = [
            rate(drawn, score, [text[half] for text in texts] * len(ways)).values.reshape(shape)
            for half in (0, 1)
        ]
        return xr.DataArray(np.stack(halves, axis=-1), dims=("arm", "prompt", "seed", "half"))

    scores = rated([pair.halves for pair in pairs])
    evaluations = drawn["evaluations"].values.reshape(*shape[:2], 2)
    result = xr.Dataset(
        {
            "score": scores,
            "shown": scores >= score.least,
            "present": rated([pair.things for pair in pairs]) >= score.least,
            "image": (("arm", "prompt", "seed"), drawn["image"].values.reshape(shape)),
            "evaluations": (("arm", "prompt", "with_gradient"), evaluations),
        },
        {
            "arm": ways,
            "seed": list(seeds),
            "with_gradient": [False, True],
            "prompt_text": ("prompt", [pair.prompt for pair in pairs]),
        },
    )
    result.encoding = drawn.encoding
    return result


def compare_excitations(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    pairs: Sequence[Pair],
    *,
    with_vectors: Excitation,
    without: Excitation,
    **options: Any,
) -> xr.Dataset:
    """Draw pairs in every way of `make_ways`, and see which of their things are there.

    Parameters
    ----------
    pipe, hrv, pairs
        See `rate_ways`.
    with_vectors, without : Excitation
        Settings of A&E-HRV and of Attend-and-Excite.
    **options
        Of `rate_ways`.

    Returns
    -------
    xarray.Dataset
        See `rate_ways`.

    Notes
    -----
    Section 7 of arXiv 2412.02237.
    """
    made = [
        make_ways(hrv, pair, index, with_vectors=with_vectors, without=without)
        for index, pair in enumerate(pairs)
    ]
    return rate_ways(pipe, hrv, pairs, made, **options)


def try_excitations(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    pairs: Sequence[Pair],
    candidates: Mapping[str, Excitation],
    *,
    vectors: bool,
    **options: Any,
) -> xr.Dataset:
    """Draw pairs with several settings, to choose among them: on pairs that no result is of.

    Parameters
    ----------
    pipe, hrv, pairs
        See `rate_ways`.
    candidates : dict of str to Excitation
    vectors : bool
        Whether heads are weighted.
    **options
        Of `rate_ways`.

    Returns
    -------
    xarray.Dataset
        See `rate_ways`; an arm is a candidate.
    """
    made = [
        {name: Moved(pair, i, one, hrv if vectors else None) for name, one in candidates.items()}
        for i, pair in enumerate(pairs)
    ]
    return rate_ways(pipe, hrv, pairs, made, **options)
