"""``hrvlab edit replace`` and ``hrvlab edit p2p``: write images edited by Prompt-to-Prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hrvlab.cli.images import Draw, ImagesEach, Output, Request, write_images
from hrvlab.cli.options import Column, DryRun, Model, Prompt, Prompts, Seed, prompts_from
from hrvlab.cli.takes import takes
from hrvlab.cli.vectors import HELP, Strength, read_vectors
from hrvlab.errors import ParameterError
from hrvlab.models.columns import replace_text
from hrvlab.options import GenerationOptions, LoadOptions
from hrvlab.paths import MINIATURE

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.typing import Images

OwnVectors = Annotated[str | None, typer.Option("--vectors", help=HELP)]
OwnConcept = Annotated[
    str | None, typer.Option("--concept", help="Of the new words, to rescale their attention.")
]
Threshold = Annotated[
    float, typer.Option(help="Share of a word's highest attention that belongs to its area.")
]


@takes(loading=LoadOptions, generating=GenerationOptions)
def replace(
    output: Output,
    word: Annotated[str, typer.Option(help="Of every prompt, to be replaced.")],
    by: Annotated[str, typer.Option(help="One word or several; empty to drop the word.")],
    prompt: Prompt = None,
    prompts: Prompts = None,
    column: Column = None,
    concept: OwnConcept = None,
    vectors: OwnVectors = None,
    strength: Strength = 1.0,
    blend: Annotated[
        bool, typer.Option("--blend", help="Keep the image as it is where neither word is.")
    ] = False,
    blend_threshold: Threshold = 0.3,
    seed: Seed = 0,
    images: ImagesEach = 1,
    model: Model = MINIATURE,
    dry_run: DryRun = False,
    *,
    loading: LoadOptions,
    generating: GenerationOptions,
) -> None:
    """Replace a word of prompts by Prompt-to-Prompt, and keep the rest of the image.

    Example: hrvlab edit replace -o out --prompt "a red car" --word red --by "small blue"
    """
    sources = prompts_from(prompt, prompts, column)
    targets = [replace_text(text, word, by) for text in sources]
    request = Request(output, sources, model, seed, images, loading, generating, dry_run)
    used = {"concept": concept, "hrv_strength": strength, "blend_threshold": blend_threshold}
    words = ([word], [by] if by.strip() else []) if blend else None
    _write_pairs(request, targets, vectors, {**used, "blend": words})


@takes(loading=LoadOptions, generating=GenerationOptions)
def p2p(
    output: Output,
    source: Annotated[str, typer.Option(help="A prompt.")],
    target: Annotated[str, typer.Option(help="The same prompt, with words changed.")],
    concept: OwnConcept = None,
    vectors: OwnVectors = None,
    strength: Strength = 1.0,
    blend_source: Annotated[
        list[str] | None,
        typer.Option(help="A word of the source where the image may change; or several."),
    ] = None,
    blend_target: Annotated[
        list[str] | None,
        typer.Option(help="A word of the target where the image may change; or several."),
    ] = None,
    blend_threshold: Threshold = 0.3,
    model: Model = MINIATURE,
    seed: Seed = 0,
    images: ImagesEach = 1,
    dry_run: DryRun = False,
    *,
    loading: LoadOptions,
    generating: GenerationOptions,
) -> None:
    """Edit an image by changing its prompt: replace, add and drop words (Prompt-to-Prompt).

    Example: hrvlab edit p2p -o out --source "a red car" --target "a small blue car"
    """
    sources, targets = prompts_from([source], None), prompts_from([target], None)
    request = Request(output, sources, model, seed, images, loading, generating, dry_run)
    used = {"concept": concept, "hrv_strength": strength, "blend_threshold": blend_threshold}
    words = (blend_source or [], blend_target or []) if blend_source or blend_target else None
    _write_pairs(request, targets, vectors, {**used, "blend": words})


def _write_pairs(
    request: Request, targets: Sequence[str], vectors: str | None, settings: dict[str, Any]
) -> None:
    """Write images of prompts, and the same images edited by Prompt-to-Prompt."""
    named = settings["concept"] is not None
    if vectors is not None and not named:
        raise ParameterError("--vectors are of concepts; give --concept too, or leave them out")
    hrv = read_vectors(MINIATURE if vectors is None else vectors) if named else None

    def prepare(pipe: DiffusionPipeline) -> Draw:
        from hrvlab.methods.local_blend import blended_columns
        from hrvlab.methods.prompt_to_prompt import edit
        from hrvlab.models.alignment import align

        both = list(zip(request.prompts, targets, strict=True))
        for pair in both:
            align(pipe, *pair)
        if settings["blend"] is not None:
            blended_columns(pipe, both, settings["blend"], settings["blend_threshold"])

        def draw(indices: Sequence[int], seeds: Sequence[int]) -> Images:
            sources, edited = zip(*(both[index] for index in indices), strict=True)
            own = request.call(indices, seeds)
            return edit(pipe, sources, edited, hrv=hrv, **settings, **own)

        return draw

    kept = {"edit": "Prompt-to-Prompt", "targets": list(targets), "vectors": vectors, **settings}
    write_images(request, prepare, ["source", "edited"], kept, hrv)
