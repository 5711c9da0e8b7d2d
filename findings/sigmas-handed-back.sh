#!/bin/sh
# Library: diffusers 0.42.1, `FlowMatchEulerDiscreteScheduler`.
# Guess: `set_timesteps(sigmas=...)` uses the sigmas that it is given, so those of an earlier run
#   repeat that run; and a schedule of all training steps is the one that the scheduler starts with.
# Behavior: the configured shift is applied to given sigmas too, so those read from a run come back
#   shifted twice. The default schedule also ends at a sigma that was shifted twice: its bounds are
#   the shifted sigmas, and the points between are shifted again.
# Exit status: 0 if it still behaves so.
set -eu
export TRANSFORMERS_VERBOSITY=error  # no hints about packages that are not needed
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile torch==2.13.0 diffusers==0.42.1 transformers==5.24.0
"$folder/venv/bin/python" -W ignore - <<'PY'
import diffusers
from diffusers import FlowMatchEulerDiscreteScheduler


def rounded(sigmas):
    return [round(float(sigma), 4) for sigma in sigmas]


shift = 3.0
scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
last_initial = float(scheduler.sigmas[-1])
scheduler.set_timesteps(4)
used = scheduler.sigmas[:-1].tolist()  # the final 0 is appended by the scheduler
scheduler.set_timesteps(sigmas=used)
again = scheduler.sigmas[:-1].tolist()
twice = [shift * s / (1 + (shift - 1) * s) for s in used]
scheduler.set_timesteps(1000)
last = float(scheduler.sigmas[-2])
print(f"versions: diffusers {diffusers.__version__}")
print("guess:    sigmas that are handed back are used as they are")
print("behavior: they are shifted again")
print(f"seen:     used {rounded(used)}\n          handed back {rounded(again)}")
print(f"          last of 1000: {last_initial:.4f} at first, {last:.4f} after set_timesteps(1000)")
shifted_again = rounded(again) == rounded(twice) != rounded(used)
raise SystemExit(not (shifted_again and last > 2 * last_initial))
PY
