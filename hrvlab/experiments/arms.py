"""The arms of a trial: what is drawn with the same seeds to be compared, rated and kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import xarray as xr
from diffusers import DiffusionPipeline
from numpy.typing import NDArray
from tqdm.auto import tqdm

from hrvlab.attention import Rescale
from hrvlab.errors import ParameterError, StoreError
from hrvlab.experiments.pictures import keep_images
from hrvlab.experiments.scoring import Score, check_texts, rate, score_names
from hrvlab.experiments.sweep import open_ledger
from hrvlab.generation import Batch, as_uint8, plan_batches, refuse, run_batch
from hrvlab.ledger import DATA, Unit, complete, writing
from hrvlab.store import provenance, read_dataset, write_dataset
from hrvlab.typing import Images


@dataclass(frozen=True)
class Drawing:
    """What an arm drew.

    Parameters
    ----------
    images : ndarray of uint8, shape (row × seed, y, x, channel)
        Row by row, seed by seed.
    measures : mapping of str to ndarray, shape (row × seed,)
        What else was measured while drawing.
    """

    images: Images
    measures: Mapping[str, NDArray[Any]] = field(default_factory=dict)


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
    ) -> Drawing:
        """Draw it."""


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
    ) -> Drawing:
        """Draw it."""
        pictures = [(row, seed) for row in range(self.rows) for seed in seeds]
        images = []
        for start in range(0, len(pictures), batch_size):
            rows, drawn = zip(*pictures[start : start + batch_size], strict=True)
            batch = Batch((self.prompt,) * len(rows), (self.index,) * len(rows), drawn)
            edits = [] if self.edit is None else [self.edit.for_prompts(rows)]
            made, _ = run_batch(pipe, batch, *edits, output_type="np", **call)
            images.append(as_uint8(made))
        return Drawing(np.concatenate(images))


def draw_arms(
    pipe: DiffusionPipeline,
    arms: Sequence[Arm],
    *,
    score: Score | Mapping[str, Score],
    texts: Mapping[str, Sequence[str]],
    store: str | Path,
    seeds: Sequence[int] = (0,),
    batch_size: int = 16,
    progress: bool = True,
    **call: Any,
) -> xr.Dataset:
    """Draw every arm with every seed, rate the pictures and keep them.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    arms : sequence of Arm
    score : Score or mapping of str to Score
        One, or several by the names of their witnesses.
    texts : mapping of str to sequence of str
        By the name of what is rated: for every row, what its pictures are scored against.
    store : str or Path
        Keeps ratings and pictures, in a folder of its own for every plan; a killed run resumes.
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
        Arm by arm: a variable ``(row, seed)`` for each of the texts, for several scores with the
        leading dim ``witness``, and for each of the arms' own measures; and ``image (row, seed)``,
        file names that `hrvlab.experiments.pictures.read_images` takes.

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
    own = {"num_images_per_prompt", "output_type", "latents", "height", "width"}
    refuse(call, own, "arms draw one picture a seed, of the model's own size")
    for arm in arms:
        arm.check(pipe)
    rows = sum(arm.rows for arm in arms)
    for rated, of_rows in texts.items():
        if len(of_rows) != rows:
            raise ParameterError(f"{rows} rows need as many texts of {rated}, got {len(of_rows)}")
        check_texts(score, of_rows)
    parameters = {
        "arms": [arm.plan() for arm in arms],
        "seeds": list(seeds),
        "score": score_names(score),
        "texts": {rated: list(of_rows) for rated, of_rows in texts.items()},
        "batch_size": batch_size,
        **call,
    }
    ledger = open_ledger(pipe, store, parameters)
    names = [
        [f"{number:03d}-{row:02d}-{seed:03d}.png" for row in range(arm.rows) for seed in seeds]
        for number, arm in enumerate(arms)
    ]
    first = np.cumsum([0, *(arm.rows for arm in arms)])

    def draw(missing: list[int]) -> Iterator[tuple[int, Unit]]:
        for number in tqdm(missing, "arms", disable=not progress):
            drawing = arms[number].draw(pipe, seeds, batch_size=batch_size, **call)
            unit = dict(drawing.measures)
            for rated, of_rows in texts.items():
                of_pictures = np.repeat(of_rows[first[number] : first[number + 1]], len(seeds))
                unit[rated] = rate(score, drawing.images, of_pictures.tolist())
            keep_images(ledger.folder, names[number], drawing.images)
            yield number, unit

    with writing(ledger.folder):
        done = dict(complete(ledger, len(arms), draw))
    units = [done[number] for number in range(len(arms))]
    witnesses = list(score) if isinstance(score, Mapping) else None
    drawn = _joined(units, np.concatenate(names), list(texts), witnesses, list(seeds))
    drawn.encoding["source"] = str(ledger.folder / "plan.json")
    return drawn


def unfold(drawn: xr.Dataset, sizes: Mapping[str, int]) -> xr.Dataset:
    """Lay rows out along dims of their own.

    Parameters
    ----------
    drawn : xarray.Dataset, dims (..., row, seed)
    sizes : mapping of str to int
        The dims that rows run through, the fastest last.
    """
    grid = pd.MultiIndex.from_product([range(size) for size in sizes.values()], names=list(sizes))
    places = xr.Coordinates.from_pandas_multiindex(grid, "row")
    return drawn.assign_coords(places).unstack("row").drop_vars(list(sizes))


def keep_result(
    pipe: DiffusionPipeline, found: xr.Dataset, schema: str, parameters: dict[str, Any]
) -> xr.Dataset:
    """Write what a trial found beside its pictures, unless it is there, and give it back as read.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    found : xarray.Dataset
        With the encoding of what `draw_arms` gave, and the coordinate ``seed``.
    schema : str
        Name of the dataset's schema.
    parameters : dict
        All that determined it but the seeds, as JSON.

    Raises
    ------
    SchemaError, StoreError
    """
    seeds = found["seed"].values.tolist()
    found.attrs = provenance(pipe, schema, seed=seeds, parameters=parameters)
    path = Path(found.encoding["source"]).with_name(DATA)
    try:
        there = read_dataset(path)
        if there.drop_attrs().identical(found.drop_attrs()):
            return there
    except StoreError:
        pass  # none yet, or damaged
    with writing(path.parent):
        write_dataset(found, path)
    return read_dataset(path)


def extremes(gained: xr.DataArray) -> tuple[int, int]:
    """Find the prompts in which something was gained the most and the least.

    Parameters
    ----------
    gained : xarray.DataArray, dims (prompt, ...)

    Returns
    -------
    most, least : int
        Numbers of prompts.
    """
    of_prompts = gained.mean([dim for dim in gained.dims if dim != "prompt"])
    return int(of_prompts.values.argmax()), int(of_prompts.values.argmin())


def _joined(
    units: Sequence[Mapping[str, NDArray[Any]]],
    names: NDArray[np.str_],
    rated: Sequence[str],
    witnesses: list[str] | None,
    seeds: list[int],
) -> xr.Dataset:
    """Put the arms' pictures and numbers one below the other."""
    variables = {"image": (("row", "seed"), names.reshape(-1, len(seeds)))}
    for name in units[0]:
        values = np.concatenate([unit[name] for unit in units], axis=-1)
        leading = ("witness",) if witnesses and name in rated else ()
        shape = (*values.shape[: len(leading)], -1, len(seeds))
        variables[name] = (*leading, "row", "seed"), values.reshape(shape)
    return xr.Dataset(variables, {"seed": seeds, **({"witness": witnesses} if witnesses else {})})
