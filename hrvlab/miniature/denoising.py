"""The training of the miniature's UNet: which scenes it sees, with which captions, how noisy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from hrvlab.miniature.autoencoder import encode_images, scaling_factor, trained_autoencoder
from hrvlab.miniature.clip import trained_clip
from hrvlab.miniature.dataset import scenes_of
from hrvlab.miniature.denoiser import (
    NAME,
    TIMESTEPS,
    DenoisingLoss,
    build_pipeline,
    build_scheduler,
    build_unet,
    own_weights,
    start_from_weights,
)
from hrvlab.miniature.grids import save_grid
from hrvlab.miniature.tokens import MAX_LENGTH, START_FOLDER, encode_captions
from hrvlab.miniature.training import Stage

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from hrvlab.miniature.training import Budget

EMPTY_CAPTIONS = 0.1  # share of captions dropped, for classifier-free guidance
WORDS_ALONE = 0.75  # share of the others with the end and padding tokens of another caption …
WORDS_ALONE_FROM = 0.06  # … after this share of the training
# Attributes that are learned last, and how much more often single objects with them are seen.
LEARNED_LAST = (
    *("green", "brown", "white", "gray"),
    *("metal", "glass", "stone", "gold"),
    *("zigzag", "polka-dot", "plaid", "sketch", "sunny", "snowy", "desert"),
)
MORE_OFTEN = 1.6

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


def scene_probabilities(images: int) -> NDArray[np.float64]:
    """Compute the probability with which each training scene is sampled.

    Parameters
    ----------
    images : int
        Training images.

    Returns
    -------
    ndarray of float64, shape (images,)
        Of sum 1.
    """
    weights = np.ones(images)
    for index, scene in enumerate(scenes_of(np.arange(images))):
        if len(scene.figures) == 1 and not set(LEARNED_LAST).isdisjoint(scene.attributes):
            weights[index] = MORE_OFTEN
    return weights / weights.sum()


def denoiser_stage(
    folder: Path, *, side: int, images: int, budget: Budget, batch: int = 32, steps: int = 12
) -> Stage:
    """Build the stage that trains the UNet, on the trained autoencoder and text encoder.

    Parameters
    ----------
    folder : Path
        Working folder.
    side : int
        Of the images.
    images : int
        Training images.
    budget : Budget
    batch : int
        Images in a step of one process.
    steps : int
        Denoising steps of the samples.
    """
    latents = encode_images(folder, side=side, images=images)
    factor = scaling_factor(latents)
    captions = encode_captions(folder, images)
    clip, tokenizer = trained_clip(folder, side)
    empty = tokenizer("", padding="max_length", max_length=MAX_LENGTH).input_ids
    cumulative = np.cumsum(scene_probabilities(images))
    alphas = build_scheduler().alphas_cumprod.numpy()

    def sample(rng: np.random.Generator, progress: float) -> list[Tensor]:
        chosen = np.searchsorted(cumulative, rng.random(batch)).clip(max=images - 1)
        ids = captions[chosen, rng.integers(captions.shape[1], size=batch)].astype(np.int64)
        dropped = rng.random(batch) < EMPTY_CAPTIONS
        ids[dropped] = empty
        swapped = (rng.random(batch) < WORDS_ALONE * (progress >= WORDS_ALONE_FROM)) & ~dropped
        clean = latents[chosen].astype(np.float32) * np.float32(factor)
        noise = rng.standard_normal(clean.shape, dtype=np.float32)
        # Timesteps are stratified over the batch: the same distribution, a loss of less variance.
        spread = (np.arange(batch) + rng.random(batch)) / batch
        timesteps = (rng.permutation(spread) * TIMESTEPS).astype(np.int64)
        arrays = (clean, noise, timesteps, alphas[timesteps], ids, swapped)
        return [torch.from_numpy(array) for array in arrays]

    def preview(weights: dict[str, Tensor], path: Path) -> None:
        unet, autoencoder = build_unet(side).eval(), trained_autoencoder(folder, side)
        unet.load_state_dict(own_weights(weights))
        autoencoder.register_to_config(scaling_factor=factor)
        text_encoder = trained_clip(folder, side)[0].text_model
        pipe = build_pipeline(autoencoder, text_encoder, tokenizer, unet)
        pipe.set_progress_bar_config(disable=True)
        generator = torch.Generator().manual_seed(0)
        samples = pipe(
            list(PREVIEW), num_inference_steps=steps, generator=generator, output_type="pt"
        ).images
        save_grid(samples * 2 - 1, path, columns=8)

    unet = build_unet(side)
    inherited = folder / START_FOLDER / "unet" / "diffusion_pytorch_model.safetensors"
    start_from_weights(unet, inherited)
    model = DenoisingLoss(unet, clip.text_model)
    return Stage(NAME, model, sample, budget, 1e-3, 0.01, 0.999, preview)
