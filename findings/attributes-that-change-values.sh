#!/bin/sh
# Two libraries that meet: xarray 2026.9.0 and zarr 3.1.6.
# Guess: attributes are labels; a variable written to zarr comes back with its values and its
#   attributes, whatever the attributes are called.
# Behavior: some names are taken for an encoding when the store is opened, although nothing was
#   encoded when it was written. "scale_factor" multiplies the values, "add_offset" shifts them,
#   "missing_value" turns them into NaN, dtype="bool" makes them True or False; the attribute is
#   gone. No message at either end. A "units" such as "steps since start" raises on opening.
# Exit status: 0 if it still behaves so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile xarray==2026.9.0 zarr==3.1.6
"$folder/venv/bin/python" -W ignore - "$folder" <<'PY'
import sys

import numpy as np
import xarray as xr
import zarr


def returned(name, value):
    store = f"{sys.argv[1]}/{name}.zarr"
    values = ("step", np.array([1.0, 2.0, 4.0]), {name: value})
    xr.Dataset({"score": values}).to_zarr(store)
    try:
        score = xr.open_zarr(store)["score"]
    except ValueError as error:
        return f"ValueError: {str(error)[:60]}"
    return f"{score.values.tolist()} {score.attrs}"


print(f"versions: xarray {xr.__version__}, zarr {zarr.__version__}")
print("guess:    [1.0, 2.0, 4.0] comes back with its attribute")
print("behavior: the attribute changes the values and disappears, or the store does not open")
cases = {
    "note": ("x", "[1.0, 2.0, 4.0] {'note': 'x'}"),
    "scale_factor": (0.5, "[0.5, 1.0, 2.0] {}"),
    "add_offset": (10, "[11.0, 12.0, 14.0] {}"),
    "missing_value": (2.0, "[1.0, nan, 4.0] {}"),
    "dtype": ("bool", "[True, True, True] {}"),
    "units": ("steps since start", "ValueError: "),
}
as_described = True
for name, (value, expected) in cases.items():
    seen = returned(name, value)
    print(f"seen:     {name}={value!r}: {seen}")
    as_described &= seen.startswith(expected)
raise SystemExit(not as_described)
PY
