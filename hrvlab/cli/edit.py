"""``hrvlab edit``: write images of prompts, plain and edited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hrvlab.cli.images import Draw, ImagesEach, Output, Request, write_images
from hrvlab.cli.options import Column, DryRun, Model, Prompt, Prompts, Seed, prompts_from
from hrvlab.cli.replace import p2p, replace
from hrvlab.cli.takes import takes
from hrvlab.cli.vectors import Strength, Vectors, read_vectors
from hrvlab.options import GenerationOptions, LoadOptions
from hrvlab.paths import MINIATURE

if TYPE_CHECKING:
    import xarray as xr
    from diffusers import DiffusionPipeline

    from hrvlab.attention import Rescale
    from hrvlab.typing import Images

Word = Annotated[list[str], typer.Option(help="Of every prompt; may be given several times.")]
Top = Annotated[int | None, typer.Option(min=1, help="Edit only so many heads.")]
Concept = Annotated[str, typer.Option(help="Whose vector is used.")]
app = typer.Typer(help="Write images of prompts, plain and edited.", no_args_is_help=True)


@takes(loading=LoadOptions, generating=GenerationOptions)
def strengthen(
    output: Output,
    concept: Concept,
    word: Word,
    prompt: Prompt = None,
    prompts: Prompts = None,
    column: Column = None,
    vectors: Vectors = MINIATURE,
    strength: Strength = 1.0,
    top: Top = None,
    model: Model = MINIATURE,
    images: ImagesEach = 1,
    seed: Seed = 0,
    dry_run: DryRun = False,
    *,
    loading: LoadOptions,
    generating: GenerationOptions,
) -> None:
    """Strengthen a concept in a word.

    Example: hrvlab edit strengthen -o out --prompt "a red car" --word red --concept Color
    """
    texts = prompts_from(prompt, prompts, column)
    hrv = read_vectors(vectors)
    from hrvlab.methods.steering import strengthen as build

    edit = build(hrv, concept, word, strength=strength, top=top)
    request = Request(output, texts, model, seed, images, loading, generating, dry_run)
    used = {"concept": concept, "word": word, "strength": strength, "top": top}
    _write_steered(request, hrv, edit, {"edit": "strengthen", "vectors": vectors, **used})


@takes(loading=LoadOptions, generating=GenerationOptions)
def adjust(
    output: Output,
    toward: Annotated[str, typer.Option(help="The wanted concept.")],
    away: Annotated[str, typer.Option(help="The unwanted concept.")],
    word: Word,
    prompt: Prompt = None,
    prompts: Prompts = None,
    column: Column = None,
    vectors: Vectors = MINIATURE,
    gain: Annotated[float, typer.Option(help="Of the wanted concept.")] = 2.0,
    loss: Annotated[float, typer.Option(help="Of the unwanted concept.")] = 1.0,
    clamp: Annotated[float | None, typer.Option(help="Reduce higher relevance to it.")] = None,
    top: Top = None,
    images: ImagesEach = 1,
    model: Model = MINIATURE,
    seed: Seed = 0,
    dry_run: DryRun = False,
    *,
    loading: LoadOptions,
    generating: GenerationOptions,
) -> None:
    """Adjust a word from an unwanted concept toward a wanted one.

    Example: hrvlab edit adjust -o out --prompt "a rose vase" --word rose --toward Color
    --away Plants
    """
    texts = prompts_from(prompt, prompts, column)
    hrv = read_vectors(vectors)
    from hrvlab.methods.steering import adjust as build

    used: dict[str, Any] = {"toward": toward, "away": away, "word": word, "top": top}
    used |= {"gain": gain, "loss": loss, "clamp": clamp}
    edit = build(hrv, **used)
    request = Request(output, texts, model, seed, images, loading, generating, dry_run)
    _write_steered(request, hrv, edit, {"edit": "adjust", "vectors": vectors, **used})


@takes(loading=LoadOptions, generating=GenerationOptions)
def weaken(
    output: Output,
    concept: Concept,
    top: Annotated[int, typer.Option(min=1, help="Heads to weaken, the most relevant first.")],
    prompt: Prompt = None,
    prompts: Prompts = None,
    column: Column = None,
    word: Annotated[
        list[str] | None, typer.Option(help="Of every prompt; default: all its words.")
    ] = None,
    factor: Annotated[float, typer.Option(help="By which attention is multiplied.")] = -2.0,
    vectors: Vectors = MINIATURE,
    seed: Seed = 0,
    images: ImagesEach = 1,
    model: Model = MINIATURE,
    dry_run: DryRun = False,
    *,
    loading: LoadOptions,
    generating: GenerationOptions,
) -> None:
    """Weaken the heads that are most relevant to a concept.

    Example: hrvlab edit weaken -o out --prompt "a red car" --concept Color --top 16
    """
    texts = prompts_from(prompt, prompts, column)
    hrv = read_vectors(vectors)
    from hrvlab.attention import Rescale
    from hrvlab.attention.edits import CONTENT
    from hrvlab.experiments.weakening.conditions import (
        MOST_FIRST,
        check_cuts,
        make_orders,
        weakened_factors,
    )
    from hrvlab.relevance.vectors import concept_vector

    row = concept_vector(hrv, concept)
    check_cuts([top], row.sizes["head_position"])
    orders = make_orders(row, [MOST_FIRST], draws=0, seed=0)
    (factors,), _ = weakened_factors(list(orders.values()), [top], factor)
    edit = Rescale(factors, word or CONTENT)
    request = Request(output, texts, model, seed, images, loading, generating, dry_run)
    used = {"concept": concept, "top": top, "factor": factor, "word": word}
    _write_steered(request, hrv, edit, {"edit": "weaken", "vectors": vectors, **used})


for command in (strengthen, adjust, weaken, replace, p2p):
    app.command()(command)


def _write_steered(
    request: Request, hrv: xr.DataArray, edit: Rescale, parameters: dict[str, Any]
) -> None:
    """Write images with and without an edit of the attention."""

    def prepare(pipe: DiffusionPipeline) -> Draw:
        from hrvlab.generation import check_edits, generate
        from hrvlab.relevance.model import check_model

        check_model(hrv, pipe)
        check_edits(pipe, [edit], request.prompts, request.generating.call)

        def draw(indices: Sequence[int], seeds: Sequence[int]) -> Images:
            texts = [request.prompts[index] for index in indices]
            plain = generate(pipe, texts, **request.call(indices, seeds))
            edited = generate(pipe, texts, edit=edit, **request.call(indices, seeds))
            return _alternate(plain, edited)

        return draw

    write_images(request, prepare, ["plain", "edited"], parameters, hrv)


def _alternate(plain: Images, edited: Images) -> Images:
    """Return images one by one from both, in turn."""
    import numpy as np

    return np.stack([plain, edited], axis=1).reshape(-1, *plain.shape[1:])
