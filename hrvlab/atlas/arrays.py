"""Arrays and texts in the explorer's records: plain JSON, safe inside a page."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Longer sides of images, in pixels: small ones for lists, larger ones for looking closely.
THUMBNAIL, LARGE = 128, 512
LOSSLESS = 96  # up to this side an image is stored as it is
QUALITY = 88
EFFORT = {"quality": 50, "method": 3}  # without loss: more takes 70 times as long for 4 % less


def encode_array(array: NDArray[Any]) -> dict[str, Any]:
    """Encode an array as JSON: its type, its shape and its bytes in base64.

    Parameters
    ----------
    array : ndarray of float32, uint8 or uint16

    Returns
    -------
    dict of str to object
        ``dtype`` (``"<f4"``, ``"|u1"`` or ``"<u2"``), ``shape`` and ``data``.
    """
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    data = base64.b64encode(little.tobytes()).decode("ascii")
    return {"dtype": little.dtype.str, "shape": list(little.shape), "data": data}


def replace_arrays(record: Any, encode: Callable[[NDArray[Any]], Any]) -> Any:
    """Return a record whose arrays are replaced by what encodes them.

    Parameters
    ----------
    record : dict, list or scalar
        With arrays anywhere inside.
    encode : callable (ndarray) -> object

    Returns
    -------
    dict, list or scalar
    """
    if isinstance(record, np.ndarray):
        return encode(record)
    if isinstance(record, Mapping):
        return {str(name): replace_arrays(value, encode) for name, value in record.items()}
    if isinstance(record, list | tuple):
        return [replace_arrays(value, encode) for value in record]
    return record


def as_json(record: Mapping[str, Any]) -> str:
    """Return a record as JSON that may stand inside any element of a page.

    Parameters
    ----------
    record : mapping of str to object
        Its arrays are encoded by `encode_array`.

    Returns
    -------
    str
        Without ``<``, which could close a script, and without line separators of Unicode.
    """
    plain = replace_arrays(record, encode_array)
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def image_address(image: NDArray[np.uint8], side: int) -> str:
    """Return an image as a data address in WebP, reduced to a longest side.

    Parameters
    ----------
    image : ndarray of uint8, shape (y, x, channel)
    side : int
        In pixels. Images of up to 96 pixels are stored without loss.

    Returns
    -------
    str
    """
    picture = Image.fromarray(image)
    picture.thumbnail((side, side), Image.Resampling.BOX)
    buffer = BytesIO()
    how = {"lossless": True, **EFFORT} if max(picture.size) <= LOSSLESS else {"quality": QUALITY}
    picture.save(buffer, "webp", **how)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def quantize(values: NDArray[np.floating], axes: int) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Quantize maps to 255 levels, each to its own largest value.

    Parameters
    ----------
    values : ndarray of float, shape (..., y, x)
        Not negative.
    axes : int
        How many of the last axes share a scale.

    Returns
    -------
    codes : ndarray of uint8, same shape
    scale : ndarray of float32, shape of the leading axes
        A value is its code × scale / 255.
    """
    last = tuple(range(-axes, 0))
    scale = np.nan_to_num(values).max(axis=last, keepdims=True)
    codes = np.divide(values, scale, out=np.zeros_like(values), where=scale > 0)
    return np.round(np.nan_to_num(codes) * 255).astype(np.uint8), scale.squeeze(last).astype("<f4")
