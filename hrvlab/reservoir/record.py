"""Record queries once, so that heads can be asked about words later, without the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.errors import CoverageError
from hrvlab.generation import plan_batches, run_batch
from hrvlab.inputs.prompts import as_prompts
from hrvlab.keywords import check_call, describe, refuse
from hrvlab.models.families import family_of
from hrvlab.models.known_words import warn_of_unknown_words
from hrvlab.models.load import fingerprint, scheduler_settings, surroundings
from hrvlab.noise import as_seeds
from hrvlab.progress import track
from hrvlab.provenance import provenance
from hrvlab.reservoir.draws import draw_calls, draw_positions
from hrvlab.reservoir.pool import Pool
from hrvlab.reservoir.recordable import BUDGET_BYTES, CALLS, POSITIONS, plan_queries
from hrvlab.reservoir.tap import SampledQueries
from hrvlab.reservoir.vocabulary import shipped_vocabulary, unique
from hrvlab.reservoir.words import describe_words
from hrvlab.storage.shards import ShardLedger
from hrvlab.storage.units import complete, keep

if TYPE_CHECKING:
    from pathlib import Path

    from diffusers import DiffusionPipeline
    from distributed import Client

    from hrvlab.generation import Batch
    from hrvlab.reservoir.groups import LayerGroup
    from hrvlab.reservoir.recordable import Kept
    from hrvlab.storage.units import Unit
    from hrvlab.typing import Prompts

# Part of every plan, so that units of another version of this algorithm are never reused.
ALGORITHM = 1
CALL, TIMESTEPS = "call", "scheduler_timestep"


def record_queries(
    pipe: DiffusionPipeline,
    prompts: Prompts,
    *,
    store: str | Path,
    positions: int = POSITIONS,
    calls: int | Sequence[int] | None = CALLS,
    seed: int = 0,
    batch_size: int = 8,
    vocabulary: Sequence[str] | None = None,
    budget_bytes: int = BUDGET_BYTES,
    client: Client | None = None,
    progress: bool = True,
    **call: Any,
) -> Pool:
    """Generate an image from every prompt and keep a sample of the heads' queries; ask later.

    A killed run resumes at its first missing batch and ends in the same bits. Images are not kept,
    and are those of the untouched pipeline.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
        Of a family whose keys of a word are the same in every call: of Stable Diffusion, PixArt and
        Sana, not of joint attention.
    prompts : str, Path, or iterable of str
        One prompt, several, or a file of them; see `hrvlab.read_prompts`.
    store : str or Path
        Keeps the pool, in one folder for each plan.
    positions : int
        Of the grid, drawn at random for each head, prompt and call; an even number.
    calls : int, sequence of int or None
        How many denoiser calls of each prompt are kept, at equal distances from a random first one;
        or which, the same of every prompt; None: all.
    seed : int
        Of the initial noise and of all that is drawn; both also depend on the prompt's number.
    batch_size : int
        Number of prompts that go through the model together; part of the plan.
    vocabulary : sequence of str, optional
        Words that can be asked about without the text encoder; default: those of all shipped
        concepts, and common English nouns and adjectives.
    budget_bytes : int
        Space on disk that the pool may take; it is forecast before generating.
    client : distributed.Client, optional
        Of a cluster whose workers compute the batches, see `hrvlab.relevance.votes.run_votes`.
    progress : bool
    **call
        Keywords of the pipeline's own call, such as ``num_inference_steps``.

    Returns
    -------
    Pool

    Raises
    ------
    ModelError
        If the keys of a word depend on the call, so that they cannot be kept once for all.
    ParameterError
        If a parameter is wrong, or the pool would exceed the budget.
    StoreError
        If the store cannot be written.
    ClusterError
        If the cluster is lost.
    CoverageError
        If a query is not finite in float16, or the run is another than was forecast.

    Examples
    --------
    >>> pool = hl.record_queries(
    ...     pipe, ["a red car"], store=store / "pool", num_inference_steps=4, progress=False,
    ...     vocabulary=["red", "blue", "cat", "frog"],
    ... )
    >>> colors = pool.relevance({"Color": ["red", "blue"], "Animals": ["cat", "frog"]})
    >>> colors.dims
    ('concept', 'head_position')
    """
    refuse(call, {"num_images_per_prompt"}, "queries are kept of one image per prompt")
    texts, [seed] = as_prompts(prompts), as_seeds(seed)
    batches = plan_batches(texts, [seed], batch_size)
    family = family_of(pipe)
    warn_of_unknown_words(pipe, texts)
    keywords = check_call(pipe, call, prompts=len(texts), images=len(texts))
    kept = plan_queries(
        pipe,
        len(texts),
        positions=positions,
        calls=calls,
        batch_size=batch_size,
        budget_bytes=budget_bytes,
        call=call,
    )
    words = shipped_vocabulary() if vocabulary is None else unique(vocabulary)
    parameters = {
        "prompts": texts,
        "batch_size": batch_size,
        "positions": positions,
        "calls": kept.calls,
        **surroundings(pipe),
        **call,
    }
    plan = {
        "algorithm": ALGORITHM,
        "kind": "queries",
        "model": fingerprint(pipe),
        "scheduler": scheduler_settings(pipe),
        "dtype": str(family.denoiser(pipe).dtype),
        "seed": seed,
        "vocabulary": words,
        **parameters,
    }
    ledger = ShardLedger(store, plan, kept.arrays, kept.rows)

    def compute(missing: list[int]) -> Iterator[tuple[int, Unit]]:
        given = (kept, seed)
        if client is None:
            record = recorder(pipe, *given)
            yield from ((number, record(batches[number], keywords)) for number in missing)
            return
        # Imported here because dask.distributed takes half a second to load.
        from hrvlab.cluster import spread

        units = {number: (batches[number], keywords) for number in missing}
        yield from spread(client, pipe, recorder, given, units)

    def finish() -> xr.Dataset:
        # First, for it may find that keys cannot be kept.
        data = describe_words(pipe, kept.groups, words, family.encoding(pipe, call))
        units = complete(ledger, len(batches), compute)
        made = dict(track(units, "queries", len(batches), disable=not progress))
        units_made = [made[number] for number in range(len(batches))]
        data[CALL] = ("prompt", "timestep"), np.concatenate([unit[CALL] for unit in units_made])
        attributes = provenance(
            pipe,
            "reservoir",
            seed=seed,
            parameters={**parameters, **describe(call)},
            versions=ledger.versions(),
        )
        timesteps = "denoiser_call", units_made[0][TIMESTEPS]
        coords = {"prompt_text": ("prompt", texts), TIMESTEPS: timesteps}
        return data.assign_coords(coords).assign_attrs({**data.attrs, **attributes})

    run = keep(ledger, finish)
    return Pool(run.data, run.stored(), pipe)


def recorder(
    pipe: DiffusionPipeline, kept: Kept, seed: int
) -> Callable[[Batch, dict[str, Any]], Unit]:
    """Return a function that generates a batch and samples its queries."""
    return partial(_record, pipe, kept, seed)


def _record(
    pipe: DiffusionPipeline, kept: Kept, seed: int, batch: Batch, call: dict[str, Any]
) -> Unit:
    """Generate one batch and sample its queries."""
    chosen = np.array(
        [
            draw_calls(seed, prompt, kept.total, kept.calls)
            if isinstance(kept.calls, int)
            else kept.calls
            for prompt in batch.indices
        ]
    )

    def draw(samples: NDArray[np.int64], index: int, group: LayerGroup) -> NDArray[np.int64]:
        return draw_positions(
            seed,
            np.array(batch.indices)[samples],
            index,
            group.number,
            shape=(len(group.layers), group.heads),
            positions=group.positions,
            count=group.kept,
        )

    tap = SampledQueries(kept.groups, chosen, draw)
    made = run_batch(pipe, batch, tap, output_type="latent", **call)
    assert made.session is not None
    timesteps = np.array(made.session.scheduler_timesteps)
    if len(timesteps) != kept.total:
        raise CoverageError(
            f"the run made {len(timesteps)} denoiser calls, {kept.total} were forecast from the "
            "scheduler's settings; give another scheduler, or other steps"
        )
    return {**tap.result(), CALL: chosen.astype(np.int32), TIMESTEPS: timesteps}
