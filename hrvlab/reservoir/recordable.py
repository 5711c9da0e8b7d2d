"""Which models a pool can be recorded of, and which of their layers are alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hrvlab.attention.hooks import attention_module
from hrvlab.attention.taps import map_size
from hrvlab.errors import ModelError, ParameterError
from hrvlab.forecast import forecast_calls, forecast_latent_size
from hrvlab.models.families import family_of
from hrvlab.reservoir.groups import LayerGroup, arrays

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.models.layers import Layer
    from hrvlab.storage.shards import Growing

# Of a pool, unless others are asked for.
POSITIONS, CALLS, BUDGET_BYTES = 16, 8, 8 * 1024**3


def check_static(pipe: DiffusionPipeline, call: dict[str, Any]) -> None:
    """Check that a word has the same keys in every call of the denoiser.

    Raises
    ------
    ModelError
        If words and image share one softmax, and so keys depend on both.
    ParameterError
        If the strength of a LoRA is given with the call, which only the model itself can apply.
    """
    family = family_of(pipe)
    if family.by_mode:
        raise ModelError(
            f"{family.name} has joint attention, where the keys of a word change with the image "
            "and from call to call, so that they cannot be kept once; queries can be recorded of "
            "models with cross-attention: Stable Diffusion, PixArt and Sana"
        )
    for name in ("cross_attention_kwargs", "attention_kwargs"):
        if (call.get(name) or {}).get("scale") is not None:
            raise ParameterError(
                f"the pool's keys are those of the model as it is, and {name} changes a LoRA's "
                "strength for one call; set it with pipe.set_adapters, or leave it out"
            )


def layer_groups(
    pipe: DiffusionPipeline, positions: int, call: dict[str, Any]
) -> tuple[LayerGroup, ...]:
    """Group the layers whose queries are kept in one array.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    positions : int
        That are kept of each head, at most.
    call : dict
        Keywords of the pipeline's own call, of which the size of the images counts.

    Returns
    -------
    tuple of LayerGroup
    """
    family = family_of(pipe)
    denoiser = family.denoiser(pipe)
    size = forecast_latent_size(pipe, call)
    alike: dict[tuple[int, int, int], list[Layer]] = {}
    for layer in family.layers(denoiser):
        height, width = map_size(size, layer.downscale)
        channels = attention_module(denoiser, layer).inner_dim // layer.heads
        alike.setdefault((layer.heads, channels, height * width), []).append(layer)
    return tuple(
        LayerGroup(
            number,
            tuple(layer.index for layer in layers),
            tuple(layer.start for layer in layers),
            *shape,
            kept=min(positions, shape[-1]),
        )
        for number, (shape, layers) in enumerate(alike.items())
    )


@dataclass(frozen=True)
class Kept:
    """What a recording keeps.

    Parameters
    ----------
    groups : tuple of LayerGroup
    total : int
        Denoiser calls of the run.
    calls : int or tuple of int
        How many are kept of each prompt, or which.
    rows : int
        Prompts of a batch.
    arrays : dict of str to Growing
        Of the queries.
    """

    groups: tuple[LayerGroup, ...]
    total: int
    calls: int | tuple[int, ...]
    rows: int
    # Follows from the others; workers keep what they made for equal plans.
    arrays: dict[str, Growing] = field(compare=False)

    @property
    def nbytes(self) -> int:
        """The bytes of all queries."""
        return sum(array.nbytes for array in self.arrays.values())


def plan_queries(
    pipe: DiffusionPipeline,
    prompts: int,
    *,
    positions: int,
    calls: int | Sequence[int] | None,
    batch_size: int,
    budget_bytes: int,
    call: dict[str, Any],
) -> Kept:
    """Forecast what a recording keeps.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    prompts : int
    positions, calls, batch_size, budget_bytes
        See `hrvlab.record_queries`.
    call : dict
        Keywords of the pipeline's own call.

    Returns
    -------
    Kept

    Raises
    ------
    ModelError
        See `check_static`.
    ParameterError
        If a parameter is wrong, or the budget is exceeded.
    """
    check_static(pipe, call)
    if positions < 2 or positions % 2:
        raise ParameterError(
            f"positions is {positions}; give an even number, whose halves tell the error of the "
            "whole"
        )
    total = forecast_calls(pipe, call)
    chosen = _chosen_calls(calls, total)
    groups = layer_groups(pipe, positions, call)
    count = chosen if isinstance(chosen, int) else len(chosen)
    rows = min(batch_size, prompts)
    kept = Kept(
        groups, total, chosen, rows, arrays(groups, prompts=prompts, calls=count, rows=rows)
    )
    if kept.nbytes > budget_bytes:
        raise ParameterError(
            f"the queries would take {kept.nbytes / 1e9:.2f} GB, the budget is "
            f"{budget_bytes / 1e9:.2f} GB; give fewer prompts, calls or positions, or raise "
            "budget_bytes"
        )
    return kept


def _chosen_calls(calls: int | Sequence[int] | None, total: int) -> int | tuple[int, ...]:
    """Return how many calls are kept of each prompt, or which.

    Raises
    ------
    ParameterError
        If the run does not make them.
    """
    if calls is None or isinstance(calls, int):
        count = total if calls is None else min(calls, total)
        if count < 1:
            raise ParameterError(f"calls is {calls}; give 1 or more, or a list of calls")
        return count
    numbers = tuple(sorted({int(number) for number in calls}))
    if not numbers or numbers[0] < 0 or numbers[-1] >= total:
        raise ParameterError(
            f"calls are {list(calls)}; the run makes {total} denoiser calls: give numbers from 0 "
            f"to {total - 1}"
        )
    return numbers
