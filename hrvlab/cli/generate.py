"""``hrvlab generate``: write images of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hrvlab.cli.images import Draw, ImagesEach, Output, Request, write_images
from hrvlab.cli.options import Column, DryRun, Model, Prompt, Prompts, Seed, prompts_from
from hrvlab.cli.takes import takes
from hrvlab.options import GenerationOptions, LoadOptions
from hrvlab.paths import MINIATURE

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.typing import Images


@takes(loading=LoadOptions, generating=GenerationOptions)
def generate(
    output: Output,
    prompt: Prompt = None,
    prompts: Prompts = None,
    column: Column = None,
    model: Model = MINIATURE,
    images: ImagesEach = 1,
    seed: Seed = 0,
    dry_run: DryRun = False,
    *,
    loading: LoadOptions,
    generating: GenerationOptions,
) -> None:
    """Generate images of prompts, with their settings and a contact sheet.

    Example: hrvlab generate -o cars --prompt "a red car" --images 4
    """
    texts = prompts_from(prompt, prompts, column)
    request = Request(output, texts, model, seed, images, loading, generating, dry_run)

    def prepare(pipe: DiffusionPipeline) -> Draw:
        from hrvlab.generation import generate as generate_images

        def draw(indices: Sequence[int], seeds: Sequence[int]) -> Images:
            own = request.call(indices, seeds)
            return generate_images(pipe, [texts[index] for index in indices], **own)

        return draw

    write_images(request, prepare, [""], {})
