#!/bin/sh
# Two libraries that meet: xarray 2026.9.0 and zarr 3.1.6.
# Guess: labels are the same after a round trip; an empty one is still a label, and `dropna` keeps
#   it.
# Behavior: strings of dtype object come back as numpy's StringDType, for which xarray takes the
#   empty string as missing. So "" becomes missing, `dropna` drops its row, and it can no longer be
#   told from a label that was None. Strings of fixed width keep "". No message.
# Exit status: 0 if it still behaves so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile xarray==2026.9.0 zarr==3.1.6
"$folder/venv/bin/python" -W ignore - "$folder/labels.zarr" <<'PY'
import sys

import numpy as np
import xarray as xr
import zarr

ds = xr.Dataset(
    {
        "any": ("image", np.array(["cat", "", None], dtype=object)),
        "fixed": ("image", np.array(["cat", "", "dog"])),
    }
)
ds.to_zarr(sys.argv[1])
read = xr.open_zarr(sys.argv[1]).load()


def missing(labels):
    return labels.isnull().values.tolist()


print(f"versions: xarray {xr.__version__}, zarr {zarr.__version__}")
print("guess:    '' stays a label, which dropna keeps")
print("behavior: '' counts as missing, as None does")
print(f"seen:     written {ds['any'].values.tolist()}, missing {missing(ds['any'])}")
print(f"          read {read['any'].values.tolist()}, missing {missing(read['any'])},")
print(f"          kept by dropna {read['any'].dropna('image').values.tolist()}")
print(f"          fixed width, read: missing {missing(read['fixed'])}")
raise SystemExit(
    not (
        missing(ds["any"]) == [False, False, True]
        and missing(read["any"]) == [False, True, True]
        and read["any"].values.tolist() == ["cat", "", ""]
        and not any(missing(read["fixed"]))
    )
)
PY
