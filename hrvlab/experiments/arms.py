"""The arms of a trial: what is drawn with the same seeds to be compared, kept and rated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xarray as xr
from diffusers import DiffusionPipeline
from tqdm.auto import tqdm

from hrvlab.attention import Rescale
from hrvlab.errors import ParameterError
from hrvlab.experiments.pictures import keep_images, read_images
from hrvlab.experiments.scoring import Score
from hrvlab.experiments.sweep import open_ledger
from hrvlab.generation import Batch, as_uint8, plan_batches, run_batch
from hrvlab.typing import Images


class Arm(Protocol):
    """Something to draw: one row of pictures or several, a picture for each seed in every row."""

    @property
    def rows(self) -> int:
        """How many rows it has."""

    def plan(self) -> dict[str, Any]:
        """Give all that determines its pictures, as JSON."""

    def check(self, pipe: DiffusionPipeline) -> None:
        """Raise an error if it cannot be drawn."""

    def draw(
        self, pipe: DiffusionPipeline, seeds: Sequence[int], *, batch_size: int, **call: Any
    ) -> Images:
        """Draw it, row by row, seed by seed."""


@dataclass(frozen=True)
class Prompt:
    """A prompt, drawn plainly, or with an edit, or with several: a row for each of its factors.

    All rows begin with the same noise.

    Parameters
    ----------
    prompt : str
    index : int
        The noise derives from it and the seed; what is to be compared has the same.
    edit : Rescale, optional
    """

    prompt: str
    index: int
    edit: Rescale | None = None

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return 1 if self.edit is None else len(np.atleast_2d(self.edit.factors))

    def plan(self) -> dict[str, Any]:
        """Give all that determines its pictures, as JSON."""
        plan = {"prompt": self.prompt, "index": self.index}
        if self.edit is None:
            return plan
        words = self.edit.words
        return {
            **plan,
            "factors": self.edit.factors.tolist(),
            "words": words if isinstance(words, str) else list(words),
            "window": list(self.edit.window),
        }

    def check(self, pipe: DiffusionPipeline) -> None:
        """Raise an error if the prompt is empty, or does not hold the edit's word."""
        plan_batches([self.prompt], [0], 1)
        if self.edit is not None:
            self.edit.columns(pipe.tokenizer, [self.prompt])

    def draw(
        self, pipe: DiffusionPipeline, seeds: Sequence[int], *, batch_size: int, **call: Any
    ) -> Images:
        """Draw it, row by row, seed by seed."""
        pictures = [(row, seed) for row in range(self.rows) for seed in seeds]
        images = []
        for start in range(0, len(pictures), batch_size):
            rows, drawn = zip(*pictures[start : start + batch_size], strict=True)
            batch = Batch((self.prompt,) * len(rows), (self.index,) * len(rows), drawn)
            edits = [] if self.edit is None else [self.edit.for_prompts(rows)]
            made, _ = run_batch(pipe, batch, *edits, output_type="np", **call)
            images.append(as_uint8(made))
        return np.concatenate(images)


def draw_arms(
    pipe: DiffusionPipeline,
    arms: Sequence[Arm],
    *,
    store: str | Path,
    seeds: Sequence[int] = (0,),
    batch_size: int = 16,
    progress: bool = True,
    **call: Any,
) -> xr.Dataset:
    """Draw every arm with every seed and keep the pictures.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    arms : sequence of Arm
    store : str or Path
        Keeps the pictures, in a folder of its own for every plan; a killed run resumes.
    seeds : sequence of int
        Of the initial noise.
    batch_size : int
        Pictures of an arm that go through the model together.
    progress : bool
    **call
        Keywords of the pipeline's own call.

    Returns
    -------
    xarray.Dataset
        ``image (row, seed)``, file names that `rate` and `read_images` take; arm by arm.

    Raises
    ------
    ParameterError, TokenError, ModelError, StoreError
        Before anything is generated.
    """
    if not arms:
        raise ParameterError("the list of arms is empty; give at least one")
    if not seeds:
        raise ParameterError("the list of seeds is empty; give at least one seed")
    if batch_size < 1:
        raise ParameterError(f"batch_size is {batch_size}; give 1 or more")
    if taken := sorted({"num_images_per_prompt", "output_type", "latents"} & call.keys()):
        raise ParameterError(f"arms draw one picture a seed; leave out {', '.join(taken)}")
    for arm in arms:
        arm.check(pipe)
    parameters = {"arms": [arm.plan() for arm in arms], "seeds": list(seeds)}
    ledger = open_ledger(pipe, store, {**parameters, "batch_size": batch_size, **call})
    names = [
        [f"{number:03d}-{row:02d}-{seed:03d}.png" for row in range(arm.rows) for seed in seeds]
        for number, arm in enumerate(arms)
    ]
    missing = [number for number in range(len(arms)) if ledger.read(number) is None]
    if missing:
        with ledger.writing():
            for number in tqdm(missing, "arms", disable=not progress):
                images = arms[number].draw(pipe, seeds, batch_size=batch_size, **call)
                keep_images(ledger.folder, names[number], images)
                ledger.finish(number, seeds=np.array(seeds))
    table = np.concatenate(names).reshape(-1, len(seeds))
    drawn = xr.Dataset({"image": (("row", "seed"), table)}, {"seed": list(seeds)})
    drawn.encoding["source"] = str(ledger.folder / "plan.json")
    return drawn


def rate(drawn: xr.Dataset, score: Score, texts: Sequence[str]) -> xr.DataArray:
    """Score an experiment's pictures.

    Parameters
    ----------
    drawn : xarray.Dataset
        From `draw_arms`.
    score : Score
    texts : sequence of str
        What each row's pictures are scored against.

    Returns
    -------
    xarray.DataArray
        Dims ``(row, seed)``.

    Raises
    ------
    ParameterError
        If there is not a text for every row.
    """
    names = drawn["image"]
    if len(texts) != names.sizes["row"]:
        raise ParameterError(f"{names.sizes['row']} rows need as many texts, got {len(texts)}")
    of_pictures = np.repeat(list(texts), names.sizes["seed"])
    scores = score(read_images(drawn, names), of_pictures.tolist())
    return names.copy(data=scores.reshape(names.shape)).rename("score")
