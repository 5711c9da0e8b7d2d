"""Run a trial: generate, score and store the images of its units; a killed run resumes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.progress import track
from hrvlab.provenance import plan_of_model, provenance
from hrvlab.scorers.base import rate
from hrvlab.storage.images import save_images
from hrvlab.storage.units import Ledger, complete, keep

if TYPE_CHECKING:
    from pathlib import Path

    from diffusers import DiffusionPipeline
    from distributed import Client

    from hrvlab.scorers.base import Score
    from hrvlab.storage.run import Run
    from hrvlab.storage.units import Unit
    from hrvlab.typing import Images

# Part of every plan: units computed by another version of this algorithm are not mixed in.
ALGORITHM = 2
EVALUATORS = "evaluator"  # in a unit: the names of its scores, in their order


@dataclass(frozen=True)
class Generated:
    """Images, and what was measured while they were generated.

    Parameters
    ----------
    images : ndarray of uint8, shape (image, y, x, channel)
    measures : mapping of str to ndarray, shape (image,)
    """

    images: Images
    measures: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def withheld(self) -> NDArray[np.bool_]:
        """Which images a safety checker returned all black, shape (image,): they have no scores."""
        return np.invert(self.images.reshape(len(self.images), -1).any(axis=1))


@dataclass(frozen=True)
class TrialUnit:
    """Images that are generated, scored and stored together.

    Parameters
    ----------
    generate : callable (pipe) -> Generated
        It can be pickled, for the workers of a cluster, and so does not hold the pipeline.
    names : sequence of str
        File names of the images.
    texts : mapping of str to sequence of str
        By the name of the scores: for each image, the text that it is scored against.
    """

    generate: Callable[[DiffusionPipeline], Generated]
    names: Sequence[str]
    texts: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Trial:
    """An experiment that is ready to run.

    Parameters
    ----------
    schema : str
        Of the result.
    plan : dict
        All that determines images and scores besides the model, as JSON.
    parameters : dict
        The same for the result's attributes, as JSON.
    seeds : sequence of int
    score : Score, or mapping of str to Score
        A single one, or several by the names of their evaluators.
    units : sequence of TrialUnit
    assemble : callable (list of dict of str to ndarray) -> xarray.Dataset
        Assembles the result from the finished units: the measures of each, shape (image,), and
        its scores, shape (image,) or (evaluator, image).
    """

    schema: str
    plan: dict[str, Any]
    parameters: dict[str, Any]
    seeds: Sequence[int]
    score: Score | Mapping[str, Score]
    units: Sequence[TrialUnit]
    assemble: Callable[[list[Unit]], xr.Dataset]


def run_trial(
    pipe: DiffusionPipeline,
    trial: Trial,
    *,
    store: str | Path | None,
    client: Client | None = None,
    progress: bool = True,
) -> Run:
    """Run a trial, or read what an earlier run of the same plan has finished.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    trial : Trial
    store : str or Path, optional
        Keeps units, images and the result, in a folder of its own for every plan; by default
        nothing is kept.
    client : distributed.Client, optional
        Of a cluster whose workers generate the images. Each loads the pipeline as this one was
        loaded, with as many CPU threads; only this process scores them and writes to the store.
    progress : bool
        Show a progress bar over units.

    Returns
    -------
    Run
        Its data follows the trial's schema and names its provenance.

    Raises
    ------
    StoreError
        If another run is writing to the same folder, its units were computed under other versions
        of the libraries, or something cannot be written; finished units stay.
    ModelError, ClusterError
        If the cluster cannot generate them, see `hrvlab.cluster.spread`.
    """
    evaluators = list(trial.score) if isinstance(trial.score, Mapping) else []
    ledger = None if store is None else _open_ledger(pipe, store, trial.plan)

    def compute(missing: list[int]) -> Iterator[tuple[int, Unit]]:
        for number, generated in _generated(pipe, trial.units, missing, client):
            unit = trial.units[number]
            arrays = dict(generated.measures)
            for name, texts in unit.texts.items():
                arrays[name] = rate(trial.score, generated.images, texts, generated.withheld)
            arrays[EVALUATORS] = np.array(evaluators, str)
            if ledger:
                save_images(ledger.folder, unit.names, generated.images)
            yield number, arrays

    def make() -> xr.Dataset:
        finished = complete(ledger, len(trial.units), compute)
        bar = track(finished, trial.schema, len(trial.units), disable=not progress)
        units = dict(bar)
        found = trial.assemble(
            [
                _in_order(units[number], unit.texts, evaluators)
                for number, unit in enumerate(trial.units)
            ]
        )
        if ledger is None:
            found = found.drop_vars([name for name in found.data_vars if is_image(name)])
        return found.assign_attrs(
            provenance(
                pipe,
                trial.schema,
                seed=list(trial.seeds),
                parameters=trial.parameters,
                versions=ledger.versions() if ledger else None,
            )
        )

    run = keep(ledger, make, trial.parameters)
    run.data.load()  # a later run with other parameters replaces the file
    return run


def run_trials(
    pipe: DiffusionPipeline, trials: Iterable[tuple[str, Trial]], **how: Any
) -> dict[str, Run]:
    """Run several trials, one after the other.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    trials : iterable of (str, Trial)
        With their labels.
    **how
        Keywords of `run_trial`.

    Returns
    -------
    dict of str to Run
    """
    return {label: run_trial(pipe, trial, **how) for label, trial in trials}


def _generated(
    pipe: DiffusionPipeline,
    units: Sequence[TrialUnit],
    missing: list[int],
    client: Client | None,
) -> Iterator[tuple[int, Generated]]:
    """Generate the images of units, here or on the workers of a cluster."""
    if client is None:
        for number in missing:
            yield number, units[number].generate(pipe)
        return
    # Imported here because dask.distributed takes half a second to load.
    from hrvlab.cluster import spread

    yield from spread(
        client, pipe, _generator, (), {number: (units[number].generate,) for number in missing}
    )


def _generator(
    pipe: DiffusionPipeline,
) -> Callable[[Callable[[DiffusionPipeline], Generated]], Generated]:
    """Return a function that generates the images of a unit, on a worker."""
    return lambda generate: generate(pipe)


def is_image(name: Hashable) -> bool:
    """Return whether a variable of that name holds file names of images."""
    return str(name).endswith("image")


def _in_order(unit: Unit, scored: Iterable[str], evaluators: list[str]) -> Unit:
    """Sort a unit's scores as the evaluators are sorted now; older units do not name theirs."""
    arrays = dict(unit)
    stored = arrays.pop(EVALUATORS, np.array(evaluators, str)).tolist()
    if stored == evaluators:
        return arrays
    order = [stored.index(name) for name in evaluators]
    return {**arrays, **{name: arrays[name][order] for name in scored}}


def _open_ledger(pipe: DiffusionPipeline, store: str | Path, plan: dict[str, Any]) -> Ledger:
    """Open the folder of a plan; the model and its scheduler are part of it."""
    return Ledger(store, {"algorithm": ALGORITHM, **plan_of_model(pipe), **plan})
