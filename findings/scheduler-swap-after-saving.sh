#!/bin/sh
# Library: diffusers 0.42.1, `from_config` of schedulers.
# Guess: saving a pipeline and loading it again changes nothing, so replacing its scheduler by
#   `EulerDiscreteScheduler.from_config(pipe.scheduler.config)` gives the same schedule either way.
# Behavior: it gives other timesteps. A config remembers which of its values were left at their
#   defaults, and `from_config` lets the new class use its own defaults for these. Saving writes the
#   values but not this memory, so after loading they all count as chosen: here the spacing
#   "leading" instead of Euler's "linspace".
# Exit status: 0 if it still behaves so.
set -eu
export TRANSFORMERS_VERBOSITY=error  # no hints about packages that are not needed
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile torch==2.13.0 diffusers==0.42.1 transformers==5.24.0
"$folder/venv/bin/python" -W ignore - <<'PY'
import tempfile

import diffusers
from diffusers import EulerDiscreteScheduler, PNDMScheduler


def swapped(scheduler):
    euler = EulerDiscreteScheduler.from_config(scheduler.config)
    euler.set_timesteps(4)
    return euler.timesteps.tolist()


fresh = PNDMScheduler()
with tempfile.TemporaryDirectory() as folder:
    fresh.save_pretrained(folder)
    loaded = PNDMScheduler.from_pretrained(folder)
for scheduler in (fresh, loaded):
    scheduler.set_timesteps(4)
same = fresh.timesteps.tolist() == loaded.timesteps.tolist()
before, after = swapped(fresh), swapped(loaded)
print(f"versions: diffusers {diffusers.__version__}")
print("guess:    the schedule of the replacement does not depend on saving and loading")
print("behavior: it does, although the saved and the loaded scheduler have equal schedules")
print(f"seen:     PNDM's schedules equal: {same}\n          Euler from the fresh one: {before}")
print(f"          Euler from the loaded one: {after}")
raise SystemExit(not (same and before != after))
PY
