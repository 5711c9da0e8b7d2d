"""The miniature's autoencoder: images to 16 × 16 latents and back."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import nn

from hrvlab.errors import StoreError
from hrvlab.miniature.arrays import kept_array, spread
from hrvlab.miniature.checkpoints import averaged_weights, checkpoint_path
from hrvlab.miniature.dataset import as_tensor, render_images
from hrvlab.miniature.grids import save_grid
from hrvlab.miniature.training import Stage

if TYPE_CHECKING:
    from torch import Tensor

    from hrvlab.miniature.training import Budget

NAME = "autoencoder"
DECODER = "decoder"
LATENT_SIDE = 16
LATENT_CHANNELS = {64: 6, 128: 12}
# Few channels at full resolution, which is what an autoencoder spends its time on.
CHANNELS = {64: (32, 64, 96), 128: (32, 64, 96, 128)}
CHANNELS_FILE = "latent-channels.npy"
CHUNK = 1000  # images that a process encodes
AT_ONCE = 20  # images whose features fit in a processor's cache
KL_WEIGHT = 3e-4
EDGES = 0.5  # weight of the error of differences between neighboring pixels


def build_autoencoder(side: int) -> AutoencoderKL:
    """Build an untrained autoencoder, fully convolutional so that it can train on crops.

    Parameters
    ----------
    side : int
        Of the images: 64 (a factor of 4 from pixels to latents) or 128 (a factor of 8).
    """
    channels = CHANNELS[side]
    return AutoencoderKL(
        sample_size=side,
        latent_channels=LATENT_CHANNELS[side],
        block_out_channels=channels,
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        norm_num_groups=8,
        mid_block_add_attention=False,
    )


class ReconstructionLoss(nn.Module):
    """The autoencoder and its loss: errors of pixels and of edges, plus a weak KL term."""

    def __init__(self, autoencoder: AutoencoderKL) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the loss, a scalar, for pixels (n, 3, y, x) in [−1, 1]."""
        posterior = self.autoencoder.encode(pixels.to(self.autoencoder.dtype)).latent_dist
        decoded = self.autoencoder.decode(posterior.sample()).sample
        error = decoded.float() - pixels
        edges = error.diff(dim=2).abs().mean() + error.diff(dim=3).abs().mean()
        mean, log_variance = posterior.mean.float(), posterior.logvar.float()
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        return error.abs().mean() + 2 * error.square().mean() + EDGES * edges / 2 + KL_WEIGHT * kl


def autoencoder_stage(
    folder: Path, *, side: int, images: int, budget: Budget, batch: int = 16
) -> Stage:
    """Build the stage that trains the autoencoder on random crops of rendered images.

    Parameters
    ----------
    folder : Path
        Working folder.
    side : int
        Of the images; crops are half as wide.
    images : int
        Training images.
    budget : Budget
    batch : int
        Crops in a step.
    """
    model = ReconstructionLoss(build_autoencoder(side))
    return _stage(NAME, model, folder, side, images, budget, batch)


def decoder_stage(
    folder: Path, *, side: int, images: int, budget: Budget, batch: int = 16
) -> Stage:
    """Build the stage that trains the decoder for longer, while latents stay what they are.

    Parameters
    ----------
    folder, side, images, budget, batch
        As for `autoencoder_stage`.
    """
    model = ReconstructionLoss(build_autoencoder(side))
    model.load_state_dict(averaged_weights(folder, NAME))
    for part in (model.autoencoder.encoder, model.autoencoder.quant_conv):
        part.requires_grad_(False)
    return _stage(DECODER, model, folder, side, images, budget, batch)


def _stage(
    name: str,
    model: ReconstructionLoss,
    folder: Path,
    side: int,
    images: int,
    budget: Budget,
    batch: int,
) -> Stage:
    rendered = render_images(folder, images, side)
    crop = side // 2

    def sample(rng: np.random.Generator, progress: float) -> list[Tensor]:
        chosen = rng.choice(images, batch, replace=False)
        corners = rng.integers(0, side - crop + 1, size=(batch, 2))
        crops = [
            rendered[index, y : y + crop, x : x + crop]
            for index, (y, x) in zip(chosen, corners, strict=True)
        ]
        return [as_tensor(np.stack(crops))]

    before = model.state_dict()

    def preview(weights: dict[str, Tensor], path: Path) -> None:
        autoencoder = build_autoencoder(side).eval()
        autoencoder.load_state_dict(_own(before | weights))
        pixels = as_tensor(rendered[:32])
        with torch.no_grad():
            decoded = autoencoder(pixels, sample_posterior=False).sample
        save_grid(torch.cat([pixels, decoded]), path, columns=16)

    return Stage(name, model, sample, budget, rate=2e-3, muon_rate=0.015, preview=preview)


def _own(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("autoencoder."): weight for name, weight in weights.items()}


def measure_channels(folder: Path, side: int, images: int) -> None:
    """Keep the mean and the deviation of every latent channel, once the training has ended.

    Parameters
    ----------
    folder : Path
        Working folder.
    side : int
        Of the images.
    images : int
        Training images, of which the first are encoded.
    """
    autoencoder = build_autoencoder(side).eval()
    autoencoder.load_state_dict(_own(averaged_weights(folder, NAME)))
    pixels = as_tensor(render_images(folder, images, side)[:CHUNK])
    with torch.no_grad():
        means = torch.cat([autoencoder.encode(p).latent_dist.mean for p in pixels.split(AT_ONCE)])
    np.save(folder / CHANNELS_FILE, [means.mean((0, 2, 3)).numpy(), means.std((0, 2, 3)).numpy()])


def trained_autoencoder(folder: Path, side: int) -> AutoencoderKL:
    """Load the trained autoencoder from the working folder, its latents balanced.

    Raises
    ------
    StoreError
        If the training has not ended.
    """
    autoencoder = build_autoencoder(side).eval()
    weights = averaged_weights(folder, NAME)
    if checkpoint_path(folder, DECODER).exists():
        weights |= averaged_weights(folder, DECODER)
    autoencoder.load_state_dict(_own(weights))
    if not (folder / CHANNELS_FILE).exists():
        raise StoreError(f"{folder / CHANNELS_FILE} is missing: finish the stage {NAME!r} first")
    mean, deviation = torch.from_numpy(np.load(folder / CHANNELS_FILE))
    balance(autoencoder, mean, deviation)
    return autoencoder


@torch.no_grad()
def balance(autoencoder: AutoencoderKL, mean: Tensor, deviation: Tensor) -> None:
    """Give every latent channel mean 0 and deviation 1; decoded images stay the same.

    A UNet's loss counts channels by their variance, and detail may sit in those that have little.

    Parameters
    ----------
    autoencoder : AutoencoderKL
        Changed in place.
    mean, deviation : Tensor of float32, shape (channel,)
        Of its latents so far.
    """
    channels = len(mean)
    into, out = autoencoder.quant_conv, autoencoder.post_quant_conv
    into.bias[:channels] -= mean
    into.weight[:channels] /= deviation[:, None, None, None]
    into.bias[:channels] /= deviation
    into.bias[channels:] -= 2 * deviation.log()  # of the variance's logarithm
    out.bias += (out.weight[:, :, 0, 0] * mean).sum(1)
    out.weight *= deviation[None, :, None, None]


def encode_images(folder: Path, *, side: int, images: int) -> NDArray[np.float16]:
    """Encode the rendered images, or read their latents from an earlier run.

    Parameters
    ----------
    folder : Path
        Working folder, which keeps the latents.
    side : int
        Of the images.
    images : int
        Training images.

    Returns
    -------
    ndarray of float16, shape (images, channel, 16, 16)
        Posterior means, unscaled; memory-mapped.
    """
    path = folder / f"latents-{side}-{images}.npy"
    shape = (images, LATENT_CHANNELS[side], LATENT_SIDE, LATENT_SIDE)
    if not path.exists():
        render_images(folder, images, side)  # here, because a pool's process can have no pool
    compute = partial(spread, partial(_encode_chunk, folder, side, images))
    return kept_array(path, shape, np.float16, compute, chunk=CHUNK)


def _encode_chunk(folder: Path, side: int, images: int, start: int) -> NDArray[np.float16]:
    torch.set_num_threads(1)
    autoencoder = trained_autoencoder(folder, side)
    pixels = as_tensor(render_images(folder, images, side)[start : start + CHUNK])
    with torch.no_grad():
        means = [autoencoder.encode(part).latent_dist.mean.half() for part in pixels.split(AT_ONCE)]
    return torch.cat(means).numpy()


def scaling_factor(latents: NDArray[np.float16]) -> float:
    """Compute the factor that scales latents to unit standard deviation."""
    return round(1 / float(latents[:4000].astype(np.float32).std()), 4)
