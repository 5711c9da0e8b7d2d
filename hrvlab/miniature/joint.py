"""The miniature's joint-attention model, of Stable Diffusion 3's shape, and its loss."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from torch import nn
from transformers import CLIPTextModelWithProjection

from hrvlab.miniature.autoencoder import LATENT_CHANNELS, LATENT_SIDE
from hrvlab.miniature.checkpoints import averaged_weights
from hrvlab.miniature.clip import WIDTH as TEXT_WIDTH
from hrvlab.miniature.denoiser import swap_end_tokens

if TYPE_CHECKING:
    from diffusers import AutoencoderKL
    from torch import Tensor
    from transformers import CLIPModel, CLIPTokenizer

NAME = "joint"
LAYERS, HEADS, HEAD_CHANNELS = 8, 10, 16
PATCH = 2  # latents on a token's side: 8 × 8 image tokens
TEXT_LAYERS = (4, 2)  # of the two text encoders; states are read before the last layer
TIMESTEPS = 1000
SHIFT = 3.0  # toward noisy steps, as in Stable Diffusion 3
PREFIX = "transformer."


def build_scheduler() -> FlowMatchEulerDiscreteScheduler:
    """Build Stable Diffusion 3's scheduler: straight paths from noise to latents."""
    return FlowMatchEulerDiscreteScheduler(num_train_timesteps=TIMESTEPS, shift=SHIFT)


def build_transformer(side: int) -> SD3Transformer2DModel:
    """Build an untrained transformer of 8 layers of 10 heads, whose blocks change nothing yet.

    Parameters
    ----------
    side : int
        Of the images.
    """
    transformer = SD3Transformer2DModel(
        sample_size=LATENT_SIDE,
        patch_size=PATCH,
        in_channels=LATENT_CHANNELS[side],
        out_channels=LATENT_CHANNELS[side],
        num_layers=LAYERS,
        num_attention_heads=HEADS,
        attention_head_dim=HEAD_CHANNELS,
        caption_projection_dim=HEADS * HEAD_CHANNELS,
        joint_attention_dim=len(TEXT_LAYERS) * TEXT_WIDTH,
        pooled_projection_dim=len(TEXT_LAYERS) * TEXT_WIDTH,
        pos_embed_max_size=LATENT_SIDE // PATCH,
        qk_norm="rms_norm",
    )
    # As in DiT (Peebles and Xie 2023); diffusers leaves PyTorch's initialization.
    for module in transformer.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    silent = [norm for b in transformer.transformer_blocks for norm in (b.norm1, b.norm1_context)]
    for linear in (*(n.linear for n in silent), transformer.norm_out.linear, transformer.proj_out):
        nn.init.zeros_(linear.weight)
    return transformer


def text_encoders(clip: CLIPModel) -> list[CLIPTextModelWithProjection]:
    """Build Stable Diffusion 3's two text encoders: CLIP's text tower, and its first two layers.

    The pipeline reads the states before the last layer. After three layers words have met each
    other; after one they have hardly, which tells apart what belongs to which.

    Parameters
    ----------
    clip : CLIPModel
    """
    weights, encoders = clip.state_dict(), []
    for layers in TEXT_LAYERS:
        config = copy.deepcopy(clip.config.text_config)
        config.num_hidden_layers = layers
        encoder = CLIPTextModelWithProjection(config).eval()
        encoder.load_state_dict({name: weights[name] for name in encoder.state_dict()})
        encoders.append(encoder)
    return encoders


def read_texts(
    encoders: list[CLIPTextModelWithProjection] | nn.ModuleList, ids: Tensor
) -> tuple[Tensor, Tensor]:
    """Read captions as the pipeline does.

    Parameters
    ----------
    encoders : list of CLIPTextModelWithProjection
        From `text_encoders`.
    ids : Tensor of int64, shape (n, token)

    Returns
    -------
    states : Tensor of float, shape (n, token, 256)
    pooled : Tensor of float, shape (n, 256)
    """
    read = [encoder(ids, output_hidden_states=True) for encoder in encoders]
    states = torch.cat([each.hidden_states[-2] for each in read], -1)
    return states, torch.cat([each.text_embeds for each in read], -1)


class FlowLoss(nn.Module):
    """The transformer and its loss: the squared error of noise minus latents.

    The states of the text encoders are scaled to unit deviation before the transformer sees them;
    `with_scale` moves the scale into its weights.

    Parameters
    ----------
    transformer : SD3Transformer2DModel
    encoders : list of CLIPTextModelWithProjection
        Frozen.
    scale : Tensor of float32, shape (256,)
        Deviation of the states' channels.
    """

    def __init__(
        self,
        transformer: SD3Transformer2DModel,
        encoders: list[CLIPTextModelWithProjection],
        scale: Tensor,
    ) -> None:
        super().__init__()
        self.transformer = transformer
        self.encoders = nn.ModuleList(encoders).requires_grad_(False)
        self.end: int = encoders[0].config.eos_token_id
        self.scale: Tensor
        self.register_buffer("scale", scale)

    def forward(
        self,
        latents: Tensor,
        noise: Tensor,
        shares: Tensor,
        ids: Tensor,
        swapped: Tensor,
        pooled_of: Tensor,
    ) -> Tensor:
        """Compute the loss, a scalar.

        Parameters
        ----------
        latents, noise : Tensor of float32, shape (n, channel, 16, 16)
            Scaled latents.
        shares : Tensor of float32, shape (n,)
            Of noise, from 0 to 1.
        ids : Tensor of int64, shape (n + 1, token)
            Token ids of the captions, and of the empty one.
        swapped : Tensor of bool, shape (n,)
            Captions that get another one's end and padding tokens.
        pooled_of : Tensor of int64, shape (n,)
            Rows of the ids whose pooled vectors are used.
        """
        with torch.no_grad():
            states, pooled = read_texts(self.encoders, ids)
        ends = (ids[:-1] == self.end).int().argmax(1)
        states = swap_end_tokens(states[:-1], ends, swapped) / self.scale
        noised = torch.lerp(latents, noise, shares[:, None, None, None])
        found = self.transformer(
            noised.to(self.transformer.dtype), states, pooled[pooled_of], shares * TIMESTEPS
        ).sample
        return (found.float() - (noise - latents)).square().mean()


@torch.no_grad()
def measure_scale(encoders: list[CLIPTextModelWithProjection], ids: Tensor) -> Tensor:
    """Compute the deviation of each encoder's states over captions, repeated for its channels.

    Parameters
    ----------
    encoders : list of CLIPTextModelWithProjection
    ids : Tensor of int64, shape (n, token)

    Returns
    -------
    Tensor of float32, shape (256,)
    """
    states, _ = read_texts(encoders, ids)
    deviations = states.unflatten(-1, (len(encoders), -1)).std((0, 1, 3))
    return deviations.repeat_interleave(TEXT_WIDTH)


def with_scale(weights: dict[str, Tensor], side: int, scale: Tensor) -> SD3Transformer2DModel:
    """Build the transformer from trained weights, so that it takes the states as they are.

    Parameters
    ----------
    weights : dict of str to Tensor
        Of a `FlowLoss`.
    side : int
        Of the images.
    scale : Tensor of float32, shape (256,)
        By which the states were divided in the training.
    """
    transformer = build_transformer(side)
    own = {k.removeprefix(PREFIX): v for k, v in weights.items() if k.startswith(PREFIX)}
    own["context_embedder.weight"] = own["context_embedder.weight"] / scale
    transformer.load_state_dict(transformer.state_dict() | own)
    return transformer.eval()


def trained_transformer(folder: Path, side: int, scale: Tensor) -> SD3Transformer2DModel:
    """Load the trained transformer from the working folder."""
    return with_scale(averaged_weights(folder, NAME), side, scale)


def build_joint_pipeline(
    autoencoder: AutoencoderKL,
    encoders: list[CLIPTextModelWithProjection],
    tokenizer: CLIPTokenizer,
    transformer: SD3Transformer2DModel,
) -> StableDiffusion3Pipeline:
    """Assemble the models into a Stable Diffusion 3 pipeline without a T5.

    Called with ``max_sequence_length=0`` it appends no columns of zeros for the absent T5.
    """
    autoencoder.register_to_config(shift_factor=0.0)
    return StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=build_scheduler(),
        vae=autoencoder,
        text_encoder=encoders[0],
        tokenizer=tokenizer,
        text_encoder_2=encoders[1],
        tokenizer_2=tokenizer,
        text_encoder_3=None,
        tokenizer_3=None,
    )
