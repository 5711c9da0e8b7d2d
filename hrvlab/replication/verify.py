"""The check of a model on this machine against the vectors that were published for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr
from diffusers import PNDMScheduler

from hrvlab.errors import ModelError, ParameterError
from hrvlab.models.families import denoiser_of
from hrvlab.models.heads import head_table
from hrvlab.paths import user_path
from hrvlab.relevance.votes import run_votes
from hrvlab.replication.arrays import FILES, fetch_published, find_head_index, read_published
from hrvlab.replication.fidelity import DIFFERS

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.inputs.concepts import ConceptSet
    from hrvlab.replication.diagnosis import Verdict
    from hrvlab.storage.run import Run
    from hrvlab.typing import Prompts

# As published: 50 steps of PNDM without Runge-Kutta are 51 denoiser calls.
STEPS = 50
GUIDANCE = 7.5
SAMPLER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "skip_prk_steps": True,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "timestep_spacing": "leading",
}
PUBLISHED_CALL: dict[str, Any] = {"num_inference_steps": STEPS, "guidance_scale": GUIDANCE}
COLUMNS = ("votes", "split_half", "expected", "lowest", "found", "outcome")


def find_published(
    pipe: DiffusionPipeline, concepts: ConceptSet, file: str | Path | None = None
) -> xr.DataArray:
    """Find the vectors that were published for a model of this size.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    concepts : ConceptSet
        Names of the rows.
    file : str or Path, optional
        ``category_vectors….npy``, with its ``head_index….npy`` in the same folder; default: the
        published files are downloaded.

    Returns
    -------
    xarray.DataArray
        Dims ``(concept, head_position)``.

    Raises
    ------
    ModelError
        If no vectors were published for a model with so many heads, and no file is given.
    StoreError
        If a file cannot be downloaded or read.
    ParameterError
        If a file does not fit the model, or holds vectors of single calls.
    """
    table = head_table(denoiser_of(pipe))
    if file is not None:
        given = user_path(file)
        vectors = read_published(given, find_head_index(given), table, concepts=concepts)
        if "timestep" in vectors.dims:
            raise ParameterError(
                f"{given.name} holds vectors of single calls; give vectors of all calls together"
            )
        return vectors
    heads = table.sizes["head_position"]
    if heads not in FILES:
        raise ModelError(
            f"nothing was published for a model of {heads} head positions; there are vectors of "
            "Stable Diffusion 1.4 (128 head positions) and SDXL (1300)"
        )
    file, labels = map(fetch_published, FILES[heads])
    return read_published(file, labels, table, concepts=concepts)


def collect_as_published(
    pipe: DiffusionPipeline,
    concepts: ConceptSet,
    prompts: Prompts,
    *,
    store: str | Path | None = None,
    seed: int = 0,
    steps: int = STEPS,
    batch_size: int = 1,
    progress: bool = True,
) -> Run:
    """Collect votes under the published settings; the pipeline keeps its own scheduler.

    Parameters
    ----------
    pipe, concepts, prompts, store, seed, batch_size, progress
        See `hrvlab.relevance.votes.run_votes`.
    steps : int
        Number of denoising steps; published: 50.

    Returns
    -------
    Run
        Its ``data`` is what `hrvlab.relevance.votes.collect_votes` returns.

    Raises
    ------
    ParameterError, StoreError, ModelError
        Before anything is generated.

    Notes
    -----
    Section 3 of arXiv 2412.02237, where SDXL's scheduler was replaced too.
    """
    with published_sampler(pipe):
        return run_votes(
            pipe,
            concepts,
            prompts,
            seed=seed,
            batch_size=batch_size,
            store=store,
            progress=progress,
            **{**PUBLISHED_CALL, "num_inference_steps": steps},
        )


@contextmanager
def published_sampler(pipe: DiffusionPipeline) -> Iterator[None]:
    """Replace a pipeline's scheduler within a block, and restore it after it."""
    own = pipe.scheduler
    pipe.scheduler = PNDMScheduler.from_config(own.config, **SAMPLER)
    try:
        yield
    finally:
        pipe.scheduler = own


def report(verdict: Verdict, votes: xr.Dataset, published: xr.DataArray) -> str:
    """Format a verdict, the settings, and the numbers of every concept as Markdown.

    Parameters
    ----------
    verdict : Verdict
    votes : xarray.Dataset
    published : xarray.DataArray
        What the verdict is about.

    Returns
    -------
    str
    """
    about = votes.attrs
    parameters = json.loads(about["parameters"])
    settings = {
        "model": f"{about['model']} ({about['model_fingerprint']}, {about['dtype']})",
        "published": published.attrs["file"],
        "settings": f"{about['scheduler']}, {votes.sizes['timestep']} denoiser calls, "
        f"guidance {about['guidance_scale']:g}",
        "prompts": f"{votes.sizes['prompt']}, {parameters['batch_size']} at a time, "
        f"seed {about['seed']}",
        "libraries": ", ".join(f"{k} {v}" for k, v in json.loads(about["libraries"]).items()),
        "made": f"{about['created']} by hrvlab {about['hrvlab_version']}",
    }
    lines = [
        f"# {'Passed' if verdict.passed else 'Failed'}: {verdict.kind}",
        f"{verdict.message[0].upper()}{verdict.message[1:]}.",
        "\n".join(f"- {name}: {value}" for name, value in settings.items()),
        "\n".join(
            [
                f"| concept | {' | '.join(COLUMNS)} |",
                f"|---|{'---|' * len(COLUMNS)}",
                *(f"| {' | '.join(row)} |" for row in rows(verdict)),
            ]
        ),
        "`split_half` is the correlation between the vectors from even and from odd prompts, "
        "`expected` the correlation with the published vectors that the same model would reach, "
        "`lowest` the lowest that still agrees, `found` the correlation itself.",
    ]
    return "\n\n".join(lines) + "\n"


def rows(verdict: Verdict) -> list[list[str]]:
    """Format the concepts as rows of text, those that differ first.

    Parameters
    ----------
    verdict : Verdict

    Returns
    -------
    list of list of str
        For each concept its name and the values of `COLUMNS`.
    """
    ordered = sorted(
        verdict.concepts["concept"].values,
        key=lambda name: str(verdict.concepts["outcome"].sel(concept=name).item()) != DIFFERS,
    )
    return [
        [
            str(name),
            *(_text(verdict.concepts[column].sel(concept=name).item()) for column in COLUMNS),
        ]
        for name in ordered
    ]


def _text(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
