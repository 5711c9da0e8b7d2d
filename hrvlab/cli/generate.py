"""``hrvlab generate``: write images of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hrvlab.cli.images import Draw, ImagesEach, Output, Request, write_images
from hrvlab.cli.options import BatchSize, Device, Model, Prompt, Prompts, Seed, Steps, prompts_from
from hrvlab.paths import MINIATURE

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.typing import Images


def generate(
    output: Output,
    prompt: Prompt = None,
    prompts: Prompts = None,
    model: Model = MINIATURE,
    images: ImagesEach = 1,
    seed: Seed = 0,
    steps: Steps = 50,
    batch_size: BatchSize = 8,
    device: Device = None,
) -> None:
    """Generate images of prompts, with their settings and a contact sheet.

    Example: hrvlab generate -o cars --prompt "a red car" --images 4
    """
    texts = prompts_from(prompt, prompts)
    request = Request(output, texts, model, seed, images, steps, batch_size, device)

    def prepare(pipe: DiffusionPipeline) -> Draw:
        from hrvlab.generation import generate as generate_images

        def draw(indices: Sequence[int]) -> Images:
            return generate_images(pipe, [texts[i] for i in indices], **request.call(indices))

        return draw

    write_images(request, prepare, [""], {})
