"""Locate a model by its name, before anything that takes time to import is needed."""

from __future__ import annotations

from pathlib import Path

from hrvlab.errors import ModelError
from hrvlab.paths import MINIATURE, data_path, user_path

PIPELINE = "model_index.json"
SINGLE_FILE = ".safetensors"
PICKLED = (".ckpt", ".bin", ".pt", ".pth")
CONVERT = "load it where you trust its origin, and save the pipeline with save_pretrained"


def locate_model(model: str | Path) -> str:
    """Return what diffusers loads for the name of a model.

    Parameters
    ----------
    model : str or Path
        ``"miniature"`` (shipped), a folder written by ``save_pretrained``, a single-file
        checkpoint (``.safetensors``), or a hub id such as ``"CompVis/stable-diffusion-v1-4"``.

    Returns
    -------
    str
        A folder, a file or a hub id.

    Raises
    ------
    ModelError
        If it can be none of these, or its weights are pickled.
    """
    path = data_path(MINIATURE) if str(model) == MINIATURE else user_path(model)
    if path.is_dir():
        if not (path / PIPELINE).exists():
            raise ModelError(
                f"the folder {model} has no {PIPELINE}; give a folder that a diffusers "
                "pipeline was saved to with save_pretrained"
            )
        return str(path)
    if path.suffix in (SINGLE_FILE, *PICKLED):
        if not path.is_file():
            raise ModelError(f"there is no file {model}")
        if path.suffix in PICKLED:
            raise ModelError(
                f"{model} holds pickled weights, which can run any code when they are read, and "
                f"hrvlab reads safetensors only; {CONVERT}"
            )
        return str(path)
    if str(model).count("/") != 1:
        raise ModelError(
            f"unknown model {str(model)!r}; give 'miniature', a pipeline folder, a .safetensors "
            "file, or a hub id such as 'CompVis/stable-diffusion-v1-4'"
        )
    return str(model)
