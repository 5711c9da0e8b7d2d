"""The miniature's UNet, with Stable Diffusion 1.4's cross-attention layout, and its loss."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file
from torch import nn

from hrvlab.miniature.autoencoder import LATENT_CHANNELS, LATENT_SIDE
from hrvlab.miniature.checkpoints import averaged_weights
from hrvlab.miniature.clip import WIDTH

if TYPE_CHECKING:
    from diffusers import AutoencoderKL
    from torch import Tensor
    from transformers import CLIPTextModel, CLIPTokenizer

NAME = "denoiser"
CHANNELS = (32, 64, 96, 128)
TIME_CHANNELS = 256
MIN_SNR = 5.0  # cap on the weight of nearly noiseless timesteps (Hang et al. 2023)
TIMESTEPS = 1000


def build_scheduler() -> DPMSolverMultistepScheduler:
    """Build a DPM-Solver++ scheduler of Stable Diffusion's noise schedule, made to end in noise.

    The schedule is rescaled so that its last timestep is pure noise, where sampling starts (Lin et
    al. 2024). In Stable Diffusion's own schedule a trace of the image survives, which reveals the
    mean brightness in training but is missing in sampling.
    """
    return DPMSolverMultistepScheduler(
        num_train_timesteps=TIMESTEPS,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )


def build_unet(side: int) -> UNet2DConditionModel:
    """Build an untrained UNet: 6 + 1 + 9 cross-attention layers of 8 heads, on 16 × 16 latents.

    Parameters
    ----------
    side : int
        Of the images.
    """
    return UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        in_channels=LATENT_CHANNELS[side],
        out_channels=LATENT_CHANNELS[side],
        block_out_channels=CHANNELS,
        layers_per_block=2,
        down_block_types=(*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
        up_block_types=("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
        cross_attention_dim=WIDTH,
        attention_head_dim=8,
        norm_num_groups=16,
        time_embedding_dim=TIME_CHANNELS,
    )


def build_pipeline(
    autoencoder: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    unet: UNet2DConditionModel,
) -> StableDiffusionPipeline:
    """Assemble the models into a Stable Diffusion pipeline."""
    return StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def trained_unet(folder: Path, side: int) -> UNet2DConditionModel:
    """Load the trained UNet from the working folder."""
    unet = build_unet(side)
    unet.load_state_dict(own_weights(averaged_weights(folder, NAME)))
    return unet.eval()


def own_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the UNet's weights among those of its training."""
    return {name.removeprefix("unet."): weight for name, weight in weights.items()}


def start_from_weights(unet: UNet2DConditionModel, path: Path) -> None:
    """Start the inner levels from an earlier UNet, if there is one, of three levels 8, 4 and 2.

    Its levels become the second to the fourth; weights of another shape are left as they are.

    Parameters
    ----------
    unet : UNet2DConditionModel
    path : Path
        Weights of the earlier one.
    """
    if not path.exists():
        return
    weights, own = load_file(path), unet.state_dict()
    for name, weight in weights.items():
        kind, number, *rest = name.split(".")
        target = (
            f"down_blocks.{int(number) + 1}.{'.'.join(rest)}" if kind == "down_blocks" else name
        )
        if target in own and own[target].shape == weight.shape:
            own[target] = weight.float()
    first = "time_embedding.linear_1"
    known = weights[f"{first}.weight"].float()
    own[f"{first}.weight"] = _fewer_frequencies(known, own[f"{first}.weight"].shape[1])
    unet.load_state_dict(own)


def _fewer_frequencies(weight: Tensor, channels: int) -> Tensor:
    """Fit a layer of sines and cosines of the timestep by fewer of them, shape (out, channels)."""
    from diffusers.models.embeddings import get_timestep_embedding

    timesteps = torch.arange(TIMESTEPS)
    before, after = (
        get_timestep_embedding(timesteps, size, flip_sin_to_cos=True, downscale_freq_shift=0)
        for size in (weight.shape[1], channels)
    )
    return torch.linalg.lstsq(after, before @ weight.T).solution.T.contiguous()


def swap_end_tokens(states: Tensor, ends: Tensor, swapped: Tensor) -> Tensor:
    """Replace the end and padding tokens of some captions by those of another caption.

    The end token of a short caption summarizes all of it. A UNet that can take everything from
    there hardly attends to the words; after the swap it has to. Stable Diffusion's captions are too
    long and varied for such a shortcut.

    Parameters
    ----------
    states : Tensor of float, shape (caption, token, channel)
        Hidden states of the text encoder.
    ends : Tensor of int64, shape (caption,)
        Position of each caption's end token.
    swapped : Tensor of bool, shape (caption,)
        Which captions to change.

    Returns
    -------
    Tensor of float, shape (caption, token, channel)
        In a swapped row i the words of caption i, followed by the end and padding tokens of caption
        i − 1.
    """
    others = torch.arange(len(states), device=states.device).roll(1)
    positions = torch.arange(states.shape[1], device=states.device)
    sources = positions + (ends[others] - ends)[:, None]
    theirs = states[others[:, None], sources.clamp(0, len(positions) - 1)]
    keep = (positions < ends[:, None]) | ~swapped[:, None]
    return torch.where(keep[..., None], states, theirs)


class DenoisingLoss(nn.Module):
    """The UNet and its loss: the velocity error, weighted by the capped signal-to-noise ratio.

    In terms of the error of the predicted clean latents, the weight of a timestep is min(SNR, 5) as
    in Hang et al. 2023, plus 1, because the noisiest timesteps decide color and composition.

    Parameters
    ----------
    unet : UNet2DConditionModel
    text_encoder : CLIPTextModel
        Frozen.
    """

    def __init__(self, unet: UNet2DConditionModel, text_encoder: CLIPTextModel) -> None:
        super().__init__()
        self.unet = unet
        self.text_encoder = text_encoder.requires_grad_(False)

    def forward(
        self,
        latents: Tensor,
        noise: Tensor,
        timesteps: Tensor,
        alpha: Tensor,
        ids: Tensor,
        swapped: Tensor,
    ) -> Tensor:
        """Compute the loss, a scalar.

        Parameters
        ----------
        latents, noise : Tensor of float32, shape (n, channel, 16, 16)
            Scaled latents.
        timesteps : Tensor of int64, shape (n,)
        alpha : Tensor of float32, shape (n,)
            Share of the latents' variance that is left at the timesteps.
        ids : Tensor of int64, shape (n, token)
            Token ids of the captions.
        swapped : Tensor of bool, shape (n,)
            Captions that get another one's end and padding tokens.
        """
        with torch.no_grad():
            states = self.text_encoder(ids).last_hidden_state
        ends = (ids == self.text_encoder.config.eos_token_id).int().argmax(1)
        states = swap_end_tokens(states, ends, swapped)
        clean, noisy = (share.sqrt()[:, None, None, None] for share in (alpha, 1 - alpha))
        noised = (clean * latents + noisy * noise).to(self.unet.dtype)
        velocity = clean * noise - noisy * latents
        found = self.unet(noised, timesteps, states).sample.float()
        error = (found - velocity).square().mean((1, 2, 3))
        snr = alpha / (1 - alpha)
        return (error * (snr.clamp(max=MIN_SNR) + 1) / (snr + 1)).mean()
