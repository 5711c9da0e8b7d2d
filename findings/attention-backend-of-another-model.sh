#!/bin/sh
# Library: diffusers 0.42.1, `set_attention_backend`, an experimental feature.
# Guess: the method "sets the attention backend for the model": of that model, of no other, until
#   its `reset_attention_backend`.
# Behavior: on a `UNet2DConditionModel` it changes nothing, because a UNet's processors know no
#   backends. But it changes the default of the whole process: a Flux transformer that was never
#   touched computes with the UNet's backend from then on, also after the UNet's reset.
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
from diffusers import FluxTransformer2DModel, UNet2DConditionModel

diffusers.logging.set_verbosity_error()
unet = UNet2DConditionModel(
    sample_size=8, block_out_channels=(8,), norm_num_groups=4, layers_per_block=1,
    cross_attention_dim=16, attention_head_dim=2, down_block_types=("CrossAttnDownBlock2D",),
    up_block_types=("CrossAttnUpBlock2D",),
)
flux = FluxTransformer2DModel(
    in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
    joint_attention_dim=16, pooled_projection_dim=16, axes_dims_rope=(4, 4, 8),
    guidance_embeds=False,
)


def run_unet():
    unet(torch.zeros(1, 4, 8, 8), 1, torch.zeros(1, 3, 16))


def run_flux():
    flux(
        hidden_states=torch.zeros(1, 4, 4), encoder_hidden_states=torch.zeros(1, 3, 16),
        pooled_projections=torch.zeros(1, 16), timestep=torch.ones(1), img_ids=torch.zeros(4, 3),
        txt_ids=torch.zeros(3, 3),
    )


def kernel(run):
    """Name the kernels of attention that a forward pass uses, as torch's profiler sees them."""
    with torch.no_grad(), torch.profiler.profile() as profile:
        run()
    names = {event.key for event in profile.key_averages()}
    prefix = "aten::_scaled_dot_product_"
    return sorted(name.removeprefix(prefix) for name in names if name.startswith(prefix))


seen = {"before": (kernel(run_unet), kernel(run_flux))}
unet.set_attention_backend("_native_math")
seen["set on the UNet"] = (kernel(run_unet), kernel(run_flux))
unet.reset_attention_backend()
seen["reset on the UNet"] = (kernel(run_unet), kernel(run_flux))
print(f"versions: diffusers {diffusers.__version__}, torch {torch.__version__}")
print("guess:    the UNet computes with the backend 'math', the Flux transformer as before")
print("behavior: the UNet computes as before, the Flux transformer with 'math', after a reset too")
for when, (of_unet, of_flux) in seen.items():
    print(f"seen:     {when}: UNet {of_unet}, Flux {of_flux}")
(first, other), *later = seen.values()
math = ["attention_math"]
raise SystemExit(not (first != math != other and all(pair == (first, math) for pair in later)))
PY
