"""Ways to replace a word, compared by what they reach and what they keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from diffusers import DiffusionPipeline
from numpy.typing import NDArray
from PIL import Image
from tqdm.auto import tqdm

from hrvlab.capture import capture
from hrvlab.errors import ParameterError
from hrvlab.experiments.arms import Arm, Prompt, draw_arms, rate
from hrvlab.experiments.benchmarks import Replacement
from hrvlab.experiments.editing import SELF_SHARE, SELF_SHARE_WITH_VECTORS, edit
from hrvlab.experiments.pictures import read_images
from hrvlab.experiments.scoring import Score
from hrvlab.experiments.steering import concept_row
from hrvlab.generation import initial_noise
from hrvlab.models.alignment import align
from hrvlab.models.tokens import word_columns
from hrvlab.relevance.vectors import check_model
from hrvlab.typing import Images


@dataclass(frozen=True)
class Edited:
    """A replacement by Prompt-to-Prompt; its pictures are the edited ones.

    Parameters
    ----------
    case : Replacement
    index : int
        The noise derives from it and the seed.
    self_share : float
        See `hrvlab.experiments.editing.edit`.
    hrv : xarray.DataArray, dims (concept, head_position), optional
    strength : float
    """

    case: Replacement
    index: int
    self_share: float
    hrv: xr.DataArray | None = None
    strength: float = 1.0

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
    ) -> Images:
        """Draw it, seed by seed."""
        return edit(
            pipe,
            self.case.source,
            self.case.target,
            hrv=self.hrv,
            concept=None if self.hrv is None else self.case.concept,
            strength=self.strength,
            self_share=self.self_share,
            seed=seeds,
            latents=initial_noise(pipe, seeds, self.index),
            batch_size=batch_size,
            progress=False,
            **call,
        )[1::2]


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
        each with the other's share of borrowed self-attention; ``"P2P-HRV × 0"``, which leaves the
        new word its own attention, and further strengths; ``"shuffled heads"``, the vector on the
        wrong heads; ``"redrawn"``, the new prompt from the same noise.
    """
    concept_row(hrv, case.concept)
    rng = np.random.Generator(np.random.Philox(key=index))
    shuffled = hrv.copy(data=hrv.values[:, rng.permutation(hrv.sizes["head_position"])])
    short, long = SELF_SHARE, SELF_SHARE_WITH_VECTORS
    return {
        "P2P": Edited(case, index, short),
        "P2P, long": Edited(case, index, long),
        **{f"P2P-HRV × {s:g}": Edited(case, index, long, hrv, s) for s in [0, 1, *strengths]},
        "P2P-HRV × 1, short": Edited(case, index, short, hrv),
        "shuffled heads": Edited(case, index, long, shuffled),
        "redrawn": Prompt(case.target, index),
    }


def compare_edits(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    cases: Sequence[Replacement],
    *,
    score: Score,
    store: str | Path,
    strengths: Sequence[float] = (),
    seeds: Sequence[int] = tuple(range(8)),
    batch_size: int = 16,
    progress: bool = True,
    **call: Any,
) -> xr.Dataset:
    """Replace words in several ways, and rate what was reached against what was kept.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    hrv : xarray.DataArray, dims (concept, head_position)
    cases : sequence of Replacement
        From `hrvlab.experiments.benchmarks.read_editing`.
    score : Score
    store : str or Path
        Keeps the pictures; a killed run resumes.
    strengths
        See `make_ways`.
    seeds : sequence of int
        Of the initial noise.
    batch_size : int
    progress : bool
    **call
        Keywords of the pipeline's own call.

    Returns
    -------
    xarray.Dataset
        ``reached (arm, prompt, seed)``, the score of what was wanted; ``kept``, that of the thing
        that should have stayed; ``moved``, how far the picture outside the thing moved from the
        source picture, 0 to 1; ``image``; and ``source_image (prompt, seed)``.

    Raises
    ------
    ParameterError, ConceptError, TokenError, ModelError, StoreError
        Before anything is generated.

    Notes
    -----
    Section 6 of arXiv 2412.02237. Outside the thing is where the source's cross-attention to it is
    weak.
    """
    if not cases:
        raise ParameterError("the list of cases is empty; give at least one")
    check_model(hrv, pipe)
    score.check([text for case in cases for text in (case.wanted, case.thing)])
    for case in cases:
        word_columns(pipe.tokenizer, case.source, case.noun)
    made = [make_ways(hrv, case, i, strengths=strengths) for i, case in enumerate(cases)]
    ways = list(made[0])
    arms = [ways_of[way] for way in ways for ways_of in made]
    drawn = draw_arms(
        pipe,
        [*arms, *(Prompt(case.source, index) for index, case in enumerate(cases))],
        store=store,
        seeds=seeds,
        batch_size=batch_size,
        progress=progress,
        **call,
    )
    shape = (len(ways), len(cases), len(seeds))
    names = drawn["image"].values
    sources = names[len(arms) :]
    result = xr.Dataset(
        {
            "image": (("arm", "prompt", "seed"), names[: len(arms)].reshape(shape)),
            "source_image": (("prompt", "seed"), sources),
        },
        {
            "arm": ways,
            "seed": list(seeds),
            "prompt_text": ("prompt", [case.source for case in cases]),
            "target_text": ("prompt", [case.target for case in cases]),
            "concept": ("prompt", [case.concept for case in cases]),
        },
    )
    result.encoding = drawn.encoding
    edited = drawn.isel(row=slice(len(arms)))
    edited.encoding = drawn.encoding
    for name, texts in (
        ("reached", [case.wanted for case in cases]),
        ("kept", [case.thing for case in cases]),
    ):
        rated = rate(edited, score, texts * len(ways)).values.reshape(shape)
        result[name] = ("arm", "prompt", "seed"), rated
    moved = np.empty(shape)
    for number, case in enumerate(tqdm(cases, "outside", disable=not progress)):
        before = read_images(result, result["source_image"][number])
        outside = _outside(pipe, case, number, seeds, before.shape[1:3], **call)
        for way in range(len(ways)):
            after = read_images(result, result["image"][way, number])
            moved[way, number] = distance_outside(before, after, outside)
    result["moved"] = ("arm", "prompt", "seed"), moved
    return result


def distance_outside(
    before: Images, after: Images, outside: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Give the mean absolute difference of pictures, weighted by place.

    Parameters
    ----------
    before, after : ndarray of uint8, shape (image, y, x, channel)
    outside : ndarray of float, shape (image, y, x)
        Weights.

    Returns
    -------
    ndarray of float64, shape (image,)
        0 for equal pictures, 1 for black and white.
    """
    difference = np.abs(before.astype(np.float64) - after).mean(-1) / 255
    return (difference * outside).sum((1, 2)) / outside.sum((1, 2))


def _outside(
    pipe: DiffusionPipeline,
    case: Replacement,
    index: int,
    seeds: Sequence[int],
    size: tuple[int, int],
    **call: Any,
) -> NDArray[np.float32]:
    """Give weights (seed, y, x), large where the source's attention to the thing is weak."""
    tree = capture(
        pipe,
        [case.source] * len(seeds),
        maps=[case.noun],
        latents=initial_noise(pipe, seeds, index),
        batch_size=len(seeds),
        progress=False,
        **call,
    )
    finest = max(tree.children, key=lambda name: tree[name].sizes["map_y"])
    maps = tree[finest].to_dataset()["maps"]
    attention = maps.mean(("timestep", "map_layer", "head", "map_word")).values
    shares = (attention / attention.max((1, 2), keepdims=True)).astype(np.float32)
    resized = [Image.fromarray(s).resize(size[::-1], Image.Resampling.BILINEAR) for s in shares]
    return 1 - np.stack([np.asarray(share) for share in resized])
