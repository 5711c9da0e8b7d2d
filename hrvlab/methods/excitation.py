"""Settings of Attend-and-Excite, and the published ones."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hrvlab.errors import ParameterError
from hrvlab.models.families import denoiser_of
from hrvlab.models.heads import cross_attention_layers

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.models.layers import Layer

MASK = "mask_image"  # a keyword of pipelines for inpainting


@dataclass(frozen=True)
class Excitation:
    """Settings of the updates of latents.

    Parameters
    ----------
    side : float
        Side of the attention maps, as a share of the latents' side.
    layers : {"all", "side"}
        Use the maps of all layers, resized; or only those of layers whose grid has that side.
    leave_out_last : bool
        Exclude the last token column from the softmax over columns.
    smooth : bool
        Smooth a word's map before its maximum is taken.
    thresholds : mapping of float to float
        Shares of the steps at which the latents are refined, and the attention that the maximum of
        every word's map should then reach.
    refinements : int
        The largest number of updates of one refinement.
    until : float
        Share of the steps, from the first, in which the latents are updated.
    step_size : float
        Of the first update; later ones are smaller.

    Raises
    ------
    ParameterError
        If a number is out of its range.

    Examples
    --------
    >>> gentle = hl.Excitation(side=1 / 2, thresholds={}, step_size=5.0)
    >>> excited = hl.excite(
    ...     pipe, "a cat and a dog", "dog", preset=gentle, num_inference_steps=2, progress=False
    ... )
    >>> excited.passes.tolist()
    [1]
    """

    side: float = 1 / 8
    layers: Literal["all", "side"] = "all"
    leave_out_last: bool = False
    smooth: bool = True
    thresholds: Mapping[float, float] = field(
        default_factory=lambda: {0.0: 0.05, 0.2: 0.5, 0.4: 0.8}
    )
    refinements: int = 20
    until: float = 0.5
    step_size: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.side <= 1:
            raise ParameterError(
                f"side is {self.side}; give a share of the latents' side, above 0 and up to 1"
            )
        if self.layers not in ("all", "side"):
            raise ParameterError(f"layers is {self.layers!r}; give 'all' or 'side'")
        if not 0 <= self.until <= 1:
            raise ParameterError(f"until is {self.until}; give a share of the steps, from 0 to 1")
        if not all(0 <= at < self.until and 0 <= t <= 1 for at, t in self.thresholds.items()):
            raise ParameterError(
                f"thresholds are {dict(self.thresholds)}; give attention from 0 to 1 at shares of "
                f"the steps below {self.until}, where latents are updated"
            )
        if self.refinements < 1:
            raise ParameterError(f"refinements is {self.refinements}; give 1 or more")
        if not np.isfinite(self.step_size):
            raise ParameterError(f"step_size is {self.step_size}; give a finite number")


PRESETS = {
    "published-hrv": Excitation(),
    "published-baseline": Excitation(side=1 / 4, layers="side"),
    "attend-and-excite": Excitation(side=1 / 4, layers="side", leave_out_last=True),
}


def find_excitation(preset: str | Excitation | None, *, with_vectors: bool) -> Excitation:
    """Return the settings of a preset, or the settings themselves.

    Parameters
    ----------
    preset : str or Excitation, optional
    with_vectors : bool
        Whether the default is that with vectors.

    Returns
    -------
    Excitation

    Raises
    ------
    ParameterError
        If there is no preset of that name.
    """
    if isinstance(preset, Excitation):
        return preset
    name = preset or ("published-hrv" if with_vectors else "attend-and-excite")
    if name not in PRESETS:
        raise ParameterError(f"there is no preset {name!r}; there are: {', '.join(PRESETS)}")
    return PRESETS[name]


def attended_layers(pipe: DiffusionPipeline, excitation: Excitation) -> list[Layer]:
    """List the layers whose maps an excitation uses.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    excitation : Excitation

    Returns
    -------
    list of Layer

    Raises
    ------
    ParameterError
        If it uses only layers whose grid has a certain side, and there are none.
    """
    layers = cross_attention_layers(denoiser_of(pipe))
    if excitation.layers == "all":
        return layers
    chosen = [layer for layer in layers if layer.downscale * excitation.side == 1]
    if not chosen:
        shares = ", ".join(f"1/{by}" for by in sorted({layer.downscale for layer in layers}))
        raise ParameterError(
            f"no layer's grid has {excitation.side:g} of the latents' side; choose one of: {shares}"
        )
    return chosen


def full_strength(pipe: DiffusionPipeline, call: Mapping[str, Any]) -> dict[str, float]:
    """Return the keyword by which a pipeline for inpainting starts from noise alone.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    call : mapping of str to object
        Keywords of its own call.

    Returns
    -------
    dict of str to float
        Empty for other pipelines.

    Raises
    ------
    ParameterError
        If it should start from the image.
    """
    if MASK not in inspect.signature(pipe.__call__).parameters:
        return {}
    if call.get("strength", 1.0) != 1.0:
        raise ParameterError(
            f"strength is {call['strength']}; excite updates noise alone: leave out strength, or "
            "give 1.0"
        )
    return {"strength": 1.0}
