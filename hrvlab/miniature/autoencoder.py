"""The miniature's autoencoder: 64 × 64 pictures to 8 × 8 latents and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from hrvlab.miniature.drawing import SIDE
from hrvlab.miniature.pictures import as_tensor, draw_pictures
from hrvlab.miniature.sheets import save_sheet
from hrvlab.miniature.training import Stage

LATENT_CHANNELS = 12
CROP = 32
KL_WEIGHT = 3e-4


def build_autoencoder() -> AutoencoderKL:
    """Make an untrained autoencoder, fully convolutional so that it can train on crops."""
    return AutoencoderKL(
        sample_size=SIDE,
        latent_channels=LATENT_CHANNELS,
        block_out_channels=(16, 32, 64, 96),
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=8,
        mid_block_add_attention=False,
    )


class Reconstruction(nn.Module):
    """The autoencoder with its loss: absolute and squared error, and a little KL."""

    def __init__(self, autoencoder: AutoencoderKL) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, pixels: Tensor) -> Tensor:
        """Give the loss for pixels (n, 3, y, x) in [−1, 1]."""
        posterior = self.autoencoder.encode(pixels).latent_dist
        decoded = self.autoencoder.decode(posterior.sample()).sample
        error = decoded - pixels
        kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
        return error.abs().mean() + 2 * error.square().mean() + KL_WEIGHT * kl


def autoencoder_stage(folder: Path, *, pictures: int, steps: int, batch: int = 16) -> Stage:
    """Train the autoencoder on random crops."""
    drawn = draw_pictures(folder, pictures)

    def loss(model: nn.Module, rng: np.random.Generator) -> Tensor:
        chosen = np.sort(rng.choice(pictures, batch, replace=False))
        corners = rng.integers(0, SIDE - CROP + 1, size=(batch, 2))
        crops = [
            drawn[index, y : y + CROP, x : x + CROP]
            for index, (y, x) in zip(chosen, corners, strict=True)
        ]
        return model(as_tensor(np.stack(crops)))

    def preview(model: nn.Module, path: Path) -> None:
        pixels = as_tensor(drawn[:32])
        autoencoder = model.get_submodule("autoencoder")
        with torch.no_grad():
            decoded = autoencoder(pixels, sample_posterior=False).sample
        save_sheet(torch.cat([pixels, decoded]), path, columns=16)

    return Stage(
        "autoencoder", Reconstruction(build_autoencoder()), loss, steps, 1.5e-3, 0.998, preview
    )
