"""Locate a model by its name, before anything that takes time to import is needed."""

from __future__ import annotations

from pathlib import Path

from hrvlab.errors import ModelError
from hrvlab.paths import MINIATURE, data_path, user_path


def locate_model(model: str | Path) -> str:
    """Return what diffusers loads for the name of a model.

    Parameters
    ----------
    model : str or Path
        ``"miniature"`` (shipped), a folder written by ``save_pretrained``, or a hub id such as
        ``"CompVis/stable-diffusion-v1-4"``.

    Returns
    -------
    str
        A folder or a hub id.

    Raises
    ------
    ModelError
        If it can be neither.
    """
    path = data_path(MINIATURE) if str(model) == MINIATURE else user_path(model)
    if path.is_dir():
        if not (path / "model_index.json").exists():
            raise ModelError(
                f"the folder {model} has no model_index.json; give a folder that a diffusers "
                "pipeline was saved to with save_pretrained"
            )
        return str(path)
    if str(model).count("/") != 1:
        raise ModelError(
            f"unknown model {str(model)!r}; give 'miniature', a pipeline folder, or a hub id such "
            "as 'CompVis/stable-diffusion-v1-4'"
        )
    return str(model)
