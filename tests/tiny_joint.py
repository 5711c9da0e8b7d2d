"""Tiny, randomly initialized pipelines of the real classes with joint attention."""

import torch
from diffusers import (
    ChromaPipeline,
    ChromaTransformer2DModel,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from transformers import CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

from tests.pipelines import Tiny, _text_config, _tiny_vae, tiny_tokenizer
from tests.tiny_transformers import t5_tokenizer

WIDTH = 40  # of T5's states: more channels than those of both CLIPs


def _t5(tokenizer):
    size = {"d_model": WIDTH, "d_kv": 8, "d_ff": WIDTH, "num_layers": 2, "num_heads": 2}
    return T5EncoderModel(T5Config(vocab_size=len(tokenizer), **size)).eval()


def _vae(channels=4):
    vae = _tiny_vae(channels)
    vae.register_to_config(shift_factor=0.1)
    return vae


def sharpened(transformer):
    """Sharpen random attention, so that heads differ."""
    for name, parameter in transformer.named_parameters():
        if ".attn." in name and ("q" in name.split(".")[-2] or "k" in name.split(".")[-2]):
            parameter.data *= 4
    return transformer.eval()


def tiny_sd3(channels: int = 4, **config) -> DiffusionPipeline:
    """Build an SD 3 pipeline: 3 layers of 2 heads, patches of 2 × 2 latents."""
    torch.manual_seed(0)
    tokenizer, t5 = tiny_tokenizer(), t5_tokenizer()
    encoders = [
        CLIPTextModelWithProjection(_text_config(tokenizer, projection_dim=16)).eval()
        for _ in range(2)
    ]
    transformer = SD3Transformer2DModel(
        sample_size=8,
        in_channels=channels,
        out_channels=channels,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        caption_projection_dim=16,
        pooled_projection_dim=32,
        pos_embed_max_size=16,
        **config,
    )
    pipe = StableDiffusion3Pipeline(
        transformer=sharpened(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=_vae(channels),
        text_encoder=encoders[0],
        tokenizer=tokenizer,
        text_encoder_2=encoders[1],
        tokenizer_2=tiny_tokenizer(pad_token="!"),
        text_encoder_3=_t5(t5),
        tokenizer_3=t5,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tiny_sd35() -> DiffusionPipeline:
    """Build an SD 3.5 pipeline: norms, and a second attention in the first block."""
    return tiny_sd3(qk_norm="rms_norm", dual_attention_layers=(0,))


def tiny_flux(channels: int = 16) -> DiffusionPipeline:
    """Build a FLUX.1 pipeline: 2 double and 2 single layers of 2 heads."""
    torch.manual_seed(0)
    tokenizer, t5 = tiny_tokenizer(), t5_tokenizer()
    transformer = FluxTransformer2DModel(
        in_channels=channels,
        out_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=16,
        guidance_embeds=True,
        axes_dims_rope=(2, 2, 4),
    )
    pipe = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=_vae(),
        text_encoder=CLIPTextModel(_text_config(tokenizer)).eval(),
        tokenizer=tokenizer,
        text_encoder_2=_t5(t5),
        tokenizer_2=t5,
        transformer=sharpened(transformer),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tiny_chroma() -> DiffusionPipeline:
    """Build a Chroma pipeline: 2 double and 2 single layers of 2 heads, with a mask."""
    torch.manual_seed(0)
    t5 = t5_tokenizer()
    transformer = ChromaTransformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        axes_dims_rope=(2, 2, 4),
        approximator_hidden_dim=16,
        approximator_layers=1,
    )
    pipe = ChromaPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=_vae(),
        text_encoder=_t5(t5),
        tokenizer=t5,
        transformer=sharpened(transformer),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


JOINT = {
    "sd3": Tiny(tiny_sd3, {"max_sequence_length": 24}),
    "sd3.5": Tiny(tiny_sd35, {"max_sequence_length": 24}),
    "flux": Tiny(tiny_flux, {"max_sequence_length": 24, "height": 16, "width": 16}),
    "chroma": Tiny(tiny_chroma, {"max_sequence_length": 24, "height": 16, "width": 16}),
}
