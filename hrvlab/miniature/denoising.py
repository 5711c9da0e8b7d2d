"""The training of the miniature's UNet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from hrvlab.miniature.autoencoder import trained_autoencoder
from hrvlab.miniature.clip import trained_clip
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
from hrvlab.miniature.examples import Examples, stratified
from hrvlab.miniature.samples import save_samples
from hrvlab.miniature.tokens import START_FOLDER
from hrvlab.miniature.training import Stage

if TYPE_CHECKING:
    from torch import Tensor

    from hrvlab.miniature.training import Budget


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
    examples = Examples(folder, side=side, images=images)
    clip, tokenizer = trained_clip(folder, side)
    alphas = build_scheduler().alphas_cumprod.numpy()

    def sample(rng: np.random.Generator, progress: float) -> list[Tensor]:
        some = examples.sample(rng, batch, progress)
        timesteps = (stratified(rng, batch) * TIMESTEPS).astype(np.int64)
        arrays = (some.clean, some.noise, timesteps, alphas[timesteps], some.ids, some.swapped)
        return [torch.from_numpy(array) for array in arrays]

    def preview(weights: dict[str, Tensor], path: Path) -> None:
        unet, autoencoder = build_unet(side).eval(), trained_autoencoder(folder, side)
        unet.load_state_dict(own_weights(weights))
        autoencoder.register_to_config(scaling_factor=examples.factor)
        text_encoder = trained_clip(folder, side)[0].text_model
        pipe = build_pipeline(autoencoder, text_encoder, tokenizer, unet)
        save_samples(pipe, path, num_inference_steps=steps)

    unet = build_unet(side)
    inherited = folder / START_FOLDER / "unet" / "diffusion_pytorch_model.safetensors"
    start_from_weights(unet, inherited)
    model = DenoisingLoss(unet, clip.text_model)
    return Stage(NAME, model, sample, budget, 1e-3, 0.01, 0.999, preview)
