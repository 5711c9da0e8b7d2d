"""Collect votes: let every head vote for the concept it attends to, over many prompts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import xarray as xr
from diffusers import DiffusionPipeline
from numpy.typing import NDArray
from tqdm.auto import tqdm

from hrvlab.attention import PUBLISHED_BALLOT, Ballot, ConceptVotes
from hrvlab.concepts import ConceptSet
from hrvlab.forecast import CHUNK_BYTES
from hrvlab.generation import Batch, plan_batches, refuse, run_batch
from hrvlab.ledger import Ledger, Unit, complete, keep
from hrvlab.models.families import WordEncodings, family_of
from hrvlab.models.heads import head_table
from hrvlab.models.load import fingerprint, scheduler_settings
from hrvlab.store import provenance

if TYPE_CHECKING:
    from dask.array import Array
    from distributed import Client

# Part of every plan: units computed by another version of this algorithm are not mixed in.
ALGORITHM = 2


def draw_words(
    seed: int, prompt_index: int, call: int, layers: int, words_per_concept: Sequence[int]
) -> NDArray[np.int64]:
    """Draw one word of each concept for every layer.

    Parameters
    ----------
    seed, prompt_index, call : int
        Key of a counter-based generator; nothing else matters.
    layers : int
        How many layers the model has.
    words_per_concept : sequence of int

    Returns
    -------
    ndarray of int64, shape (layer, concept)
        The c-th column does not depend on the concepts after c.
    """
    bits = np.random.Philox(key=[seed, prompt_index], counter=[0, 0, call, 0])
    uniform = np.random.Generator(bits).random((len(words_per_concept), layers)).T
    return (uniform * np.asarray(words_per_concept)).astype(np.int64)


def collect_votes(
    pipe: DiffusionPipeline,
    concepts: ConceptSet,
    prompts: Sequence[str],
    *,
    seed: int = 0,
    batch_size: int = 8,
    ballot: Ballot = PUBLISHED_BALLOT,
    store: str | Path | None = None,
    client: Client | None = None,
    progress: bool = True,
    **call: Any,
) -> xr.Dataset:
    """Generate from every prompt and count the heads' votes; the images are not kept.

    A killed run resumes at its first missing batch and ends in the same numbers. Maps
    are never kept, only counts.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    concepts : ConceptSet
    prompts : sequence of str
    seed : int
        Of the initial noise and the word draws, both keyed by the prompt's number too.
    batch_size : int
        Prompts that go through the model together; part of the plan.
    ballot : Ballot
        How heads vote; default: as published.
    store : str or Path, optional
        Keeps finished batches and the result, in a folder of its own for every plan; None keeps
        nothing.
    client : distributed.Client, optional
        Of a cluster whose workers do the work, each with a pipeline that it loads as this one was
        loaded, and as many CPU threads as PyTorch has here; only this process writes to the store.
    progress : bool
    **call
        Keywords of the pipeline's own call, such as ``num_inference_steps``.

    Returns
    -------
    xarray.Dataset
        ``votes_by_prompt (prompt, head_position, concept)`` and ``votes_by_timestep (timestep,
        head_position, concept)``, integers. For each head, single votes sum to prompts × calls.

    Raises
    ------
    ParameterError, StoreError, ModelError
        Before anything is generated.
    ClusterError
        If the cluster is lost.

    Notes
    -----
    Section 3 of arXiv 2412.02237.
    """
    own = {"num_images_per_prompt", "output_type", "latents"}
    refuse(call, own, "votes count one image a prompt, from seeded noise")
    batches = plan_batches(prompts, [seed], batch_size)
    family_of(pipe)
    parameters = {
        "prompts": list(prompts),
        "batch_size": batch_size,
        "ballot": asdict(ballot),
        **call,
    }
    ledger = None
    if store is not None:
        plan = {
            "algorithm": ALGORITHM,
            "model": fingerprint(pipe),
            "scheduler": scheduler_settings(pipe),
            "dtype": str(pipe.unet.dtype),
            "concepts": concepts.to_dict(),
            "seed": seed,
            **parameters,
        }
        ledger = Ledger(Path(store), plan)

    def compute(missing: list[int]) -> Iterator[tuple[int, Unit]]:
        if client is not None:
            # Here, because what it imports takes half a second that others need not wait.
            from hrvlab.cluster import spread

            units = {number: (batches[number], call) for number in missing}
            yield from spread(client, pipe, voter, (concepts, ballot), units)
            return
        vote = voter(pipe, concepts, ballot)
        for number in missing:
            yield number, vote(batches[number], call)

    def count() -> xr.Dataset:
        units = complete(ledger, len(batches), compute)
        shown = tqdm(units, "votes", total=len(batches), disable=not progress)
        rows: dict[int, NDArray[np.int32]] = {}
        by_call, noise_levels = add_up(shown, None if ledger else rows)
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
                **head_table(pipe.unet).coords,
                "concept": list(concepts.names),
                "prompt_text": ("prompt", list(prompts)),
                "noise_level": ("timestep", noise_levels),
            },
            attrs=provenance(
                pipe, "votes", seed=seed, parameters={**parameters, "concepts": concepts.to_dict()}
            ),
        )

    # What is streamed is written by this process, one chunk at a time, whatever cluster there is.
    with dask.config.set(scheduler="synchronous"):
        return keep(ledger, count)


def add_up(
    units: Iterable[tuple[int, Unit]], rows: dict[int, NDArray[np.int32]] | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Add up the votes of all batches by call, whatever order they come in.

    Parameters
    ----------
    units : iterable of (int, dict)
    rows : dict of int to ndarray of int32, shape (prompt, head_position, concept), optional
        Is given each batch's votes by prompt.

    Returns
    -------
    by_call : ndarray of int64, shape (call, head_position, concept)
    noise_levels : ndarray of float64, shape (call,)
    """
    by_call = np.zeros((), np.int64)
    for number, unit in units:
        by_call = by_call + unit["by_call"].astype(np.int64)
        noise_levels = unit["noise_level"]
        if rows is not None:
            rows[number] = unit["by_prompt"]
    return by_call, noise_levels


def _stream(ledger: Ledger, batches: Sequence[Batch], shape: tuple[int, int]) -> Array:
    """Give the votes by prompt of all finished batches, read from the ledger chunk by chunk."""
    # Here, because what it imports takes half a second that others need not wait.
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
    pipe: DiffusionPipeline, concepts: ConceptSet, ballot: Ballot
) -> Callable[[Batch, dict[str, Any]], Unit]:
    """Give the function that counts the votes of a batch; the words are encoded here, once."""
    return partial(_vote, pipe, concepts, concepts.encode(pipe), ballot)


def _vote(
    pipe: DiffusionPipeline,
    concepts: ConceptSet,
    words: WordEncodings,
    ballot: Ballot,
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

    tap = ConceptVotes(words, counts, draw, ballot)
    _, attachment = run_batch(pipe, batch, tap, output_type="latent", **call)
    by_prompt, by_call = tap.result()
    return {
        "by_prompt": by_prompt.astype(np.int32),
        "by_call": by_call.astype(np.int32),
        "noise_level": np.array(attachment.noise_levels),
    }
