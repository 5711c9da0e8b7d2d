"""Array shapes and other types used in signatures.

``call`` is a denoiser call, ``sample`` a conditional sample of the batch, ``position`` a query
position of a layer's grid, ``token`` a text column and ``head_position`` a head of the whole model.
"""

from collections.abc import Iterable
from pathlib import Path

from jaxtyping import Bool, Float, Float32, Float64, Int64, UInt8
from numpy import ndarray
from torch import Tensor

Images = UInt8[ndarray, "image y x channel"]
Query = Float[Tensor, "sample head position dim"]
Key = Float[Tensor, "sample head token dim"]
Probabilities = Float[Tensor, "sample head position token"]
HeadFactors = Float[ndarray, "... head_position"]
Alignment = Float64[ndarray, "source_token target_token"]
TokenMask = Bool[ndarray, "sample token"]
Votes = Int64[ndarray, "row head_position concept"]
TokenMass = Float32[ndarray, "sample call layer head token"]
# One text, several, or the path of a file of them.
Prompts = str | Path | Iterable[str]

__all__ = [
    "Alignment",
    "HeadFactors",
    "Images",
    "Key",
    "Probabilities",
    "Prompts",
    "Query",
    "TokenMask",
    "TokenMass",
    "Votes",
]
