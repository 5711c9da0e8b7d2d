"""Tiny, randomly initialized pipelines of families with joint attention, built in memory."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from diffusers import (
    AuraFlowPipeline,
    AuraFlowTransformer2DModel,
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    BriaPipeline,
    BriaTransformer2DModel,
    CogView3PlusPipeline,
    CogView3PlusTransformer2DModel,
    CogView4Pipeline,
    CogView4Transformer2DModel,
    DDIMScheduler,
    DDPMScheduler,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
    HunyuanDiT2DModel,
    HunyuanDiTPipeline,
    LongCatImagePipeline,
    LongCatImageTransformer2DModel,
    Lumina2Pipeline,
    Lumina2Transformer2DModel,
    LuminaNextDiT2DModel,
    LuminaPipeline,
    OvisImagePipeline,
    OvisImageTransformer2DModel,
    QwenImagePipeline,
    QwenImageTransformer2DModel,
    ZImagePipeline,
    ZImageTransformer2DModel,
)
from diffusers.image_processor import VaeImageProcessor
from transformers import BertConfig, BertModel

from tests.tiny_joint import WIDTH, _t5, _vae
from tests.tiny_language import (
    bert_tokenizer,
    glm_tokenizer,
    mistral_processor,
    qwen_tokenizer,
    sharpened,
    tiny_glm,
    tiny_mistral,
    tiny_qwen,
    tiny_qwen_vl,
)
from tests.tiny_transformers import _sana_parts, t5_tokenizer


@dataclass
class Joint:
    """A tiny pipeline with joint attention, and what an independent reference must know of it.

    Parameters
    ----------
    build : callable () -> DiffusionPipeline
    call : dict
        Keywords that one of its kind is called with, without guidance.
    guided : dict
        Keywords of a call with guidance.
    text : {"first", "last", "alone"}
        Where text stands among the keys.
    branches : {"two calls", "truncated", "negative first", "prompt first"}
        How guidance is computed; truncated: in two calls of the first step alone.
    refined : bool
        Whether blocks of its own attend to text or image alone, before the joint ones.
    position : int
        Side of a position of the image, in pixels.
    """

    build: Callable[[], DiffusionPipeline]
    call: dict[str, Any] = field(default_factory=dict)
    guided: dict[str, Any] = field(default_factory=dict)
    text: Literal["first", "last", "alone"] = "first"
    branches: Literal["two calls", "truncated", "negative first", "prompt first"] = "two calls"
    refined: bool = False
    position: int = 4


def _quiet(pipe):
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tiny_qwen_image() -> DiffusionPipeline:
    """Build a Qwen-Image pipeline: 2 double layers of 2 heads."""
    torch.manual_seed(0)
    tokenizer = qwen_tokenizer()
    transformer = QwenImageTransformer2DModel(
        in_channels=16,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=(2, 2, 4),
    )
    vae = AutoencoderKLQwenImage(
        base_dim=4,
        z_dim=4,
        dim_mult=[1, 1],
        num_res_blocks=1,
        temperal_downsample=[False],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    pipe = QwenImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae.eval(),
        text_encoder=tiny_qwen_vl(tokenizer),
        tokenizer=tokenizer,
        transformer=sharpened(transformer),
    )
    begin = tokenizer(pipe.prompt_template_encode.split("{}")[0])["input_ids"]
    pipe.prompt_template_encode_start_idx = len(begin)  # 34 in the published vocabulary
    return _quiet(pipe)


def tiny_aura_flow() -> DiffusionPipeline:
    """Build an AuraFlow pipeline: 1 double and 1 single layer of 2 heads, with 8 registers."""
    torch.manual_seed(0)
    t5 = t5_tokenizer()
    transformer = AuraFlowTransformer2DModel(
        sample_size=8,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        num_attention_heads=2,
        attention_head_dim=8,
        joint_attention_dim=WIDTH,
        caption_projection_dim=16,
        pos_embed_max_size=256,
    )
    pipe = AuraFlowPipeline(
        tokenizer=t5,
        text_encoder=_t5(t5),
        vae=_vae(),
        transformer=sharpened(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.73),
    )
    return _quiet(pipe)


HEADS = {"attention_head_dim": 8, "num_attention_heads": 2}
DOUBLE_AND_SINGLE = HEADS | {"num_layers": 1, "num_single_layers": 1}
AXES = {"axes_dims_rope": (2, 2, 4)}


def _shifting():
    return FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)


def _flux_2(cls, transformer, **parts):
    sides = {"down_block_types": ("DownEncoderBlock2D",) * 2}
    sides |= {"up_block_types": ("UpDecoderBlock2D",) * 2, "block_out_channels": (8, 8)}
    vae = AutoencoderKLFlux2(**sides, layers_per_block=1, latent_channels=4, norm_num_groups=4)
    return _quiet(
        cls(
            scheduler=_shifting(),
            vae=vae.eval(),
            transformer=sharpened(
                Flux2Transformer2DModel(
                    in_channels=16,
                    **DOUBLE_AND_SINGLE,
                    joint_attention_dim=48,
                    timestep_guidance_channels=16,
                    axes_dims_rope=(2, 2, 2, 2),
                    **transformer,
                )
            ),
            **parts,
        )
    )


def tiny_flux_2() -> DiffusionPipeline:
    """Build a FLUX.2 pipeline: 1 double and 1 single layer of 2 heads."""
    torch.manual_seed(0)
    processor = mistral_processor()
    pipe = _flux_2(Flux2Pipeline, {}, tokenizer=processor, text_encoder=tiny_mistral(processor))
    pipe.system_message = "on a day"
    return pipe


def tiny_klein(*, distilled: bool = False) -> DiffusionPipeline:
    """Build a FLUX.2 klein pipeline: 1 double and 1 single layer of 2 heads."""
    torch.manual_seed(0)
    tokenizer = qwen_tokenizer()
    return _flux_2(
        Flux2KleinPipeline,
        {"guidance_embeds": False},
        tokenizer=tokenizer,
        text_encoder=tiny_qwen(tokenizer, 3),
        is_distilled=distilled,
    )


def tiny_bria() -> DiffusionPipeline:
    """Build a Bria pipeline: 1 double and 1 single layer of 2 heads."""
    torch.manual_seed(0)
    t5 = t5_tokenizer()
    transformer = BriaTransformer2DModel(
        in_channels=16, **DOUBLE_AND_SINGLE, **AXES, joint_attention_dim=WIDTH
    )
    pipe = BriaPipeline(sharpened(transformer), _shifting(), _vae(), _t5(t5), t5)
    return _quiet(pipe)


def tiny_longcat() -> DiffusionPipeline:
    """Build a LongCat-Image pipeline: 1 double and 1 single layer of 2 heads."""
    torch.manual_seed(0)
    tokenizer = qwen_tokenizer()
    transformer = LongCatImageTransformer2DModel(
        in_channels=64, **DOUBLE_AND_SINGLE, **AXES, joint_attention_dim=16
    )
    pipe = LongCatImagePipeline(
        _shifting(), _vae(16), tiny_qwen_vl(tokenizer), tokenizer, None, sharpened(transformer)
    )
    pipe.tokenizer_max_length = 24  # 512 in the published pipeline
    return _quiet(pipe)


def tiny_ovis() -> DiffusionPipeline:
    """Build an Ovis-Image pipeline: 1 double and 1 single layer of 2 heads."""
    torch.manual_seed(0)
    tokenizer = qwen_tokenizer()
    transformer = OvisImageTransformer2DModel(
        in_channels=16, out_channels=16, **DOUBLE_AND_SINGLE, **AXES, joint_attention_dim=16
    )
    encoder = tiny_qwen(tokenizer).model
    pipe = OvisImagePipeline(_shifting(), _vae(), encoder, tokenizer, sharpened(transformer))
    begin = tokenizer(f"<|im_start|>user\n{pipe.system_prompt}".rstrip())["input_ids"]
    pipe.user_prompt_begin_id = len(begin)  # 28 in the published vocabulary
    return _quiet(pipe)


COGVIEW = HEADS | {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "num_layers": 2,
    "time_embed_dim": 8,
    "condition_dim": 4,
    "pos_embed_max_size": 16,
}


def tiny_cogview_3_plus() -> DiffusionPipeline:
    """Build a CogView 3+ pipeline: 2 shared layers of 2 heads."""
    torch.manual_seed(0)
    t5 = t5_tokenizer()
    transformer = CogView3PlusTransformer2DModel(**COGVIEW, text_embed_dim=WIDTH)
    scheduler = DDIMScheduler(prediction_type="v_prediction", timestep_spacing="trailing")
    return _quiet(CogView3PlusPipeline(t5, _t5(t5), _vae(), sharpened(transformer), scheduler))


def tiny_cogview_4(channels: int = 4) -> DiffusionPipeline:
    """Build a CogView 4 pipeline: 2 shared layers of 2 heads."""
    torch.manual_seed(0)
    tokenizer = glm_tokenizer()
    transformer = CogView4Transformer2DModel(
        **COGVIEW | {"in_channels": channels}, text_embed_dim=16, rope_axes_dim=(16, 16)
    )
    return _quiet(
        CogView4Pipeline(
            tokenizer, tiny_glm(tokenizer), _vae(), sharpened(transformer), _shifting()
        )
    )


def tiny_z_image() -> DiffusionPipeline:
    """Build a Z-Image pipeline: 2 shared layers of 2 heads, and refiners before them."""
    torch.manual_seed(0)
    tokenizer = qwen_tokenizer()
    transformer = ZImageTransformer2DModel(
        in_channels=4,
        dim=16,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        axes_dims=[2, 2, 4],
        axes_lens=[128, 32, 32],
    )
    encoder = tiny_qwen(tokenizer).model
    return _quiet(ZImagePipeline(_shifting(), _vae(), encoder, tokenizer, sharpened(transformer)))


def tiny_lumina_2() -> DiffusionPipeline:
    """Build a Lumina 2 pipeline: 2 shared layers of 4 heads in 2 groups, and refiners."""
    torch.manual_seed(0)
    parts = _sana_parts(None)
    transformer = Lumina2Transformer2DModel(
        sample_size=8,
        in_channels=4,
        hidden_size=32,
        num_layers=2,
        num_refiner_layers=1,
        num_attention_heads=4,
        num_kv_heads=2,
        multiple_of=8,
        axes_dim_rope=(2, 2, 4),
        axes_lens=(64, 32, 32),
        cap_feat_dim=16,
    )
    pipe = Lumina2Pipeline(
        sharpened(transformer), _shifting(), _vae(), parts["text_encoder"], parts["tokenizer"]
    )
    pipe.vae_scale_factor = 2  # the published pipeline's is 8, whatever its VAE
    pipe.image_processor = VaeImageProcessor(vae_scale_factor=4)
    return _quiet(pipe)


def _deep_vae():
    """Build an autoencoder of images 8 times as large, which some pipelines take for granted."""
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4}
    blocks |= {"up_block_types": ("UpDecoderBlock2D",) * 4, "block_out_channels": (4,) * 4}
    return AutoencoderKL(latent_channels=4, layers_per_block=1, norm_num_groups=2, **blocks).eval()


def tiny_hunyuan_dit() -> DiffusionPipeline:
    """Build a Hunyuan-DiT pipeline: 4 layers of 2 heads."""
    torch.manual_seed(0)
    bert, t5 = bert_tokenizer(), t5_tokenizer()
    config = BertConfig(
        vocab_size=len(bert),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    transformer = HunyuanDiT2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        patch_size=2,
        sample_size=8,
        hidden_size=16,
        num_layers=4,
        mlp_ratio=1.0,
        cross_attention_dim=16,
        cross_attention_dim_t5=WIDTH,
        pooled_projection_dim=16,
    )
    pipe = HunyuanDiTPipeline(
        vae=_deep_vae(),
        text_encoder=BertModel(config).eval(),
        tokenizer=bert,
        text_encoder_2=_t5(t5),
        tokenizer_2=t5,
        transformer=sharpened(transformer),
        scheduler=DDPMScheduler(prediction_type="v_prediction"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return _quiet(pipe)


def tiny_lumina_next() -> DiffusionPipeline:
    """Build a Lumina-Next pipeline: 2 layers of 4 heads in 2 groups."""
    torch.manual_seed(0)
    parts = _sana_parts(None)
    transformer = LuminaNextDiT2DModel(
        sample_size=8,
        hidden_size=32,
        num_layers=2,
        num_attention_heads=4,
        num_kv_heads=2,
        multiple_of=8,
        cross_attention_dim=16,
    )
    pipe = LuminaPipeline(
        sharpened(transformer),
        FlowMatchEulerDiscreteScheduler(),
        _deep_vae(),
        parts["text_encoder"],
        parts["tokenizer"],
    )
    pipe.tokenizer.padding_side = "right"
    return _quiet(pipe)


SIDES = {"height": 16, "width": 16}
LENGTH = {"max_sequence_length": 24}
UNGUIDED = {"guidance_scale": 1.0}
GUIDED = {"guidance_scale": 3.0}
LARGE = {"height": 64, "width": 64}
NEGATIVE = {"negative_prompt": ["a vase on"] * 2}
LAYERS = {"text_encoder_out_layers": (1, 2, 3)}
FAMILIES = {
    "Qwen-Image": Joint(tiny_qwen_image, SIDES, NEGATIVE),
    "FLUX.2": Joint(tiny_flux_2, SIDES | LAYERS | {"max_sequence_length": 32}),
    "FLUX.2 klein": Joint(
        tiny_klein, SIDES | LAYERS | UNGUIDED | {"max_sequence_length": 40}, GUIDED
    ),
    "AuraFlow": Joint(tiny_aura_flow, SIDES | LENGTH | UNGUIDED, GUIDED, branches="negative first"),
    "Z-Image": Joint(
        tiny_z_image,
        SIDES | {"guidance_scale": 0.0},
        GUIDED | NEGATIVE,
        text="last",
        branches="prompt first",
        refined=True,
    ),
    "Lumina 2": Joint(
        tiny_lumina_2,
        SIDES | UNGUIDED | {"system_prompt": "on a day", "max_sequence_length": 32},
        GUIDED | {"cfg_trunc_ratio": 0.5},
        branches="truncated",
        refined=True,
    ),
    "CogView 4": Joint(tiny_cogview_4, SIDES | UNGUIDED, GUIDED),
    "CogView 3+": Joint(
        tiny_cogview_3_plus, SIDES | LENGTH | UNGUIDED, GUIDED, branches="negative first"
    ),
    "Bria 3.2": Joint(tiny_bria, SIDES | LENGTH | UNGUIDED, GUIDED, branches="negative first"),
    "LongCat-Image": Joint(
        tiny_longcat, SIDES | UNGUIDED | {"enable_prompt_rewrite": False}, GUIDED
    ),
    "Ovis-Image": Joint(tiny_ovis, SIDES | LENGTH | UNGUIDED, GUIDED | NEGATIVE),
    "Hunyuan-DiT": Joint(
        tiny_hunyuan_dit,
        LARGE | UNGUIDED | {"use_resolution_binning": False},
        GUIDED,
        text="alone",
        branches="negative first",
        position=16,
    ),
    "Lumina-Next": Joint(
        tiny_lumina_next,
        LARGE | UNGUIDED,
        GUIDED | NEGATIVE,
        text="alone",
        branches="prompt first",
        position=16,
    ),
}
