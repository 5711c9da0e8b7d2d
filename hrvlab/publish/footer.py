"""The footer of an executed page: the provenance of its results."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from importlib.metadata import version
from typing import Any

from diffusers import DiffusionPipeline

from hrvlab.libraries import library_versions
from hrvlab.provenance import provenance


@dataclass(frozen=True)
class Footer:
    """A table that notebooks and pages display, folded at first.

    Parameters
    ----------
    rows : mapping of str to str
        Values by label.
    """

    rows: Mapping[str, str]

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th scope='row'>{escape(name)}</th><td><code>{escape(value)}</code></td></tr>"
            for name, value in self.rows.items()
        )
        return (
            "<details class='hrvlab-provenance'><summary>How this page was made</summary>"
            f"<table>{rows}</table></details>"
        )


def footer(pipe: DiffusionPipeline | None, run: str, parameters: Mapping[str, Any]) -> Footer:
    """Build the footer of a page from its model, parameters and libraries.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline or None
        The model of the chapter, if it has one.
    run : str
        Names of the chapter and of the run.
    parameters : mapping of str to object
        Every parameter of the chapter.
    """
    model = {}
    if isinstance(pipe, DiffusionPipeline):  # a chapter may give the name to something else
        origin = provenance(pipe, "page", seed=0, parameters={})
        model = {
            "model": origin["model"],
            "model fingerprint": origin["model_fingerprint"],
            "dtype": origin["dtype"],
            "device": str(pipe.device),
        }
    shown = {name: json.dumps(value, ensure_ascii=False) for name, value in parameters.items()}
    libraries = library_versions()
    return Footer(
        {
            "run": run,
            **{f"parameter {name}": text for name, text in shown.items()},
            **model,
            "hrvlab": version("hrvlab"),
            "Python": platform.python_version(),
            "libraries": ", ".join(f"{name} {number}" for name, number in libraries.items()),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )
