"""Plans: everything that determines a result, as JSON, and the folder named by its hash."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hrvlab.errors import ParameterError

PLAN = "plan.json"


def as_json(
    content: dict[str, Any], *, indent: int | None = None, ensure_ascii: bool = True
) -> str:
    """Serialize a plan or parameters as JSON; images and arrays are represented by digests.

    Plans are ASCII, which identifies them; what people read need not be.

    Raises
    ------
    ParameterError
        If any other value cannot be serialized, by its name.
    """
    for name, value in content.items():
        try:
            json.dumps(value, default=_digest)
        except ParameterError as error:
            raise ParameterError(f"{name} is not among what can be kept: {error}") from error
    return json.dumps(
        content, sort_keys=True, indent=indent, ensure_ascii=ensure_ascii, default=_digest
    )


def plan_bytes(plan: dict[str, Any]) -> bytes:
    """Serialize a plan to the bytes that identify it.

    Raises
    ------
    ParameterError
        If it cannot be serialized.
    """
    return as_json(plan, indent=1).encode()


def plan_folder(store: Path, plan: bytes) -> Path:
    """Return the folder of a serialized plan within a store."""
    return store / hashlib.sha256(plan).hexdigest()[:16]


def _digest(value: Any) -> Any:
    """Return a number of numpy as Python's, and a digest of an image, an array or a tensor."""
    if isinstance(value, np.generic) or hasattr(value, "to_list"):  # a number, a table's column
        return value.tolist()
    if hasattr(value, "detach"):  # a tensor, told without importing torch
        value = value.detach().float().cpu().numpy()
    if not isinstance(value, Image.Image | np.ndarray):
        raise ParameterError(
            f"a plan cannot hold a {type(value).__name__}; give text, numbers, images or arrays"
        )
    array = np.ascontiguousarray(value)
    return f"{array.shape} {hashlib.sha256(array.tobytes()).hexdigest()[:16]}"
