#!/bin/sh
# Two libraries that meet: diffusers 0.42.1 and transformers 5.24.0.
# Guess: `StableDiffusionPipeline` accepts `clip_skip`, as its documentation says, and reads the
#   embeddings of an earlier layer of the text encoder.
# Behavior: every call with `clip_skip` raises AttributeError. The pipeline applies the encoder's
#   final norm as `text_encoder.text_model.final_layer_norm`; in this transformers `CLIPTextModel`
#   holds the norm itself and has no `text_model`. Both versions install together, and calls without
#   `clip_skip` work.
# Exit status: 0 if it still behaves so.
set -eu
export TRANSFORMERS_VERBOSITY=error  # no hints about packages that are not needed
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile torch==2.13.0 diffusers==0.42.1 transformers==5.24.0
"$folder/venv/bin/python" -W ignore - <<'PY'
import string

import diffusers
import transformers
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

letters = [*string.ascii_lowercase, *(f"{c}</w>" for c in string.ascii_lowercase)]
vocab = {t: i for i, t in enumerate([*letters, "<|startoftext|>", "<|endoftext|>"])}
tokenizer = CLIPTokenizer(vocab=vocab, merges=[], model_max_length=16)
encoder = CLIPTextModel(
    CLIPTextConfig(
        vocab_size=len(vocab), hidden_size=16, intermediate_size=32, num_hidden_layers=3,
        num_attention_heads=2, max_position_embeddings=16, bos_token_id=len(vocab) - 2,
        eos_token_id=len(vocab) - 1, pad_token_id=len(vocab) - 1,
    )
)
unet = UNet2DConditionModel(
    sample_size=8, block_out_channels=(8,), norm_num_groups=4, layers_per_block=1,
    cross_attention_dim=16, attention_head_dim=2, down_block_types=("CrossAttnDownBlock2D",),
    up_block_types=("CrossAttnUpBlock2D",),
)
pipe = StableDiffusionPipeline(
    vae=AutoencoderKL(block_out_channels=(8,), norm_num_groups=4), text_encoder=encoder,
    tokenizer=tokenizer, unet=unet, scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
    safety_checker=None, feature_extractor=None, requires_safety_checker=False,
)
pipe.set_progress_bar_config(disable=True)


def call(**options):
    try:
        images = pipe("a cat", num_inference_steps=2, output_type="np", **options).images
    except AttributeError as error:
        return f"AttributeError: {error}"
    return f"image of shape {images[0].shape}"


print(f"versions: diffusers {diffusers.__version__}, transformers {transformers.__version__}")
print("guess:    clip_skip=1 gives an image of the layer before the last")
print("behavior: clip_skip=1 raises AttributeError")
plain, skipped = call(), call(clip_skip=1)
print(f"seen:     without clip_skip: {plain}\n          clip_skip=1: {skipped}")
raise SystemExit(not (plain.startswith("image") and "text_model" in skipped))
PY
