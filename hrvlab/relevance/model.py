"""Head Relevance Vectors and the model that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.errors import ModelError, ParameterError
from hrvlab.models.adapters import rounding_note
from hrvlab.models.families import denoiser_of
from hrvlab.models.heads import head_table
from hrvlab.models.load import fingerprint

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


def relevance_from_array(
    array: NDArray[np.floating], *, concepts: Sequence[str], pipe: DiffusionPipeline
) -> xr.DataArray:
    """Label an array of Head Relevance Vectors with a model's heads.

    Parameters
    ----------
    array : ndarray of float, shape (concept, head_position)
        Head positions in the published order.
    concepts : sequence of str
        Names of the rows.
    pipe : diffusers.DiffusionPipeline
        The model that the vectors belong to.

    Returns
    -------
    xarray.DataArray
        Dims ``(concept, head_position)``.

    Raises
    ------
    ParameterError
        If the shape does not fit the names or the model, a name is empty or occurs twice, or a
        number is not finite.

    Examples
    --------
    >>> ones = hl.relevance_from_array(np.ones((1, 128)), concepts=["Color"], pipe=pipe)
    >>> ones.sel(concept="Color", head_position=0)["label"].item()
    'down, layer: 0, head: 0'
    """
    table = head_table(denoiser_of(pipe))
    expected = (len(concepts), table.sizes["head_position"])
    if np.shape(array) != expected:
        raise ParameterError(
            f"the array has shape {np.shape(array)}; {len(concepts)} concepts and this model's "
            f"heads need {expected}"
        )
    if twice := sorted({str(name) for name in concepts if list(concepts).count(name) > 1}):
        raise ParameterError(f"{', '.join(twice)} is given more than once; name concepts uniquely")
    if not all(str(name).strip() for name in concepts):
        raise ParameterError("a concept has no name; give each a name with letters")
    if not np.isfinite(array).all():
        raise ParameterError("the array holds NaN or infinity; every relevance must be finite")
    return xr.DataArray(
        np.asarray(array),
        dims=("concept", "head_position"),
        coords={"concept": list(concepts), **table.coords},
        name="relevance",
        attrs={"schema": "relevance", "model_fingerprint": fingerprint(pipe)},
    )


def check_model(
    hrv: xr.DataArray, pipe: DiffusionPipeline, *, allow_other_model: bool = False
) -> None:
    """Raise an error if Head Relevance Vectors were built from another model, or lack heads.

    Raises
    ------
    ModelError
        If the models' fingerprints differ, unless other models are allowed.
    ParameterError
        If the vectors hold another number of heads than the model has.
    """
    source, model = hrv.attrs.get("model_fingerprint"), fingerprint(pipe)
    if source != model and not allow_other_model:
        raise ModelError(
            f"these relevance vectors were built from model {source}, but this model is {model}; "
            f"build them from this model, or pass allow_other_model=True{rounding_note(pipe)}"
        )
    heads = head_table(denoiser_of(pipe)).sizes["head_position"]
    if hrv.sizes.get("head_position") != heads:
        raise ParameterError(
            f"the vectors hold {hrv.sizes.get('head_position', 'no')} head positions, the model "
            f"has {heads}; give vectors with all of its heads"
        )
