"""The footer of an executed page: the provenance of its results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from hrvlab.provenance import provenance

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


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


def footer(pipe: DiffusionPipeline, run: str, parameters: Mapping[str, Any]) -> Footer:
    """Build the footer of a page from its model, parameters and libraries.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    run : str
        Names of the chapter and of the run.
    parameters : mapping of str to object
        Every parameter of the chapter.
    """
    origin = provenance(pipe, "page", seed=0, parameters={})
    libraries = json.loads(origin["libraries"])
    return Footer(
        {
            "run": run,
            **{f"parameter {name}": json.dumps(value) for name, value in parameters.items()},
            "model": origin["model"],
            "model fingerprint": origin["model_fingerprint"],
            "dtype": origin["dtype"],
            "hrvlab": origin["hrvlab_version"],
            "libraries": ", ".join(f"{name} {number}" for name, number in libraries.items()),
            "created": origin["created"],
        }
    )
