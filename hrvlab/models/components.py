"""Load the components of a saved pipeline, and check that each gets all of its weights."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from importlib import import_module
from itertools import count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import diffusers
from safetensors import SafetensorError
from torch import nn

from hrvlab.errors import ModelError
from hrvlab.libraries import library_versions
from hrvlab.models.locate import CONVERT

if TYPE_CHECKING:
    import torch

# Plain, of a variant, sharded, and of a variant that was sharded by an older diffusers.
WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_)?model(?:\.(\w+))?(?:-\d{5}-of-\d{5})?(?:\.(\w+))?\.safetensors"
)
# What the libraries raise for a file that is damaged, or does not fit its configuration.
FAILURES = (OSError, ValueError, RuntimeError, KeyError, SafetensorError)


def load_components(
    folder: Path, index: Mapping[str, Any], variant: str | None, dtype: torch.dtype
) -> dict[str, nn.Module]:
    """Load every model of a saved pipeline.

    Parameters
    ----------
    folder : Path
        Written by ``save_pretrained``.
    index : mapping of str to object
        The pipeline's configuration: the library and the class of every component.
    variant : str, optional
        Of the weights, as in ``model.fp16.safetensors``. By default the plain weights, or the only
        variant that there is.
    dtype : torch.dtype
        Of the weights in memory.

    Returns
    -------
    dict of str to torch.nn.Module

    Raises
    ------
    ModelError
        If a component cannot be read, or lacks weights, which its library would draw at random.
    """
    classes = {
        name: cls
        for name, value in index.items()
        if not name.startswith("_")
        and isinstance(value, (list, tuple))
        and (cls := _model_class(*value)) is not None
    }
    found = {name: _variants(folder / name) for name in classes}
    if variant is not None and not any(variant in known for known in found.values()):
        known = sorted({v or "(plain)" for known in found.values() for v in known})
        raise ModelError(f"{folder} has no variant {variant!r}; it has {', '.join(known)}")
    return {name: _load_each(cls, folder / name, variant, dtype) for name, cls in classes.items()}


def _load_each(cls: Any, folder: Path, variant: str | None, dtype: torch.dtype) -> nn.Module:
    """Load a component, or all of those that it is a list of: several ControlNets or adapters."""
    if not cls.__name__.startswith("Multi"):
        return _load(cls, folder, _choose(folder, _variants(folder), variant), dtype)
    own = getattr(diffusers, json.loads((folder / "config.json").read_text())["_class_name"])
    numbered = (folder.with_name(f"{folder.name}_{number}") for number in count(1))
    folders = [folder, *takewhile(Path.is_dir, numbered)]
    several: nn.Module = cls([_load_each(own, one, variant, dtype) for one in folders])
    return several


def _model_class(library: str | None, name: str | None) -> Any:
    """Return the class of a component that has weights; None for all others."""
    module = getattr(diffusers.pipelines, str(library), None)
    if module is None and library in ("diffusers", "transformers"):
        module = import_module(library)
    cls = getattr(module, str(name), None)
    return cls if isinstance(cls, type) and issubclass(cls, nn.Module) else None


def _variants(folder: Path) -> set[str | None]:
    """List the variants of a component's weights; None stands for the plain ones."""
    matches = [WEIGHTS.fullmatch(path.name) for path in folder.glob("*.safetensors")]
    return {match[1] or match[2] for match in matches if match}


def _choose(folder: Path, found: Collection[str | None], wanted: str | None) -> str | None:
    """Choose the variant of a component: as wanted, else plain, else the only one."""
    if not found:
        pickled = any(folder.glob("*.bin"))
        why = f"pickled weights only; {CONVERT}" if pickled else "no safetensors weights"
        raise ModelError(f"cannot load {folder.name}: {folder} has {why}")
    if wanted in found or None in found:
        return wanted if wanted in found else None
    if len(found) > 1:
        raise ModelError(
            f"{folder} has the variants {', '.join(sorted(map(str, found)))} and no plain weights; "
            "give one as variant="
        )
    return next(iter(found))


def _load(cls: Any, folder: Path, variant: str | None, dtype: torch.dtype) -> nn.Module:
    call: dict[str, Any] = {"variant": variant, "use_safetensors": True}
    if issubclass(cls, diffusers.ModelMixin):
        call |= {"torch_dtype": dtype}
    else:  # of transformers, whose error would not name the weights of another shape
        call |= {"dtype": dtype, "ignore_mismatched_sizes": True}
    try:
        component, report = cls.from_pretrained(str(folder), output_loading_info=True, **call)
    except FAILURES as error:
        raise ModelError(f"cannot load {folder}: {reason(error)}") from error
    misshapen = [name for name, *_ in report["mismatched_keys"]]
    check_complete(folder.name, component, [*report["missing_keys"], *misshapen])
    return component


def check_complete(name: str, component: nn.Module, missing: Collection[str]) -> None:
    """Check that no weight of a component was missing when it was loaded.

    Parameters
    ----------
    name : str
        Of the component, for the error.
    component : torch.nn.Module
    missing : collection of str
        Names of its missing weights.

    Raises
    ------
    ModelError
        With their number, the first one, and the version of the library that looked for them.
    """
    if not missing:
        return
    library = "diffusers" if isinstance(component, diffusers.ModelMixin) else "transformers"
    raise ModelError(
        f"{name} would be partly random: {len(missing)} of its {len(component.state_dict())} "
        f"weights, first {min(missing)}, are not where {library} {library_versions()[library]} "
        f"looks for them; install the newest {library}, or fetch the model again"
    )


def reason(error: BaseException) -> str:
    """Return the first line of an error's text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
