"""LoRA weights from files: loaded as a whole or refused, each at its scale."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from hrvlab.errors import ModelError
from hrvlab.models.adapters import adapter_layers
from hrvlab.models.components import FAILURES, reason
from hrvlab.models.hub import explain_failure
from hrvlab.models.locate import CONVERT, PICKLED, SINGLE_FILE
from hrvlab.paths import user_path

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

# The first factor of every layer, in the namings of PEFT and diffusers, to which it brings others.
FACTOR = re.compile(r"(lora_A|lora\.down|_lora\.down|lora_linear_layer\.down)\.weight")


def add_loras(pipe: DiffusionPipeline, loras: Sequence[tuple[str, float]]) -> None:
    """Load LoRA weights into a pipeline.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    loras : sequence of (str, float)
        A ``.safetensors`` file, a folder that holds one, or a hub id; and its scale.

    Raises
    ------
    ModelError
        If there is no such file, PEFT is not installed, the weights do not fit the model, or it has
        no place for some of them: diffusers would leave these out.
    """
    if not loras:
        return
    if not hasattr(pipe, "load_lora_weights"):
        raise ModelError(f"diffusers loads no LoRA into a {type(pipe).__name__}; leave out lora")
    if find_spec("peft") is None:
        raise ModelError("a LoRA needs PEFT, which is not installed; pip install peft")
    scales: dict[str, float] = {}
    for source, scale in loras:
        path = _locate(source)
        before = _adapters(pipe)
        # Offline, earlier versions of diffusers take a file by its name alone.
        where = {"weight_name": path.name} if path else {}
        folder = str(path.parent if path else source)
        try:
            pipe.load_lora_weights(folder, use_safetensors=True, **where)
            found = pipe.lora_state_dict(folder, use_safetensors=True, **where)
        except (*FAILURES, ImportError) as error:
            why = (
                f"{source} does not fit: {reason(error)}"
                if path
                else explain_failure(source, error)
            )
            raise ModelError(f"cannot load the LoRA: {why}") from error
        new = sorted(_adapters(pipe) - before)
        _check_complete(
            str(path or source), found[0] if isinstance(found, tuple) else found, pipe, new
        )
        scales |= dict.fromkeys(new, scale)
    pipe.set_adapters(list(scales), list(scales.values()))


def _locate(source: str) -> Path | None:
    """Return the file of a LoRA; None if it is on the hub."""
    path = user_path(source)
    if path.is_dir():
        files = sorted(path.glob(f"*{SINGLE_FILE}"))
        if len(files) != 1:
            there = ", ".join(file.name for file in files) or "none"
            raise ModelError(
                f"the folder {source} must hold one {SINGLE_FILE} file of a LoRA; it holds {there}"
            )
        return files[0]
    if path.suffix in PICKLED:
        raise ModelError(f"{source} holds pickled weights, which are refused; {CONVERT}")
    if path.is_file():
        return path
    if path.suffix == SINGLE_FILE or source.count("/") != 1:
        raise ModelError(f"there is no LoRA {source!r}; give a {SINGLE_FILE} file or its folder")
    return None


def _adapters(pipe: DiffusionPipeline) -> set[str]:
    return {name for names in pipe.get_list_adapters().values() for name in names}


def _check_complete(
    source: str, weights: Iterable[str], pipe: DiffusionPipeline, names: Sequence[str]
) -> None:
    """Check that the model has a layer for every pair of factors."""
    wanted = sum(FACTOR.search(key) is not None for key in weights)
    parts = [part for part in pipe.components.values() if isinstance(part, nn.Module)]
    layers = [layer for part in parts for _, layer in adapter_layers(part)]
    loaded = sum(any(name in layer.scaling for name in names) for layer in layers)
    if loaded < wanted or not loaded:
        raise ModelError(
            f"{source} is a LoRA of another model, or its names are unknown to diffusers: "
            f"{wanted - loaded} of its {wanted} layers have no place in {type(pipe).__name__}"
        )
