"""Read and write the arrays that the method's authors published.

They are plain ``.npy`` files: ``category_vectors…`` (concept, head_position), with a leading
timestep in ``…_per_timesteps``, and ``head_index…`` with the label of each head position.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.concepts import ConceptSet
from hrvlab.errors import ParameterError, StoreError
from hrvlab.store import storing

SHA256 = {
    "category_vectors_sd_v1_4": "1be200f3adc4fed89124d13a08dd9660585135766743a7612de84b5c925441cf",
    "category_vectors_sd_v1_4_per_timesteps": (
        "8c32cb1f9012e9639ff7baf49240478bc87527f83f2f66a992ac0c67a1b1f186"
    ),
    "category_vectors_sd_xl_base_1_0": (
        "9c5bc5e2cc6a4c821a87825b96936b45f2d9c26a66a62f395b6e83f29163cea4"
    ),
    "head_index_sd_v1_4": "6fba813dd245797933759ecdccacd47b08afa5b56f82bee59ed7d96a87ff485e",
    "head_index_sd_xl_base_1_0": "71204c9aaa3e7dbd461a7f9fc016408963c98404973204813e82a2deff543df4",
}
ROW_SUM_TOLERANCE = 1e-3


def read_published(
    vectors: str | Path, head_index: str | Path, table: xr.Dataset, *, concepts: ConceptSet
) -> xr.DataArray:
    """Read published vectors and check them against a model's heads.

    Parameters
    ----------
    vectors : str or Path
        ``category_vectors….npy``, shape (concept, head_position) or (timestep, concept,
        head_position).
    head_index : str or Path
        ``head_index….npy``, the label of each head position.
    table : xarray.Dataset
        The model's `head_table`.
    concepts : ConceptSet
        Names of the rows; the published set is ``ConceptSet.read("published")``.

    Returns
    -------
    xarray.DataArray
        Dims ``(concept, head_position)``, with a leading ``timestep`` if the file has one.

    Raises
    ------
    StoreError
        If a file is missing, is not a plain array, or bears a published name but not its hash.
    ParameterError
        If the labels or the shape do not fit the model, or rows do not sum to the head positions.
    """
    values, labels = _read(Path(vectors)), _read(Path(head_index)).reshape(-1)
    expected = table["label"].values
    if len(labels) < len(expected) or not (labels[: len(expected)] == expected).all():
        raise ParameterError(
            f"{Path(head_index).name} labels {len(labels)} head positions, beginning with "
            f"'{labels[0]}'; this model has {len(expected)}, beginning with '{expected[0]}'"
        )
    shape = (len(concepts.names), len(expected))
    if values.shape[-2:] != shape:
        raise ParameterError(f"{Path(vectors).name} has shape {values.shape}, expected {shape}")
    sums = values.sum(axis=-1)
    if not np.allclose(sums, shape[1], rtol=ROW_SUM_TOLERANCE):
        raise ParameterError(
            f"rows of {Path(vectors).name} sum to {sums.min():.4g} … {sums.max():.4g}; "
            f"relevance rows sum to the number of head positions, {shape[1]}"
        )
    dims = ("timestep", "concept", "head_position")[-values.ndim :]
    return xr.DataArray(
        values,
        dims=dims,
        coords={"concept": list(concepts.names), **table.coords},
        name="relevance",
        attrs={"schema": "relevance", "model_fingerprint": "published"},
    )


def write_published(hrv: xr.DataArray, folder: str | Path, name: str) -> None:
    """Write vectors as ``category_vectors_{name}.npy`` and ``head_index_{name}.npy``.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    folder = Path(folder)
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        ordered = hrv.transpose(..., "concept", "head_position")
        np.save(folder / f"category_vectors_{name}.npy", ordered.values.astype(np.float32))
        np.save(folder / f"head_index_{name}.npy", hrv["label"].values.astype(np.str_))


def _read(path: Path) -> NDArray[np.generic]:
    try:
        content = path.read_bytes()
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read {path} as a plain .npy array: {error}") from error
    known = SHA256.get(path.stem.replace(_RUN, ""))
    if known and _RUN in path.stem and hashlib.sha256(content).hexdigest() != known:
        raise StoreError(
            f"{path.name} is not the published file: its sha256 differs; download it anew"
        )
    return values


# The part of the published names that says how their run was made.
_RUN = "_epoch_1_to_1_neg_prompt_False_merged_340_final_text_descriptions"
