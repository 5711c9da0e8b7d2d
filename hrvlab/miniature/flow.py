"""The training of the miniature's joint-attention model, a rectified flow (Esser et al. 2024)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from hrvlab.miniature.autoencoder import trained_autoencoder
from hrvlab.miniature.clip import trained_clip
from hrvlab.miniature.examples import Examples, stratified
from hrvlab.miniature.joint import (
    NAME,
    FlowLoss,
    build_joint_pipeline,
    build_transformer,
    measure_scale,
    text_encoders,
    with_scale,
)
from hrvlab.miniature.samples import save_samples
from hrvlab.miniature.tokens import encode_captions
from hrvlab.miniature.training import Stage

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import CLIPTextModelWithProjection

    from hrvlab.miniature.training import Budget

# Pooled vectors: shares of another caption's and of the empty one's, so that words say it all.
POOLED_OF_ANOTHER, POOLED_OF_NONE = 0.6, 0.2
UNIFORM = 0.35  # share of uniform noise levels; the others are logit-normal …
MIDDLE = 0.4  # … around this logit, toward noise
# How it is sampled; without a T5 there are no columns of text to append.
CALL = {"guidance_scale": 5.0, "max_sequence_length": 0}
SCALED_ON = 250  # images whose captions the text encoders' scale is measured on


def noise_shares(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Sample the shares of noise of a batch, in (0, 1), stratified.

    Parameters
    ----------
    rng : numpy.random.Generator
    count : int

    Returns
    -------
    ndarray of float32, shape (count,)
    """
    spread = torch.from_numpy(stratified(rng, count))
    rest = ((spread - UNIFORM) / (1 - UNIFORM)).clamp(1e-4, 1 - 1e-4)
    normal = (torch.special.ndtri(rest) + MIDDLE).sigmoid()
    shares = torch.where(spread < UNIFORM, spread / UNIFORM, normal)
    return shares.clamp(1e-3, 1).float().numpy()


def scaled_encoders(
    folder: Path, side: int, images: int
) -> tuple[list[CLIPTextModelWithProjection], Tensor]:
    """Build the text encoders from the trained CLIP, and measure the deviation of their states."""
    encoders = text_encoders(trained_clip(folder, side)[0])
    ids = torch.from_numpy(encode_captions(folder, images)[:SCALED_ON, 0].astype(np.int64))
    return encoders, measure_scale(encoders, ids)


def joint_stage(
    folder: Path, *, side: int, images: int, budget: Budget, batch: int = 32, steps: int = 12
) -> Stage:
    """Build the stage that trains the joint-attention model.

    Parameters
    ----------
    folder, side, images, budget, batch, steps
        As for `hrvlab.miniature.denoising.denoiser_stage`.
    """
    examples = Examples(folder, side=side, images=images)
    encoders, scale = scaled_encoders(folder, side, images)

    def sample(rng: np.random.Generator, progress: float) -> list[Tensor]:
        some = examples.sample(rng, batch, progress)
        shares = noise_shares(rng, batch)
        which = rng.random(batch)
        own = np.arange(batch)
        pooled_of = np.where(which < POOLED_OF_ANOTHER + POOLED_OF_NONE, batch, own)
        # Not the caption whose end and padding tokens are taken, which is the one before.
        pooled_of = np.where(which < POOLED_OF_ANOTHER, np.roll(own, 2), pooled_of)
        pooled_of[some.dropped] = batch
        ids = np.concatenate([some.ids, [examples.empty]])
        arrays = (some.clean, some.noise, shares, ids, some.swapped, pooled_of)
        return [torch.from_numpy(array) for array in arrays]

    def preview(weights: dict[str, Tensor], path: Path) -> None:
        autoencoder = trained_autoencoder(folder, side)
        autoencoder.register_to_config(scaling_factor=examples.factor)
        tokenizer = trained_clip(folder, side)[1]
        transformer = with_scale(weights, side, scale)
        pipe = build_joint_pipeline(autoencoder, encoders, tokenizer, transformer)
        save_samples(pipe, path, num_inference_steps=steps, **CALL)

    model = FlowLoss(build_transformer(side), encoders, scale)
    return Stage(NAME, model, sample, budget, 2e-3, 0.02, 0.999, preview)
