"""Pipelines around denoisers of published shapes with random weights; encoders are shallow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

import hrvlab as hl

TOKENS = 77  # of CLIP
PROMPT = "a photo of a rose"
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@contextmanager
def made_on(device: str, dtype: torch.dtype) -> Iterator[None]:
    """Make parameters on a device and of a type within a block, so that no copy is needed."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


@cache
def clip_tokenizer() -> CLIPTokenizer:
    """Return the miniature's tokenizer, with as many columns as CLIP's."""
    tokenizer = hl.load("miniature", device="cpu").tokenizer
    tokenizer.model_max_length = TOKENS
    return tokenizer


def clip(tokenizer: CLIPTokenizer, width: int, *, projects: bool) -> Any:
    """Build a text encoder of CLIP's width, of two layers."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=width,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=width // 64,
        max_position_embeddings=TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    kind = CLIPTextModelWithProjection if projects else CLIPTextModel
    return kind(config).eval()


def t5(width: int) -> tuple[T5Tokenizer, T5EncoderModel]:
    """Build T5's tokenizer of a few words, and its encoder of one layer."""
    pieces = {"<pad>": 0.0, "</s>": 0.0, "<unk>": 0.0, "▁": -3.0}
    pieces |= dict.fromkeys([f"▁{word}" for word in PROMPT.split()], -1.0)
    tokenizer = T5Tokenizer(vocab=list(pieces.items()), extra_ids=0)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=width, d_kv=64, d_ff=64, num_layers=1, num_heads=2
    )
    return tokenizer, T5EncoderModel(config).eval()


def autoencoder(channels: int) -> AutoencoderKL:
    """Build an autoencoder that halves a side three times; it is not run."""
    return AutoencoderKL(
        latent_channels=channels,
        block_out_channels=(8,) * 4,
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        norm_num_groups=4,
        shift_factor=0.1,
    )


def stable_diffusion(
    config: Mapping[str, Any], device: str, dtype: torch.dtype
) -> DiffusionPipeline:
    """Build a pipeline of Stable Diffusion 1 around a UNet."""
    tokenizer = clip_tokenizer()
    with made_on(device, dtype):
        models = {
            "unet": UNet2DConditionModel(**config).eval(),
            "vae": autoencoder(4),
            "text_encoder": clip(tokenizer, config["cross_attention_dim"], projects=False),
        }
    return StableDiffusionPipeline(
        **models,
        tokenizer=tokenizer,
        scheduler=DDIMScheduler(**BETAS, steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def stable_diffusion_xl(
    config: Mapping[str, Any], device: str, dtype: torch.dtype
) -> DiffusionPipeline:
    """Build a pipeline of SDXL around a UNet."""
    tokenizer = clip_tokenizer()
    # The second encoder's projection is added to the embedding of six sizes.
    sizes = 6 * config["addition_time_embed_dim"]
    second = config["projection_class_embeddings_input_dim"] - sizes
    with made_on(device, dtype):
        models = {
            "unet": UNet2DConditionModel(**config).eval(),
            "vae": autoencoder(4),
            "text_encoder": clip(tokenizer, config["cross_attention_dim"] - second, projects=False),
            "text_encoder_2": clip(tokenizer, second, projects=True),
        }
    return StableDiffusionXLPipeline(
        **models,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        scheduler=DDIMScheduler(**BETAS, steps_offset=1, clip_sample=False),
        add_watermarker=False,
    )


def stable_diffusion_3(
    config: Mapping[str, Any], device: str, dtype: torch.dtype
) -> DiffusionPipeline:
    """Build a pipeline of Stable Diffusion 3.5 around a transformer."""
    tokenizer, pooled = clip_tokenizer(), config["pooled_projection_dim"]
    first = 768 if pooled == 2048 else pooled // 2
    with made_on(device, dtype):
        tokenizer_3, encoder_3 = t5(config["joint_attention_dim"])
        models = {
            "transformer": SD3Transformer2DModel(**config).eval(),
            "vae": autoencoder(config["in_channels"]),
            "text_encoder": clip(tokenizer, first, projects=True),
            "text_encoder_2": clip(tokenizer, pooled - first, projects=True),
            "text_encoder_3": encoder_3,
        }
    return StableDiffusion3Pipeline(
        **models,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        tokenizer_3=tokenizer_3,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )


def flux(config: Mapping[str, Any], device: str, dtype: torch.dtype) -> DiffusionPipeline:
    """Build a pipeline of FLUX.1 around a transformer."""
    tokenizer = clip_tokenizer()
    with made_on(device, dtype):
        tokenizer_2, encoder_2 = t5(config["joint_attention_dim"])
        models = {
            "transformer": FluxTransformer2DModel(**config).eval(),
            "vae": autoencoder(config["in_channels"] // 4),
            "text_encoder": clip(tokenizer, config["pooled_projection_dim"], projects=False),
            "text_encoder_2": encoder_2,
        }
    return FluxPipeline(
        **models,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
    )


Builder = Callable[[Mapping[str, Any], str, torch.dtype], DiffusionPipeline]


def build(
    builder: Builder, config: Mapping[str, Any], device: str, dtype: torch.dtype
) -> DiffusionPipeline:
    """Build a pipeline on a device, from the same seed each time."""
    torch.manual_seed(0)
    pipe = builder(config, device, dtype)
    pipe.to(device, dtype)
    pipe.set_progress_bar_config(disable=True)
    return pipe
