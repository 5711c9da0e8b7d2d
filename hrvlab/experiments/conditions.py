"""Conditions: images generated with the same seeds, to be compared with one another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import xarray as xr

from hrvlab.errors import ParameterError
from hrvlab.experiments.runner import Generated, Trial, TrialUnit
from hrvlab.generation import Batch, as_uint8, plan_batches, run_batch
from hrvlab.keywords import check_call, refuse
from hrvlab.noise import as_seeds
from hrvlab.scorers.base import check_texts, score_names

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.attention import Rescale
    from hrvlab.scorers.base import Score
    from hrvlab.storage.units import Unit

# Keywords of the pipeline's call that a trial sets itself.
OWN = {"num_images_per_prompt", "output_type", "latents", "generator", "prompt_embeds"}


class Condition(Protocol):
    """One row of images or several, with an image for each seed in every row."""

    @property
    def rows(self) -> int:
        """Number of rows."""

    def plan(self) -> dict[str, Any]:
        """Return all that determines its images, as JSON."""

    def check(self, pipe: DiffusionPipeline) -> None:
        """Raise an error if its images cannot be generated with this pipeline."""

    def generate(
        self, pipe: DiffusionPipeline, seeds: Sequence[int], *, batch_size: int, **call: Any
    ) -> Generated:
        """Generate its images, row by row, seed by seed."""


@dataclass(frozen=True)
class Prompt:
    """A prompt, without an edit or with one, whose factors may have several rows.

    All rows start from the same noise.

    Parameters
    ----------
    prompt : str
    index : int
        The noise derives from it and the seed; conditions to be compared share it.
    edit : Rescale, optional
        With a row of images for each row of its factors.
    """

    prompt: str
    index: int
    edit: Rescale | None = None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return 1 if self.edit is None else len(np.atleast_2d(self.edit.factors))

    def plan(self) -> dict[str, Any]:
        """Return all that determines its images, as JSON."""
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
        """Raise an error if the prompt is empty, or does not contain the edit's word."""
        plan_batches([self.prompt], [0], 1)
        if self.edit is not None:
            self.edit.columns(pipe, [self.prompt])

    def generate(
        self, pipe: DiffusionPipeline, seeds: Sequence[int], *, batch_size: int, **call: Any
    ) -> Generated:
        """Generate its images, row by row, seed by seed."""
        wanted = [(row, seed) for row in range(self.rows) for seed in seeds]
        images = []
        for start in range(0, len(wanted), batch_size):
            rows, own_seeds = zip(*wanted[start : start + batch_size], strict=True)
            batch = Batch((self.prompt,) * len(rows), (self.index,) * len(rows), own_seeds)
            edits = [] if self.edit is None else [self.edit.for_prompts(rows)]
            made = run_batch(pipe, batch, *edits, output_type="np", **call)
            images.append(as_uint8(made.images))
        return Generated(np.concatenate(images))


def condition_names(conditions: Sequence[Mapping[str, Condition]], cases: int) -> list[str]:
    """Return the names of conditions that are the same for every case.

    Parameters
    ----------
    conditions : sequence of dict of str to Condition
        For each case, its conditions by name.
    cases : int
        Number of cases.

    Returns
    -------
    list of str

    Raises
    ------
    ParameterError
        If there are none, they are not the same for every case, or one has several rows.
    """
    if isinstance(conditions, Mapping) or len(conditions) != cases:
        raise ParameterError(
            f"{cases} cases need a list of as many dicts of conditions, got {len(conditions)}"
        )
    names = list(conditions[0])
    if not names:
        raise ParameterError("the dict of conditions is empty; give at least one")
    for number, of_case in enumerate(conditions):
        if other := {*names} ^ {*of_case}:
            raise ParameterError(
                f"case {number} has other conditions than case 0: they differ in "
                f"{', '.join(sorted(map(repr, other)))}"
            )
        if several := [name for name in names if of_case[name].rows != 1]:
            raise ParameterError(
                f"{several[0]!r} of case {number} has {of_case[several[0]].rows} rows; give "
                "conditions of one row"
            )
    return names


def plan_trial(
    pipe: DiffusionPipeline,
    conditions: Sequence[Condition],
    finish: Callable[[xr.Dataset], xr.Dataset],
    *,
    schema: str,
    parameters: dict[str, Any],
    score: Score | Mapping[str, Score],
    texts: Mapping[str, Sequence[str]],
    seeds: int | Sequence[int],
    batch_size: int,
    **call: Any,
) -> Trial:
    """Plan a trial of conditions, each of which is a unit.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    conditions : sequence of Condition
    finish : callable (xarray.Dataset) -> xarray.Dataset
        Makes the result from a dataset of all conditions' rows. It has a variable ``(row, seed)``
        of scores for each name in ``texts``, with the leading dim ``evaluator`` if there are
        several; one for each measure of the conditions' own; and ``image (row, seed)``, file names.
    schema : str
        Of the result.
    parameters : dict
        For the result's attributes.
    score : Score or mapping of str to Score
        One, or several by the names of their evaluators.
    texts : mapping of str to sequence of str
        By the name of the scores: for every row, the text that its images are scored against.
    seeds : int or sequence of int
        Of the initial noise.
    batch_size : int
        Images of a condition that go through the model together.
    **call
        Keywords of the pipeline's own call.

    Returns
    -------
    Trial
        For `hrvlab.experiments.runner.run_trial`.

    Raises
    ------
    ParameterError, TokenError, ModelError
        If one of the conditions cannot be generated, or its texts cannot be scored.
    """
    if not conditions:
        raise ParameterError("the list of conditions is empty; give at least one")
    seeds = as_seeds(seeds)
    if batch_size < 1:
        raise ParameterError(f"batch_size is {batch_size}; give 1 or more")
    refuse(call, OWN, "every condition has one image per seed")
    call = check_call(pipe, call, prompts=1, images=1)
    for condition in conditions:
        condition.check(pipe)
    first = np.cumsum([0, *(condition.rows for condition in conditions)])
    for name, of_rows in texts.items():
        if len(of_rows) != first[-1]:
            raise ParameterError(
                f"{first[-1]} rows need as many texts for {name!r}, got {len(of_rows)}"
            )
        check_texts(score, of_rows)
    units = [
        TrialUnit(
            partial(condition.generate, seeds=seeds, batch_size=batch_size, **call),
            [f"{number:03d}-{row:02d}-{s:03d}.png" for row in range(condition.rows) for s in seeds],
            {
                name: np.repeat(of_rows[first[number] : first[number + 1]], len(seeds)).tolist()
                for name, of_rows in texts.items()
            },
        )
        for number, condition in enumerate(conditions)
    ]
    evaluators = list(score) if isinstance(score, Mapping) else []

    def assemble(finished: list[Unit]) -> xr.Dataset:
        names = np.array([name for unit in units for name in unit.names])
        return finish(_joined(finished, names, list(texts), evaluators, list(seeds)))

    plan = {
        "arms": [condition.plan() for condition in conditions],  # the name in stored plans
        "seeds": list(seeds),
        "score": score_names(score),
        "texts": {name: list(of_rows) for name, of_rows in texts.items()},
        "batch_size": batch_size,
        **call,
    }
    return Trial(schema, plan, parameters, seeds, score, units, assemble)


def unfold(rows: xr.Dataset, sizes: Mapping[str, int]) -> xr.Dataset:
    """Lay rows out along several dims.

    Parameters
    ----------
    rows : xarray.Dataset, dims (..., row, seed)
    sizes : mapping of str to int
        Sizes of the dims by name; the last one varies fastest from row to row.

    Returns
    -------
    xarray.Dataset
        With these dims instead of ``row``.
    """
    grid = pd.MultiIndex.from_product([range(size) for size in sizes.values()], names=list(sizes))
    numbered = xr.Coordinates.from_pandas_multiindex(grid, "row")
    return rows.assign_coords(numbered).unstack("row").drop_vars(list(sizes))


def extremes(gained: xr.DataArray) -> tuple[int, int]:
    """Find the prompts with the largest and the smallest mean gain.

    Parameters
    ----------
    gained : xarray.DataArray, dims (prompt, ...)

    Returns
    -------
    most, least : int
        Indices of prompts; those without any number are passed over.

    Examples
    --------
    >>> gained = xr.DataArray([[0.0, 0.2], [0.9, 0.7], [-0.5, 0.4]], dims=("prompt", "seed"))
    >>> extremes(gained)
    (1, 2)
    """
    of_prompts = gained.mean([dim for dim in gained.dims if dim != "prompt"])
    most, least = of_prompts.fillna(-np.inf), of_prompts.fillna(np.inf)
    return int(most.values.argmax()), int(least.values.argmin())


def _joined(
    units: Sequence[Unit],
    names: np.ndarray,
    scored: Sequence[str],
    evaluators: list[str],
    seeds: list[int],
) -> xr.Dataset:
    """Concatenate the rows of all conditions."""
    variables = {"image": (("row", "seed"), names.reshape(-1, len(seeds)))}
    for name in units[0]:
        values = np.concatenate([unit[name] for unit in units], axis=-1)
        leading = ("evaluator",) if evaluators and name in scored else ()
        shape = (*values.shape[: len(leading)], -1, len(seeds))
        variables[name] = (*leading, "row", "seed"), values.reshape(shape)
    coords = {"seed": seeds, **({"evaluator": evaluators} if evaluators else {})}
    return xr.Dataset(variables, coords)
