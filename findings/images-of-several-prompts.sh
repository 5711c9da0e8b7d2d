#!/bin/sh
# Library: diffusers 0.42.1, `StableDiffusionImg2ImgPipeline`.
# Guess: with two prompts, two initial images and `num_images_per_prompt=2` each prompt's results
#   start from its own image.
# Behavior: prompts are repeated one by one (p0 p0 p1 p1), initial images as a whole
#   (i0 i1 i0 i1). Results 1 and 2 start from the other prompt's image. A deprecation warning speaks
#   of too few images, not of their order.
# Shown by a strength so small that the results stay next to their initial images.
# Exit status: 0 if it still behaves so.
set -eu
export TRANSFORMERS_VERBOSITY=error  # no hints about packages that are not needed
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile torch==2.13.0 diffusers==0.42.1 transformers==5.24.0
"$folder/venv/bin/python" -W ignore - <<'PY'
import diffusers
import torch
from diffusers import (
    AutoencoderKL, DDIMScheduler, StableDiffusionImg2ImgPipeline, UNet2DConditionModel,
)

torch.manual_seed(0)
unet = UNet2DConditionModel(
    sample_size=8, block_out_channels=(8,), norm_num_groups=4, layers_per_block=1,
    cross_attention_dim=16, attention_head_dim=2, down_block_types=("CrossAttnDownBlock2D",),
    up_block_types=("CrossAttnUpBlock2D",),
)
pipe = StableDiffusionImg2ImgPipeline(
    vae=AutoencoderKL(block_out_channels=(8,), norm_num_groups=4), text_encoder=None,
    tokenizer=None, unet=unet, scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
    safety_checker=None, feature_extractor=None, requires_safety_checker=False,
)
pipe.set_progress_bar_config(disable=True)
# The pipeline takes images of 4 channels for latents, which it leaves unencoded.
images = torch.stack([torch.full((4, 8, 8), -2.0), torch.full((4, 8, 8), 2.0)])
embeds = torch.randn(2, 4, 16)
results = pipe(
    image=images, prompt_embeds=embeds, negative_prompt_embeds=torch.zeros_like(embeds),
    num_images_per_prompt=2, strength=0.01, num_inference_steps=100, output_type="latent",
    generator=torch.Generator().manual_seed(0),
).images
starts = [int(latents.mean() > 0) for latents in results]
print(f"versions: diffusers {diffusers.__version__}")
print("guess:    results of prompts 0 0 1 1 start from images 0 0 1 1")
print("behavior: they start from images 0 1 0 1")
print(f"seen:     images {starts}, means of the results "
      f"{[round(latents.mean().item(), 2) for latents in results]}")
raise SystemExit(starts != [0, 1, 0, 1])
PY
