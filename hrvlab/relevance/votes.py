"""Collect votes: over many prompts, every head votes for the concept that it attends to most."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.attention import PUBLISHED_RULE, concept_votes
from hrvlab.forecast import CHUNK_BYTES
from hrvlab.generation import plan_batches, run_batch
from hrvlab.inputs.prompts import as_prompts
from hrvlab.keywords import check_call, describe, refuse
from hrvlab.models.families import family_of
from hrvlab.models.heads import head_table
from hrvlab.models.known_words import warn_of_unknown_words
from hrvlab.models.load import fingerprint, scheduler_settings, surroundings
from hrvlab.noise import as_seeds
from hrvlab.progress import track
from hrvlab.provenance import provenance
from hrvlab.relevance.counts import with_collected
from hrvlab.relevance.draws import draw_words
from hrvlab.storage.units import Ledger, complete, keep

if TYPE_CHECKING:
    from pathlib import Path

    from dask.array import Array
    from diffusers import DiffusionPipeline
    from distributed import Client

    from hrvlab.attention import VotingRule
    from hrvlab.generation import Batch
    from hrvlab.inputs.concepts import ConceptSet
    from hrvlab.models.families import WordEncodings
    from hrvlab.storage.run import Run
    from hrvlab.storage.units import Unit
    from hrvlab.typing import Prompts

# Part of every plan, so that units of another version of this algorithm are never reused.
ALGORITHM = 2
TIMESTEPS = "noise_level"  # the name in stored units
CONCEPTS = "concepts"  # in a unit: their names, in the order that words are drawn in


def collect_votes(
    pipe: DiffusionPipeline, concepts: ConceptSet, prompts: Prompts, **options: Any
) -> xr.Dataset:
    """Generate an image from every prompt and count the heads' votes; images are not kept.

    In joint attention, words are carried through the model beside the prompt; see
    `hrvlab.attention.PassiveVotes`.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    concepts : ConceptSet
    prompts : str, Path, or iterable of str
        One prompt, several, or a file of them; see `hrvlab.read_prompts`.
    **options
        See `hrvlab.relevance.votes.run_votes`: ``seed``, ``batch_size``, ``store``, ``client``,
        and keywords of the pipeline's own call, such as ``num_inference_steps``.

    Returns
    -------
    xarray.Dataset
        Of integers: ``votes_by_prompt``, dims ``(prompt, head_position, concept)``, and
        ``votes_by_timestep``, dims ``(timestep, head_position, concept)``. By the published rule,
        the votes of each head sum to prompts × denoiser calls.

    Raises
    ------
    ParameterError, StoreError, ModelError
        Before anything is generated.
    ClusterError
        If the cluster is lost.

    Examples
    --------
    >>> votes = hl.collect_votes(
    ...     pipe, concepts, ["a red car"], num_inference_steps=2, progress=False
    ... )
    >>> votes.hrv.relevance().sum("head_position").values.round().tolist()
    [128.0, 128.0]
    """
    return run_votes(pipe, concepts, prompts, **options).data


def run_votes(
    pipe: DiffusionPipeline,
    concepts: ConceptSet,
    prompts: Prompts,
    *,
    seed: int = 0,
    batch_size: int = 8,
    voting_rule: VotingRule = PUBLISHED_RULE,
    store: str | Path | None = None,
    client: Client | None = None,
    progress: bool = True,
    **call: Any,
) -> Run:
    """Collect votes as `collect_votes` does, and return them with the folder that keeps them.

    A killed run resumes at its first missing batch and ends in the same numbers. Only counts are
    kept, never attention maps.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    concepts : ConceptSet
    prompts : str, Path, or iterable of str
        One prompt, several, or a file of them; see `hrvlab.read_prompts`.
    seed : int
        Of the initial noise and of the drawn words; both also depend on the prompt's number.
    batch_size : int
        Number of prompts that go through the model together; part of the plan.
    voting_rule : VotingRule
        How heads vote; default: as published.
    store : str or Path, optional
        Keeps finished batches and the result, in one folder for each plan; None keeps nothing.
    client : distributed.Client, optional
        Of a cluster whose workers compute the batches. Each loads the pipeline as this one was
        loaded, with as many CPU threads; only this process writes to the store.
    progress : bool
    **call
        Keywords of the pipeline's own call, such as ``num_inference_steps``.

    Returns
    -------
    Run
        Its ``data`` is what `collect_votes` returns.

    Notes
    -----
    Section 3 of arXiv 2412.02237. Raises the errors of `collect_votes`.
    """
    refuse(call, {"num_images_per_prompt"}, "votes are counted for one image per prompt")
    texts, [seed] = as_prompts(prompts), as_seeds(seed)
    batches = plan_batches(texts, [seed], batch_size)
    family = family_of(pipe)
    voting_rule.check(family)
    warn_of_unknown_words(pipe, texts)
    keywords = check_call(pipe, call, prompts=len(texts), images=len(texts))
    parameters = {"prompts": texts, "batch_size": batch_size, **surroundings(pipe), **call}
    rule = voting_rule.to_dict()
    how = family.encoding(pipe, call)
    denoiser = family.denoiser(pipe)
    ledger = None
    if store is not None:
        plan = {
            "algorithm": ALGORITHM,
            "model": fingerprint(pipe),
            "scheduler": scheduler_settings(pipe),
            "dtype": str(denoiser.dtype),
            "concepts": concepts.to_dict(),
            "seed": seed,
            "ballot": rule,  # the name in stored plans
            **parameters,
        }
        ledger = Ledger(store, plan)
    parameters = {**parameters, **describe(call)}

    def compute(missing: list[int]) -> Iterator[tuple[int, Unit]]:
        if client is not None:
            # Imported here because dask.distributed takes half a second to load.
            from hrvlab.cluster import spread

            units = {number: (batches[number], keywords) for number in missing}
            yield from spread(client, pipe, voter, (concepts, voting_rule, *how.items()), units)
            return
        vote = voter(pipe, concepts, voting_rule, *how.items())
        for number in missing:
            yield number, vote(batches[number], keywords)

    def count() -> xr.Dataset:
        units = complete(ledger, len(batches), compute)
        shown = track(units, "votes", len(batches), disable=not progress)
        rows: dict[int, NDArray[np.int32]] = {}
        by_call, scheduler_timesteps = _add_up(shown, None if ledger else rows, concepts)
        by_prompt = (
            _stream(ledger, batches, by_call.shape[1:])
            if ledger
            else np.concatenate([rows[number] for number in range(len(batches))])
        )
        return xr.Dataset(
            {
                "votes_by_prompt": (("prompt", "head_position", "concept"), by_prompt),
                "votes_by_timestep": (("timestep", "head_position", "concept"), by_call),
            },
            coords={
                **head_table(denoiser).coords,
                "concept": list(concepts.names),
                "prompt_text": ("prompt", texts),
                "scheduler_timestep": ("timestep", scheduler_timesteps),
            },
            attrs=provenance(
                pipe,
                "votes",
                seed=seed,
                parameters={**parameters, "voting_rule": rule, "concepts": concepts.to_dict()},
                versions=ledger.versions() if ledger else None,
            ),
        )

    # This process alone writes the streamed votes, one chunk at a time, even with a cluster.
    with dask.config.set(scheduler="synchronous"):
        run = keep(ledger, count)
    concepts.check_order(run.data["concept"].values)
    return replace(run, data=with_collected(run.data))


def _add_up(
    units: Iterable[tuple[int, Unit]],
    rows: dict[int, NDArray[np.int32]] | None,
    concepts: ConceptSet,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Add up votes by call, with the calls' timesteps; keep those by prompt in ``rows``."""
    by_call = np.zeros((), np.int64)
    for number, unit in units:
        if CONCEPTS in unit:  # older units do not name them
            concepts.check_order(unit[CONCEPTS])
        by_call = by_call + unit["by_call"].astype(np.int64)
        scheduler_timesteps = unit[TIMESTEPS]
        if rows is not None:
            rows[number] = unit["by_prompt"]
    return by_call, scheduler_timesteps


def _stream(ledger: Ledger, batches: Sequence[Batch], shape: tuple[int, int]) -> Array:
    """Read the votes by prompt of all finished batches from the ledger, chunk by chunk."""
    # Imported here because dask.array takes half a second to load.
    import dask.array

    sizes = [len(batch.prompts) for batch in batches]
    together = max(1, CHUNK_BYTES // (4 * sizes[0] * math.prod(shape)))
    chunks = [range(start, len(sizes))[:together] for start in range(0, len(sizes), together)]

    def read(block_id: tuple[int, ...]) -> NDArray[np.int32]:
        units = [ledger.read(number) for number in chunks[block_id[0]]]
        return np.concatenate([unit["by_prompt"] for unit in units if unit])

    return dask.array.map_blocks(
        read,
        chunks=(
            tuple(sum(sizes[number] for number in chunk) for chunk in chunks),
            (shape[0],),
            (shape[1],),
        ),
        meta=np.empty((0, 0, 0), np.int32),
    )


def voter(
    pipe: DiffusionPipeline,
    concepts: ConceptSet,
    voting_rule: VotingRule,
    *how: tuple[str, Any],
) -> Callable[[Batch, dict[str, Any]], Unit]:
    """Encode the concept words once, and return a function that counts the votes of a batch."""
    own = {"encoder": voting_rule.encoder} if voting_rule.encoder else {}
    return partial(_vote, pipe, concepts, concepts.encode(pipe, **dict(how), **own), voting_rule)


def _vote(
    pipe: DiffusionPipeline,
    concepts: ConceptSet,
    words: WordEncodings,
    voting_rule: VotingRule,
    batch: Batch,
    call: dict[str, Any],
) -> Unit:
    """Count the votes of one batch."""
    counts = [len(words) for words in concepts.words]

    def draw(index: int, layers: int, samples: int) -> NDArray[np.int64]:
        return np.stack(
            [
                draw_words(seed, prompt, index, layers, counts)
                for seed, prompt in zip(batch.seeds, batch.indices, strict=True)
            ],
            axis=1,
        )

    tap = concept_votes(words, counts, draw, voting_rule)
    made = run_batch(pipe, batch, tap, output_type="latent", **call)
    assert made.session is not None
    by_prompt, by_call = tap.result()
    return {
        "by_prompt": by_prompt.astype(np.int32),
        "by_call": by_call.astype(np.int32),
        CONCEPTS: np.array(concepts.names, str),
        TIMESTEPS: np.array(made.session.scheduler_timesteps),
    }
