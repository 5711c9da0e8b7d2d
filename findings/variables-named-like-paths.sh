#!/bin/sh
# Two libraries that meet: xarray 2026.9.0 and zarr 3.1.6.
# Guess: a dataset's variables may have any name, or writing raises for a name that cannot be kept;
#   names such as "mid_block/0" suggest themselves for layers.
# Behavior: `to_zarr` writes the variable, `open_zarr` returns a dataset without it. zarr reads the
#   slash as a path and puts the array into a group of that name, where xarray does not look: the
#   group "mid_block" has it as "0". No message at either end.
# Exit status: 0 if it still behaves so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile xarray==2026.9.0 zarr==3.1.6
"$folder/venv/bin/python" -W ignore - "$folder/layers.zarr" <<'PY'
import sys

import xarray as xr
import zarr

store = sys.argv[1]
ds = xr.Dataset({"mid_block/0": ("head", [0.25, 0.75]), "mean": ("head", [0.5, 0.5])})
ds.to_zarr(store)
root, group = list(xr.open_zarr(store)), list(xr.open_zarr(store, group="mid_block"))
print(f"versions: xarray {xr.__version__}, zarr {zarr.__version__}")
print("guess:    both variables come back, or writing raises")
print("behavior: the one with a slash is missing from the dataset")
print(f"seen:     written {list(ds)}, read {root}; in the group 'mid_block': {group}")
raise SystemExit(not (root == ["mean"] and group == ["0"]))
PY
