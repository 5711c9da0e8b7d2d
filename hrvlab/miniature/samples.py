"""Samples of a denoiser in training, of the same prompts every time, to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hrvlab.miniature.grids import save_grid

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

PREVIEW = (
    "a photo of a cat",
    "a dog",
    "a red car",
    "a blue guitar",
    "a frog in the forest",
    "a castle on a snowy day",
    "a hat made of brick",
    "a rocket made of wood",
    "a T-shirt with a stripe pattern",
    "an umbrella with a polka-dot pattern",
    "a sketch style painting of a house",
    "a neon style painting of a lion",
    "three apples",
    "a mouse",
    "a computer mouse",
    "a rose-colored chair",
    "a cat and a car",
    "a red cat and a blue car",
    "a yellow dog and a green boat",
    "a pink elephant and a black clock",
    "a purple drum and a white horse",
    "a gray key on a foggy day",
    "a gold trumpet",
    "a bird in the meadow",
    "a small bear",
    "a huge pizza",
    "two rabbits",
    "a train in the desert",
    "a bus on a rainy day",
    "a book with a plaid pattern",
    "a lamp and a flower",
    "a pop art style painting of a cake",
)


def save_samples(pipe: DiffusionPipeline, path: Path, **call: Any) -> None:
    """Generate an image of each prompt and save all of them as one PNG.

    Parameters
    ----------
    pipe : DiffusionPipeline
    path : Path
    **call
        Keywords of the pipeline's call, such as the number of steps.
    """
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    images = pipe(list(PREVIEW), generator=generator, output_type="pt", **call).images
    save_grid(images * 2 - 1, path, columns=8)
