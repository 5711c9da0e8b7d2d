#!/bin/sh
# Library: diffusers 0.42.1, `StableDiffusionPipeline`.
# Guess: `callback_on_step_end` may name "negative_prompt_embeds" among its tensors and return new
#   ones, which the next steps use, as with "latents" and "prompt_embeds".
# Behavior: the returned tensor is taken and never read, without a message. Before the loop the
#   pipeline joined both halves in `prompt_embeds`, whose first half is the negative prompt; only a
#   new `prompt_embeds` has an effect.
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
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel

torch.manual_seed(0)
unet = UNet2DConditionModel(
    sample_size=8, block_out_channels=(8,), norm_num_groups=4, layers_per_block=1,
    cross_attention_dim=16, attention_head_dim=2, down_block_types=("CrossAttnDownBlock2D",),
    up_block_types=("CrossAttnUpBlock2D",),
)
pipe = StableDiffusionPipeline(
    vae=None, text_encoder=None, tokenizer=None, unet=unet, safety_checker=None,
    scheduler=DDIMScheduler(steps_offset=1, clip_sample=False), feature_extractor=None,
    requires_safety_checker=False,
)
pipe.set_progress_bar_config(disable=True)
positive, negative = torch.randn(2, 1, 4, 16)


def latents(name=None, change=None):
    def callback(pipeline, step, timestep, tensors):
        return {name: change(tensors[name])}

    options = {}
    if name is not None:
        options = {
            "callback_on_step_end": callback, "callback_on_step_end_tensor_inputs": [name],
        }
    return pipe(
        prompt_embeds=positive, negative_prompt_embeds=negative, num_inference_steps=3, height=64,
        width=64, output_type="latent", generator=torch.Generator().manual_seed(0), **options,
    ).images


def without_negative(both):
    return torch.cat([torch.zeros_like(both[:1]), both[1:]])


print(f"versions: diffusers {diffusers.__version__}")
print("guess:    returning other negative_prompt_embeds changes the following steps")
print("behavior: it changes nothing")
plain = latents()
separate = (latents("negative_prompt_embeds", torch.zeros_like) - plain).abs().max().item()
joined = (latents("prompt_embeds", without_negative) - plain).abs().max().item()
print(f"seen:     largest change of latents by zeros as negative_prompt_embeds: {separate:.2g},")
print(f"          by zeros as the first half of prompt_embeds: {joined:.2g}")
raise SystemExit(not (separate == 0 and joined > 1e-4))
PY
