"""Tiny, randomly initialized pipelines of the real classes, built in memory."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiffusionPipeline,
    EulerAncestralDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.models.attention_processor import IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import ImageProjection
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

WORDS = "a photo of red blue green car cat dog tree rose vase and style painting on day"


def tiny_tokenizer(length: int = 20, words: str = WORDS, **special: str) -> CLIPTokenizer:
    """Build CLIP's tokenizer with one token for each known word and bytes for the rest."""
    alphabet = sorted(ByteLevel.alphabet())
    merges: list[tuple[str, str]] = []
    for word in words.split():
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merges.append((parts[0], parts[1]))
            parts = [parts[0] + parts[1], *parts[2:]]
    merges = list(dict.fromkeys(merges))
    tokens = [*alphabet, *(f"{byte}</w>" for byte in alphabet), *("".join(m) for m in merges)]
    tokens = list(dict.fromkeys([*tokens, "<|startoftext|>", "<|endoftext|>"]))
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=length, **special)


BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def tiny_sd(seed: int = 0, heads: int | tuple[int, ...] = 2) -> StableDiffusionPipeline:
    """Build a small Stable Diffusion 1.x pipeline: 4 layers of 2 heads."""
    torch.manual_seed(seed)
    tokenizer = tiny_tokenizer()
    text_encoder = CLIPTextModel(_text_config(tokenizer))
    scheduler = PNDMScheduler(**BETAS, skip_prk_steps=True, steps_offset=1)
    return _stable_diffusion(
        tokenizer, text_encoder, tiny_unet(attention_head_dim=heads), scheduler
    )


def tiny_sd2(seed: int = 0) -> StableDiffusionPipeline:
    """Build a Stable Diffusion 2.1 pipeline: v-prediction, OpenCLIP's encoder, uneven heads."""
    torch.manual_seed(seed)
    tokenizer = tiny_tokenizer(pad_token="!")
    text_encoder = CLIPTextModel(_text_config(tokenizer, hidden_act="gelu"))
    unet = tiny_unet(
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        attention_head_dim=(1, 2),
        use_linear_projection=True,
        upcast_attention=True,
    )
    scheduler = DDIMScheduler(
        **BETAS, prediction_type="v_prediction", steps_offset=1, clip_sample=False
    )
    return _stable_diffusion(tokenizer, text_encoder, unet, scheduler)


def tiny_sdxl(seed: int = 0) -> StableDiffusionXLPipeline:
    """Build an SDXL pipeline: two encoders, blocks of 0, 2 and 3 transformer layers."""
    torch.manual_seed(seed)
    tokenizer, tokenizer_2 = tiny_tokenizer(), tiny_tokenizer(pad_token="!")
    wide = {"hidden_size": 24, "projection_dim": 24, "hidden_act": "gelu"}
    text_encoder_2 = CLIPTextModelWithProjection(_text_config(tokenizer_2, **wide))
    pipe = StableDiffusionXLPipeline(
        vae=_tiny_vae(),
        text_encoder=CLIPTextModel(_text_config(tokenizer)).eval(),
        text_encoder_2=text_encoder_2.eval(),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
        unet=tiny_unet(
            block_out_channels=(8, 16, 32),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2, 3),
            attention_head_dim=(1, 2, 4),
            cross_attention_dim=16 + 24,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=24 + 6 * 8,
        ),
        scheduler=PNDMScheduler(**BETAS, skip_prk_steps=True, steps_offset=1),
        add_watermarker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def tiny_turbo(seed: int = 0) -> StableDiffusionXLPipeline:
    """Build an SDXL Turbo pipeline, to be called without guidance, in one or a few steps."""
    pipe = tiny_sdxl(seed)
    pipe.scheduler = EulerAncestralDiscreteScheduler(**BETAS, timestep_spacing="trailing")
    return pipe


def tiny_lora(seed: int = 0) -> StableDiffusionXLPipeline:
    """Build an SDXL pipeline whose attention projections are wrapped by a loaded LoRA."""
    from peft import LoraConfig  # slow to import, and only this needs it

    pipe = tiny_sdxl(seed)
    targets = ["to_q", "to_k", "to_v", "to_out.0"]
    pipe.unet.add_adapter(LoraConfig(r=2, target_modules=targets, init_lora_weights=False))
    return pipe


@dataclass(frozen=True)
class Tiny:
    """A tiny pipeline, and the keywords that one of its kind is called with."""

    build: Callable[[], DiffusionPipeline]
    call: dict[str, Any] = field(default_factory=dict)


TINY = {
    "sd1": Tiny(tiny_sd),
    "sd2": Tiny(tiny_sd2),
    "sdxl": Tiny(tiny_sdxl),
    "turbo": Tiny(tiny_turbo, {"guidance_scale": 0.0, "num_inference_steps": 4}),
    "lora": Tiny(tiny_lora),
}
# Those whose UNets differ.
ARCHITECTURES = ("sd1", "sd2", "sdxl")


def tiny_unet(**config: Any) -> UNet2DConditionModel:
    """Build a UNet of the Stable Diffusion 1.x kind, with other settings if given."""
    sd1 = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 16,
        "norm_num_groups": 4,
    }
    unet = UNet2DConditionModel(**(sd1 | config))
    # Random projections are nearly uniform in attention; sharpen them so that heads differ.
    for name, parameter in unet.named_parameters():
        if "attn2.to_q" in name or "attn2.to_k" in name:
            parameter.data *= 6
    return unet.eval()


def _text_config(tokenizer: CLIPTokenizer, **config: Any) -> CLIPTextConfig:
    tiny = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        num_attention_heads=2,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **(tiny | config),
    )


def _tiny_vae(channels: int = 4) -> AutoencoderKL:
    return AutoencoderKL(
        sample_size=16,
        latent_channels=channels,
        block_out_channels=(8, 8),
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
    )


def _stable_diffusion(tokenizer, text_encoder, unet, scheduler) -> StableDiffusionPipeline:
    pipe = StableDiffusionPipeline(
        vae=_tiny_vae(),
        text_encoder=text_encoder.eval(),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def add_ip_adapter(pipe: Any, scale: float = 1.0) -> Any:
    """Load a random IP-Adapter of 4 tokens, with its image encoder, and return the pipeline."""
    torch.manual_seed(1)
    width = pipe.unet.config.cross_attention_dim
    projection = ImageProjection(
        cross_attention_dim=width, image_embed_dim=8, num_image_text_embeds=4
    )
    weights: dict[str, dict[str, torch.Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for name, value in projection.state_dict().items():
        weights["image_proj"][name.replace("image_embeds", "proj")] = value
    for number, name in enumerate(pipe.unet.attn_processors):
        if "attn2" in name:
            module = pipe.unet.get_submodule(name.removesuffix(".processor"))
            own = IPAdapterAttnProcessor2_0(module.inner_dim, width).state_dict()
            for key, value in own.items():
                weights["ip_adapter"][f"{number}.{key.replace('.0.', '.')}"] = value
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2}
    vision |= {"num_attention_heads": 2, "projection_dim": 8, "image_size": 8, "patch_size": 4}
    images = CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    pipe.register_modules(
        image_encoder=CLIPVisionModelWithProjection(CLIPVisionConfig(**vision)).eval(),
        feature_extractor=images,
    )
    pipe.load_ip_adapter(weights, subfolder="", weight_name="", image_encoder_folder=None)
    pipe.set_ip_adapter_scale(scale)
    return pipe


def withholding(pipe: StableDiffusionPipeline) -> StableDiffusionPipeline:
    """Return a pipeline with a safety checker that returns every image black."""
    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    tower |= {"num_attention_heads": 2, "image_size": 8, "patch_size": 4}
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=tower, projection_dim=8))
    checker.concept_embeds_weights.data[:] = -2.0
    checker.special_care_embeds_weights.data[:] = -2.0
    images = CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    pipe.register_modules(safety_checker=checker.eval(), feature_extractor=images)
    return pipe


def save_tiny_clip(folder) -> None:
    """Save a randomly initialized CLIP with its processor, for images of 8 × 8."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    tower = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    tower |= {"num_attention_heads": 2, "projection_dim": 8}
    text = tower | {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": tokenizer.model_max_length,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    vision = tower | {"image_size": 8, "patch_size": 4}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    CLIPModel(config).save_pretrained(folder)
    images = CLIPImageProcessor(size={"shortest_edge": 8}, crop_size={"height": 8, "width": 8})
    CLIPProcessor(images, tokenizer).save_pretrained(folder)
