"""The provenance of a dataset, for its attributes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hrvlab.keywords import default_guidance
from hrvlab.libraries import computing_versions, library_versions
from hrvlab.models.families import denoiser_of
from hrvlab.models.load import fingerprint, scheduler_settings, surroundings, weights_digest
from hrvlab.models.memory import decoding_settings
from hrvlab.storage.plans import as_json

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


def provenance(
    pipe: DiffusionPipeline,
    schema: str,
    *,
    seed: int | list[int],
    parameters: dict[str, Any],
    versions: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Collect the provenance of a dataset, for its attributes.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    schema : str
        Name of the dataset's schema.
    seed : int or list of int
    parameters : dict
        Everything else that determined the dataset; images and arrays are represented by digests.
    versions : mapping of str to str, optional
        Of hrvlab and of the libraries that the numbers were computed under, if they are of an
        earlier run; default: those installed.

    Returns
    -------
    dict of str to object
        Plain values that zarr can store.
    """
    computed = dict(versions or computing_versions())
    return {
        "schema": schema,
        "hrvlab_version": computed.pop("hrvlab"),
        "model": _model_name(pipe),
        "model_fingerprint": fingerprint(pipe),
        "scheduler": type(pipe.scheduler).__name__,
        "guidance_scale": float(parameters.get("guidance_scale", default_guidance(pipe))),
        "seed": seed,
        "dtype": str(denoiser_of(pipe).dtype).removeprefix("torch."),
        "libraries": json.dumps({**library_versions(), **computed}),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "parameters": as_json(parameters, ensure_ascii=False),
    }


def plan_of_model(pipe: DiffusionPipeline) -> dict[str, Any]:
    """Return all of a model that determines its images, for plans.

    Returns
    -------
    dict of str to object
        Digests of its weights, its scheduler, its dtype, and how it decodes.
    """
    return {
        "model": fingerprint(pipe),
        "decoder": weights_digest(pipe.vae),
        "scheduler": scheduler_settings(pipe),
        "dtype": str(denoiser_of(pipe).dtype),
        **decoding_settings(pipe),
        **surroundings(pipe),
    }


def _model_name(pipe: DiffusionPipeline) -> str:
    """Return the model's name, without its parent folders."""
    path = str(pipe.config.get("_name_or_path") or type(pipe).__name__)
    return Path(path).name if Path(path).is_dir() else path
