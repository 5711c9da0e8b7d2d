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
from hrvlab.models.alignment import align
from hrvlab.relevance.vectors import check_model
from hrvlab.typing import Images

PLAIN, REDRAWN = "P2P", "redrawn"
STRENGTHS = (0.0, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Edited:
    """A replacement by Prompt-to-Prompt; its pictures are the edited ones.

    Parameters
    ----------
    case : Replacement
    self_share : float
        See `hrvlab.experiments.editing.edit`.
    hrv : xarray.DataArray, dims (concept, head_position), optional
    strength : float
    rows : int
    """

    case: Replacement
    self_share: float
    hrv: xr.DataArray | None = None
    strength: float = 1.0
    rows: int = 1

    def plan(self) -> dict[str, Any]:
        """Give all that determines its pictures, as JSON."""
        plan = {
            "source": self.case.source,
            "target": self.case.target,
            "self_share": self.self_share,
        }
        if self.hrv is None:
            return plan
        vector = concept_row(self.hrv, self.case.concept).values.tolist()
        return {**plan, "vector": vector, "strength": self.strength}

    def check(self, pipe: DiffusionPipeline) -> None:
        """Raise an error if the two prompts cannot be aligned."""
        align(pipe.tokenizer, self.case.source, self.case.target)

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
            batch_size=batch_size,
            progress=False,
            **call,
        )[1::2]


def make_ways(
    hrv: xr.DataArray,
    case: Replacement,
    *,
    strengths: Sequence[float] = STRENGTHS,
    seed: int = 0,
) -> dict[str, Arm]:
    """Write down every way to replace the words of a case.

    Parameters
    ----------
    hrv : xarray.DataArray, dims (concept, head_position)
    case : Replacement
    strengths : sequence of float
        Of the vector; 0 leaves the new word its own attention, 1 is as published.
    seed : int
        Of the shuffling.

    Returns
    -------
    dict of str to Arm
        ``"P2P"``, ``"P2P-HRV × 1"``, … for each strength, and ``"shuffled heads"`` as published;
        ``"P2P, long"`` and ``"P2P-HRV × 1, short"``, each with the other's share of borrowed
        self-attention; ``"redrawn"``, the new prompt from the same noise.
    """
    concept_row(hrv, case.concept)
    rng = np.random.Generator(np.random.Philox(key=seed))
    shuffled = hrv.copy(data=hrv.values[:, rng.permutation(hrv.sizes["head_position"])])
    short, long = SELF_SHARE, SELF_SHARE_WITH_VECTORS
    return {
        PLAIN: Edited(case, short),
        "P2P, long": Edited(case, long),
        **{f"P2P-HRV × {s:g}": Edited(case, long, hrv, s) for s in strengths},
        "P2P-HRV × 1, short": Edited(case, short, hrv),
        "shuffled heads": Edited(case, long, shuffled),
        REDRAWN: Prompt(case.target),
    }


def compare_edits(
    pipe: DiffusionPipeline,
    hrv: xr.DataArray,
    cases: Sequence[Replacement],
    *,
    score: Score,
    store: str | Path,
    strengths: Sequence[float] = STRENGTHS,
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
    made = [make_ways(hrv, case, strengths=strengths) for case in cases]
    ways = list(made[0])
    arms = [ways_of[way] for way in ways for ways_of in made]
    drawn = draw_arms(
        pipe,
        [*arms, *(Prompt(case.source) for case in cases)],
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
        outside = [_outside(pipe, case, seed, before.shape[1:3], **call) for seed in seeds]
        for way in range(len(ways)):
            after = read_images(result, result["image"][way, number])
            moved[way, number] = distance_outside(before, after, np.stack(outside))
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
    pipe: DiffusionPipeline, case: Replacement, seed: int, size: tuple[int, int], **call: Any
) -> NDArray[np.float32]:
    """Give weights (y, x) that are large where the source's attention to the thing is weak."""
    tree = capture(pipe, case.source, maps=[case.noun], seed=seed, progress=False, **call)
    finest = max(tree.children, key=lambda name: tree[name].sizes["map_y"])
    maps = tree[finest].to_dataset()["maps"]
    attention = maps.mean(("prompt", "timestep", "map_layer", "head", "map_word")).values
    share = Image.fromarray((attention / attention.max()).astype(np.float32))
    return 1 - np.asarray(share.resize(size[::-1], Image.Resampling.BILINEAR))
