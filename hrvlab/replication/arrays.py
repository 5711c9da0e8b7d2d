"""The arrays that the method's authors published: how they are downloaded, read and checked.

They are plain ``.npy`` files: ``category_vectors…`` holds vectors of shape (concept,
head_position), with a leading timestep in ``…_per_timesteps``; ``head_index…`` holds the label of
each head position; ``340_final_ranking_list`` holds each concept's share of every head's votes.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.errors import ParameterError, StoreError
from hrvlab.paths import user_path

if TYPE_CHECKING:
    from hrvlab.inputs.concepts import ConceptSet

REPOSITORY = "SNU-DRL/HRV"
COMMIT = "414122f1ddc0005fcca20d02575a019ebe7c7310"
URL = f"https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}/final_result"
VECTORS, LABELS = "category_vectors", "head_index"
BOTH_FILES = f"give {VECTORS}….npy, with its {LABELS}….npy in the same folder"
# The part of the published names that describes the run.
RUN = "epoch_1_to_1_neg_prompt_False_merged_340_final_text_descriptions"
SD, SD_BY_TIMESTEP, SDXL, SHARES = (
    f"{VECTORS}_{RUN}_sd_v1_4.npy",
    f"{VECTORS}_{RUN}_sd_v1_4_per_timesteps.npy",
    f"{VECTORS}_{RUN}_sd_xl_base_1_0.npy",
    "340_final_ranking_list.npy",
)
SD_HEADS, SDXL_HEADS = (f"{LABELS}_{RUN}_{m}.npy" for m in ("sd_v1_4", "sd_xl_base_1_0"))
SHA256 = {
    SD: "1be200f3adc4fed89124d13a08dd9660585135766743a7612de84b5c925441cf",
    SD_BY_TIMESTEP: "8c32cb1f9012e9639ff7baf49240478bc87527f83f2f66a992ac0c67a1b1f186",
    SDXL: "9c5bc5e2cc6a4c821a87825b96936b45f2d9c26a66a62f395b6e83f29163cea4",
    SD_HEADS: "6fba813dd245797933759ecdccacd47b08afa5b56f82bee59ed7d96a87ff485e",
    SDXL_HEADS: "71204c9aaa3e7dbd461a7f9fc016408963c98404973204813e82a2deff543df4",
    SHARES: "1507e27aac50144283eddee50ba1c52b2596e2d641de30f080cddf2bf0708169",
}
# Vectors and labels by the number of a model's head positions.
FILES = {128: (SD, SD_HEADS), 1300: (SDXL, SDXL_HEADS)}
ROW_SUM_TOLERANCE = 1e-3


def fetch_published(file: str, *, url: str = URL) -> Path:
    """Download one of the published files into the user's cache, once, and check its sha256.

    Parameters
    ----------
    file : str
        A name in `SHA256`.
    url : str
        The address of its folder.

    Returns
    -------
    Path
        In the user's cache.

    Raises
    ------
    StoreError
        If it cannot be downloaded, or is not the published file; the message explains how to
        download it by hand.
    """
    # Imported here because reading files need not wait for it.
    import pooch

    cache = Path(pooch.os_cache("hrvlab"))
    by_hand = (
        f"download it and its head_index from the folder final_result of github.com/{REPOSITORY} "
        "into one folder, and pass --published FILE"
    )
    try:
        return Path(pooch.retrieve(f"{url}/{file}", f"sha256:{SHA256[file]}", file, cache))
    except OSError as error:
        reason = f"cannot download {file} ({type(error).__name__}: {error})"
    except ValueError:
        reason = f"{url}/{file} is not the published file: its sha256 differs"
    raise StoreError(f"{reason}; {by_hand}")


def find_head_index(vectors: Path) -> Path:
    """Find the head index that belongs to a file of published vectors.

    Parameters
    ----------
    vectors : Path
        ``category_vectors….npy``.

    Returns
    -------
    Path
        ``head_index….npy`` in the same folder.

    Raises
    ------
    ParameterError
        If the file has another name.
    StoreError
        If one of the two is missing.
    """
    if VECTORS not in vectors.name:
        raise ParameterError(f"{vectors.name} has no {VECTORS} in its name; {BOTH_FILES}")
    labels = vectors.with_name(vectors.name.replace(VECTORS, LABELS))
    for path in (vectors, labels):
        if not path.is_file():
            raise StoreError(f"cannot read {path}: there is no such file; {BOTH_FILES}")
    return labels


def published_table(head_index: str | Path) -> xr.Dataset:
    """Build the table of a model's heads from their published labels alone.

    Parameters
    ----------
    head_index : str or Path
        ``head_index….npy``.

    Returns
    -------
    xarray.Dataset
        Dim ``head_position``; coordinates ``block``, ``block_layer``, ``layer``, ``head`` and
        ``label``, as in `hrvlab.models.heads.head_table`.

    Raises
    ------
    StoreError
        If the file is missing, is not a plain array, or has a published name but another sha256.
    ParameterError
        If a label does not have the form ``"down, layer: 0, head: 3"``.
    """
    labels = [str(label) for label in _read(user_path(head_index)).reshape(-1)]
    parts = [re.fullmatch(r"(down|mid|up), layer: (\d+), head: (\d+)", text) for text in labels]
    rows = [(part[1], int(part[2]), int(part[3])) for part in parts if part]
    if len(rows) < len(labels):
        wrong = labels[parts.index(None)]
        raise ParameterError(
            f"{Path(head_index).name} has the label '{wrong}'; labels have the form "
            "'down, layer: 0, head: 3'"
        )
    layers = list(dict.fromkeys((block, number) for block, number, _ in rows))
    columns = {
        "block": [block for block, _, _ in rows],
        "block_layer": [number for _, number, _ in rows],
        "layer": [layers.index((block, number)) for block, number, _ in rows],
        "head": [head for _, _, head in rows],
        "label": labels,
    }
    coords = {name: ("head_position", np.array(values)) for name, values in columns.items()}
    return xr.Dataset(coords={"head_position": np.arange(len(rows)), **coords})


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
        The model's `head_table`, or `published_table`.
    concepts : ConceptSet
        Names of the rows; ``ConceptSet.read("published")`` for the published files.

    Returns
    -------
    xarray.DataArray
        Dims ``(concept, head_position)``, with a leading ``timestep`` if the file has one.

    Raises
    ------
    StoreError
        If a file is missing, is not a plain array, or has a published name but another sha256.
    ParameterError
        If the labels or the shape do not fit the model, or a row does not sum to the number of
        head positions.
    """
    values, labels = _read(user_path(vectors)), _read(user_path(head_index)).reshape(-1)
    expected = table["label"].values
    if len(labels) < len(expected) or not (labels[: len(expected)] == expected).all():
        raise ParameterError(
            f"{Path(head_index).name} has labels of {len(labels)} head positions, beginning with "
            f"'{labels[0]}'; this model has {len(expected)}, beginning with '{expected[0]}'"
        )
    shape = (len(concepts.names), len(expected))
    if values.shape[-2:] != shape:
        raise ParameterError(f"{Path(vectors).name} has shape {values.shape}, expected {shape}")
    if fault := normalization_fault(values):
        raise ParameterError(f"{Path(vectors).name} has another normalization: its {fault}")
    dims = ("timestep", "concept", "head_position")[-values.ndim :]
    return xr.DataArray(
        values,
        dims=dims,
        coords={"concept": list(concepts.names), **table.coords},
        name="relevance",
        attrs={
            "schema": "relevance",
            "model_fingerprint": "published",
            "file": Path(vectors).name,
        },
    )


def read_shares(path: str | Path) -> NDArray[np.float64]:
    """Read each concept's share of every head's votes.

    Parameters
    ----------
    path : str or Path
        ``340_final_ranking_list.npy``.

    Returns
    -------
    ndarray of float64, shape (concept, head_position)
        Columns sum to 1.

    Raises
    ------
    StoreError
        If the file is missing, is not a plain array, or has a published name but another sha256.
    """
    return _read(user_path(path)).astype(np.float64)


def normalization_fault(values: NDArray[np.floating]) -> str:
    """Describe how the normalization of vectors differs from that of relevance.

    Parameters
    ----------
    values : ndarray of float, shape (..., concept, head_position)

    Returns
    -------
    str
        Empty if every row sums to the number of head positions.
    """
    heads = values.shape[-1]
    sums = values.sum(axis=-1)
    if values.ndim > 2:
        # In a single call a concept may receive no vote at all.
        sums = sums[~np.isnan(sums)]
    if np.allclose(sums, heads, rtol=ROW_SUM_TOLERANCE):
        return ""
    fault = (
        f"rows sum to {sums.min():.4g} … {sums.max():.4g}, but rows of relevance sum to the number "
        f"of head positions, {heads}"
    )
    if np.allclose(values.sum(axis=-2), 1, rtol=ROW_SUM_TOLERANCE):
        return f"{fault}; columns sum to 1: these are each concept's shares of a head's votes"
    return fault


def _read(path: Path) -> NDArray[Any]:
    try:
        content = path.read_bytes()
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read {path} as a plain .npy array: {error}") from error
    known = SHA256.get(path.name)
    if known and hashlib.sha256(content).hexdigest() != known:
        raise StoreError(
            f"{path.name} is not the published file: its sha256 differs; download it again"
        )
    return values
