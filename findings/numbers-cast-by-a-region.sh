#!/bin/sh
# Two libraries that meet: xarray 2026.9.0 and zarr 3.1.6.
# Guess: writing into a region of a store, or appending to it, raises if the new data has another
#   dtype; it does so for strings ("Mismatched dtypes").
# Behavior: numbers are cast to the store's dtype. Into int8, 300.7 becomes 45: cut to 300, then
#   wrapped. Into float16, 70000 becomes inf. The one message for int8 speaks of a missing
#   _FillValue, not of the cast.
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


def stored(dtype, first, new, **where):
    store = f"{sys.argv[1]}/{dtype}-{'-'.join(where)}.zarr"
    xr.Dataset({"score": ("image", np.array(first, dtype=dtype))}).to_zarr(store)
    try:
        xr.Dataset({"score": ("image", np.array([new]))}).to_zarr(store, **where)
    except ValueError as error:
        return f"ValueError: {str(error)[:17]}"
    return xr.open_zarr(store)["score"].values.tolist()


second = {"image": slice(1, 2)}
seen = {
    "'carrot' into a region of <U1": stored("<U1", ["a", "b"], "carrot", region=second),
    "300.7 into a region of int8": stored("int8", [1, 2], 300.7, region=second),
    "70000.0 appended to float16": stored("float16", [1, 2], 70000.0, append_dim="image"),
}
print(f"versions: xarray {xr.__version__}, zarr {zarr.__version__}")
print("guess:    another dtype raises")
print("behavior: strings raise, numbers are cast, even to values that are wrong")
for what, result in seen.items():
    print(f"seen:     {what}: {result}")
expected = ["ValueError: Mismatched dtypes", [1, 45], [1.0, 2.0, np.inf]]
raise SystemExit(list(seen.values()) != expected)
PY
