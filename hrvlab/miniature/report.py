"""The report on a training, which an assembled miniature contains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hrvlab.errors import StoreError

TRAINING = "training.json"


def read_report(pipeline: Path) -> dict[str, Any]:
    """Read the report of an assembled miniature: commit, images, hours and losses.

    Parameters
    ----------
    pipeline : Path
        Pipeline folder that `hrvlab.miniature.assembly.assemble` wrote.

    Returns
    -------
    dict of str to object

    Raises
    ------
    StoreError
        If the folder has no report.
    """
    path = pipeline / TRAINING
    if not path.exists():
        raise StoreError(f"{pipeline} has no {TRAINING}: pass a miniature assembled by this recipe")
    return json.loads(path.read_text(encoding="utf-8"))
