#!/bin/sh
# Two libraries that meet: diffusers 0.42.1 and peft 0.21.2.
# Guess: `cross_attention_kwargs={"scale": 0}` turns an adapter off for one call; the next call
#   without it gives the image of before, as it does after any other scale.
# Behavior: after a call with scale 0 every active adapter has weight 1. A weight that
#   `set_adapters` had given, here 0.5, is lost without a message, and later images differ.
#   The scale is taken back by division; for 0 diffusers sets the weight to 1 instead.
# Exit status: 0 if it still behaves so.
set -eu
export TRANSFORMERS_VERBOSITY=error  # no hints about packages that are not needed
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile \
    torch==2.13.0 diffusers==0.42.1 transformers==5.24.0 peft==0.21.2
"$folder/venv/bin/python" -W ignore - <<'PY'
import diffusers
import peft
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

torch.manual_seed(0)
unet = UNet2DConditionModel(
    sample_size=8, block_out_channels=(8,), norm_num_groups=4, layers_per_block=1,
    cross_attention_dim=16, attention_head_dim=2, down_block_types=("CrossAttnDownBlock2D",),
    up_block_types=("CrossAttnUpBlock2D",),
)
encoder = CLIPTextModel(
    CLIPTextConfig(
        vocab_size=8, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=8,
    )
)
unet.add_adapter(peft.LoraConfig(target_modules=["to_q"], init_lora_weights=False))
unet.set_adapters("default", 0.5)
pipe = StableDiffusionPipeline(
    vae=None, text_encoder=encoder, tokenizer=None, unet=unet, safety_checker=None,
    scheduler=DDIMScheduler(steps_offset=1, clip_sample=False), feature_extractor=None,
    requires_safety_checker=False,
)
pipe.set_progress_bar_config(disable=True)
embeds = torch.randn(1, 4, 16)


def latents(**options):
    return pipe(
        prompt_embeds=embeds, negative_prompt_embeds=torch.zeros_like(embeds),
        num_inference_steps=2, height=64, width=64, output_type="latent",
        generator=torch.Generator().manual_seed(0), **options,
    ).images


print(f"versions: diffusers {diffusers.__version__}, peft {peft.__version__}")
print("guess:    a call with scale 0 leaves later calls as they were")
print("behavior: it sets the adapters' weights to 1, so later calls differ")
before = latents()
latents(cross_attention_kwargs={"scale": 0.25})
quarter = (latents() - before).abs().max().item()
latents(cross_attention_kwargs={"scale": 0})
zero = latents() - before
unet.set_adapters("default", 1.0)
one = (latents() - before - zero).abs().max().item()
print(f"seen:     largest change of later latents after scale 0.25: {quarter:.2g},")
print(f"          after scale 0: {zero.abs().max().item():.2g}; then, against weight 1: {one:.2g}")
raise SystemExit(not (quarter < 1e-5 < 1e-3 < zero.abs().max() and one < 1e-6))
PY
