"""The random noise that images are generated from, by seed and by the prompt's number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hrvlab.errors import ParameterError
from hrvlab.forecast import forecast_latent_size
from hrvlab.models.families import denoiser_of

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


def as_seeds(seeds: int | Iterable[int]) -> list[int]:
    """Return one seed or several as a list of Python's integers.

    Raises
    ------
    ParameterError
        If there is none, or one is not an integer of 0 or more.
    """
    several = list(seeds) if isinstance(seeds, Iterable) and not isinstance(seeds, str) else [seeds]
    if not several:
        raise ParameterError("the list of seeds is empty; give at least one seed")
    for seed in several:
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise ParameterError(f"the seed is {seed!r}; give integers of 0 or more")
    return [int(seed) for seed in several]


def image_generator(seed: int, prompt_index: int, image: int = 0) -> torch.Generator:
    """Return the random generator of one image's noise, the same in any batch and on any device.

    Prompts are numbered, and so are the images of one prompt and seed.
    """
    sequence = np.random.SeedSequence([seed, prompt_index, image])
    state = int(sequence.generate_state(1, np.uint64)[0])
    return torch.Generator("cpu").manual_seed(state >> 1)


@contextmanager
def global_noise(pipe: DiffusionPipeline, seed: int, prompt_index: int) -> Iterator[None]:
    """Seed PyTorch's own random generators within a block, and restore them.

    Some pipelines draw from them too, as those of SD 3 do to encode a ControlNet's image; of a
    batch, its first image gives the seed.
    """
    device = pipe._execution_device
    number = image_generator(seed, prompt_index).initial_seed()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(number)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(number)
        yield


def initial_noise(
    pipe: DiffusionPipeline, seeds: Sequence[int], prompt_index: int, **call: Any
) -> torch.Tensor:
    """Draw the initial noise of a prompt's images.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    seeds : sequence of int
    prompt_index : int
        The prompt's number among all prompts.
    **call
        Keywords of the pipeline's own call, of which the size counts; default: the model's own.

    Returns
    -------
    Tensor, shape (seed, channel, height, width)
        For ``latents=``; equal to the noise that the pipeline draws for these seeds.
    """
    denoiser = denoiser_of(pipe)
    shape = (1, pipe.vae.config.latent_channels, *forecast_latent_size(pipe, call))
    generators = [image_generator(seed, prompt_index) for seed in seeds]
    # Other numbers are drawn in half precision, here and by a pipeline of that type.
    dtype = denoiser.dtype
    return torch.cat([torch.randn(shape, generator=one, dtype=dtype) for one in generators])
