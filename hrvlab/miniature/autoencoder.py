"""The miniature's autoencoder: 64 × 64 images to 8 × 8 latents and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import nn

from hrvlab.miniature.dataset import as_tensor, render_images
from hrvlab.miniature.grids import save_grid
from hrvlab.miniature.rendering import SIDE
from hrvlab.miniature.training import Stage
from hrvlab.progress import track

if TYPE_CHECKING:
    from torch import Tensor

LATENT_CHANNELS = 12
CROP = 32
KL_WEIGHT = 3e-4


def build_autoencoder() -> AutoencoderKL:
    """Build an untrained autoencoder, fully convolutional so that it can train on crops."""
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


class ReconstructionLoss(nn.Module):
    """The autoencoder and its loss: L1 and L2 reconstruction error plus a weak KL term."""

    def __init__(self, autoencoder: AutoencoderKL) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the loss, a scalar, for pixels (n, 3, y, x) in [−1, 1]."""
        posterior = self.autoencoder.encode(pixels).latent_dist
        decoded = self.autoencoder.decode(posterior.sample()).sample
        error = decoded - pixels
        kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
        return error.abs().mean() + 2 * error.square().mean() + KL_WEIGHT * kl


def autoencoder_stage(folder: Path, *, images: int, steps: int, batch: int = 16) -> Stage:
    """Build the stage that trains the autoencoder on random 32 × 32 crops of rendered images.

    Parameters
    ----------
    folder : Path
        Working folder.
    images, steps, batch : int
        Training images; optimizer steps; crops in a step.
    """
    rendered = render_images(folder, images)

    def loss(model: nn.Module, rng: np.random.Generator) -> Tensor:
        chosen = np.sort(rng.choice(images, batch, replace=False))
        corners = rng.integers(0, SIDE - CROP + 1, size=(batch, 2))
        crops = [
            rendered[index, y : y + CROP, x : x + CROP]
            for index, (y, x) in zip(chosen, corners, strict=True)
        ]
        return model(as_tensor(np.stack(crops)))

    def preview(model: nn.Module, path: Path) -> None:
        pixels = as_tensor(rendered[:32])
        autoencoder = model.get_submodule("autoencoder")
        with torch.no_grad():
            decoded = autoencoder(pixels, sample_posterior=False).sample
        save_grid(torch.cat([pixels, decoded]), path, columns=16)

    model = ReconstructionLoss(build_autoencoder())
    return Stage("autoencoder", model, loss, steps, 1.5e-3, 0.998, preview)


def encode_images(folder: Path, autoencoder: AutoencoderKL, count: int) -> NDArray[np.float16]:
    """Encode the rendered images, or read their latents from an earlier run.

    Parameters
    ----------
    folder : Path
        Working folder, which keeps the latents.
    autoencoder : AutoencoderKL
    count : int
        Training images.

    Returns
    -------
    ndarray of float16, shape (count, channel, 8, 8)
        Posterior means, unscaled; memory-mapped.
    """
    path = folder / f"latents-{count}.npy"
    if not path.exists():
        rendered = render_images(folder, count)
        chunks = []
        with torch.no_grad():
            for start in track(range(0, count, 500), "encode"):
                pixels = as_tensor(rendered[start : start + 500])
                chunks.append(autoencoder.encode(pixels).latent_dist.mean.half().numpy())
        partial = path.with_suffix(".partial.npy")
        np.save(partial, np.concatenate(chunks), allow_pickle=False)
        partial.rename(path)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def scaling_factor(latents: NDArray[np.float16]) -> float:
    """Compute the factor that scales latents to unit standard deviation."""
    return round(1 / float(latents[:4000].astype(np.float32).std()), 4)
