"""The arms of a trial: the same seeds, drawn in several ways that are to be compared."""

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
from hrvlab.generation import generate, plan_batches
from hrvlab.typing import Images


class Drawable(Protocol):
    """One way to draw a picture."""

    def plan(self) -> dict[str, Any]:
        """Give all that determines its pictures, as JSON."""

    def check(self, pipe: DiffusionPipeline) -> None:
        """Raise an error if it cannot be drawn."""

    def draw(self, pipe: DiffusionPipeline, seeds: Sequence[int], **call: Any) -> Images:
        """Draw it once a seed."""


@dataclass(frozen=True)
class Arm:
    """A prompt, drawn plainly or with an edit.

    Parameters
    ----------
    prompt : str
    edit : Rescale, optional
    """

    prompt: str
    edit: Rescale | None = None

    def plan(self) -> dict[str, Any]:
        """Give all that determines its pictures, as JSON."""
        if self.edit is None:
            return {"prompt": self.prompt}
        words = self.edit.words
        return {
            "prompt": self.prompt,
            "factors": np.asarray(self.edit.factors).tolist(),
            "words": words if isinstance(words, str) else list(words),
            "window": list(self.edit.window),
        }

    def check(self, pipe: DiffusionPipeline) -> None:
        """Raise an error if the prompt is empty, or does not hold the edit's word."""
        plan_batches([self.prompt], [0], 1)
        if self.edit is not None:
            self.edit.columns(pipe.tokenizer, [self.prompt])

    def draw(self, pipe: DiffusionPipeline, seeds: Sequence[int], **call: Any) -> Images:
        """Draw it once a seed."""
        edits = () if self.edit is None else self.edit
        return generate(pipe, self.prompt, seed=seeds, edit=edits, **call)


def draw_arms(
    pipe: DiffusionPipeline,
    arms: Sequence[Drawable],
    *,
    store: str | Path,
    seeds: Sequence[int] = (0,),
    batch_size: int = 8,
    progress: bool = True,
    **call: Any,
) -> xr.Dataset:
    """Draw every arm with every seed, from the same noise, and keep the pictures.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    arms : sequence of Drawable
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
        ``image (arm, seed)``, file names that `rate` and `read_images` take.

    Raises
    ------
    ParameterError, TokenError, ModelError, StoreError
        Before anything is generated.
    """
    if not arms:
        raise ParameterError("the list of arms is empty; give at least one")
    if not seeds:
        raise ParameterError("the list of seeds is empty; give at least one seed")
    for arm in arms:
        arm.check(pipe)
    parameters = {"arms": [arm.plan() for arm in arms], "seeds": list(seeds)}
    ledger = open_ledger(pipe, store, {**parameters, "batch_size": batch_size, **call})
    names = [[f"{number:03d}-{seed:03d}.png" for seed in seeds] for number in range(len(arms))]
    for number, arm in enumerate(tqdm(arms, "arms", disable=not progress)):
        if ledger.read(number) is not None:
            continue
        images = arm.draw(pipe, seeds, batch_size=batch_size, progress=False, **call)
        keep_images(ledger.folder, names[number], images)
        ledger.finish(number, seeds=np.array(seeds))
    drawn = xr.Dataset({"image": (("arm", "seed"), np.array(names))}, {"seed": list(seeds)})
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
        What each arm's pictures are scored against.

    Returns
    -------
    xarray.DataArray
        Dims ``(arm, seed)``.

    Raises
    ------
    ParameterError
        If there is not a text for every arm.
    """
    names = drawn["image"]
    if len(texts) != names.sizes["arm"]:
        raise ParameterError(f"{names.sizes['arm']} arms need as many texts, got {len(texts)}")
    of_pictures = np.repeat(list(texts), names.sizes["seed"])
    scores = score(read_images(drawn, names), of_pictures.tolist())
    return names.copy(data=scores.reshape(names.shape)).rename("score")
