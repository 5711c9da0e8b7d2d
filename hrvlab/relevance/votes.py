"""Collect votes: let every head vote for the concept it attends to, over many prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from diffusers import DiffusionPipeline
from numpy.typing import NDArray
from tqdm.auto import tqdm

from hrvlab.attention import PUBLISHED_BALLOT, Ballot, ConceptVotes
from hrvlab.concepts import ConceptSet
from hrvlab.errors import ParameterError
from hrvlab.generation import Batch, plan_batches, run_batch
from hrvlab.models.families import WordEncodings
from hrvlab.models.heads import head_table
from hrvlab.models.load import fingerprint, scheduler_settings
from hrvlab.store import DATA, Ledger, provenance, read_dataset, validate, write_dataset

# Part of every plan: units computed by another version of this algorithm are not mixed in.
ALGORITHM = 1


def draw_words(
    seed: int, prompt_index: int, call: int, layer: int, words_per_concept: Sequence[int]
) -> NDArray[np.int64]:
    """Draw one word of each concept.

    Parameters
    ----------
    seed, prompt_index, call, layer : int
        Key of a counter-based generator; nothing else matters.
    words_per_concept : sequence of int

    Returns
    -------
    ndarray of int64, shape (concept,)
        The c-th entry does not depend on the concepts after c.
    """
    bits = np.random.Philox(key=[seed, prompt_index], counter=[0, 0, call, layer])
    uniform = np.random.Generator(bits).random(len(words_per_concept))
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

    Notes
    -----
    Section 3 of arXiv 2412.02237.
    """
    if "num_images_per_prompt" in call or "output_type" in call or "latents" in call:
        raise ParameterError(
            "votes count one image a prompt from seeded noise; leave out num_images_per_prompt, "
            "output_type and latents"
        )
    batches = plan_batches(prompts, [seed], batch_size)
    words = concepts.encode(pipe)
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
        if (ledger.folder / DATA).exists():
            return read_dataset(ledger.folder / DATA)
    by_prompt = []
    by_call: NDArray[np.int64] | int = 0
    noise_levels: NDArray[np.float64] | None = None
    for number, batch in enumerate(tqdm(batches, "votes", disable=not progress)):
        unit = ledger.read(number) if ledger else None
        if unit is None:
            unit = _vote(pipe, concepts, words, ballot, batch, call)
            if ledger:
                ledger.finish(number, **unit)
        by_prompt.append(unit["by_prompt"])
        by_call = by_call + unit["by_call"].astype(np.int64)
        noise_levels = unit["noise_level"]
    votes = xr.Dataset(
        {
            "votes_by_prompt": (("prompt", "head_position", "concept"), np.concatenate(by_prompt)),
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
    if ledger is None:
        return validate(votes)
    write_dataset(votes, ledger.folder / DATA)
    return read_dataset(ledger.folder / DATA)


def _vote(
    pipe: DiffusionPipeline,
    concepts: ConceptSet,
    words: WordEncodings,
    ballot: Ballot,
    batch: Batch,
    call: dict[str, Any],
) -> dict[str, NDArray[Any]]:
    """Count the votes of one batch."""
    counts = [len(words) for words in concepts.words]

    def draw(index: int, layer: int, samples: int) -> NDArray[np.int64]:
        return np.stack(
            [
                draw_words(seed, prompt, index, layer, counts)
                for seed, prompt in zip(batch.seeds, batch.indices, strict=True)
            ]
        )

    tap = ConceptVotes(words, counts, draw, ballot)
    _, attachment = run_batch(pipe, batch, tap, output_type="latent", **call)
    by_prompt, by_call = tap.result()
    return {
        "by_prompt": by_prompt.astype(np.int32),
        "by_call": by_call.astype(np.int32),
        "noise_level": np.array(attachment.noise_levels),
    }
