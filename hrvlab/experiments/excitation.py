"""How Attend-and-Excite moves the latents of a picture that is being drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from diffusers import DiffusionPipeline
from numpy.typing import NDArray
from torch import Tensor

from hrvlab.attention.gradients import attended, blended_maps, blur, word_shares
from hrvlab.errors import CoverageError, ParameterError
from hrvlab.generation import Batch, image_generator, run_pipeline
from hrvlab.models.families import family_of
from hrvlab.models.heads import Layer, cross_attention_layers

SHARPNESS = 100.0
PLACES = 3
# The published σ of 0.5 enters its exponent as (x / 2σ)², which is a deviation of √½.
DEVIATION = 0.5**0.5
# The step size falls with the square root of a line from 1 to this.
LAST = 0.5


@dataclass(frozen=True)
class Excitation:
    """How the latents are moved.

    Parameters
    ----------
    side : float
        Side of the maps that are looked at, as a share of the latents' side.
    layers : {"all", "side"}
        Maps of all layers, resized; or only of those layers whose grid has that side.
    leave_out_last : bool
        Whether the last token column takes no part in the softmax over columns.
    smooth : bool
        Whether a word's map is smoothed before its highest place is sought.
    thresholds : mapping of float to float
        Where the latents are moved until every word is looked at so much: shares of the steps,
        and the attention that the highest place of the least looked-at word should reach.
    refinements : int
        How often they are then moved at most.
    until : float
        Share of the steps, from the first, in which the latents are moved.
    step_size : float
        Of the first move.

    Raises
    ------
    ParameterError
        If a number is not one that it can be.
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
            raise ParameterError(f"the side is {self.side}; give a share of the latents' side")
        if self.layers not in ("all", "side"):
            raise ParameterError(f"layers is {self.layers!r}; give 'all' or 'side'")
        if not 0 <= self.until <= 1:
            raise ParameterError(f"until is {self.until}; give a share of the steps, from 0 to 1")
        if not all(0 <= when < self.until and 0 <= t <= 1 for when, t in self.thresholds.items()):
            raise ParameterError(
                f"thresholds are {dict(self.thresholds)}; give attention from 0 to 1 for shares of "
                f"the steps below {self.until}, where latents are moved"
            )
        if self.refinements < 1:
            raise ParameterError(f"refinements is {self.refinements}; give 1 or more")
        if not np.isfinite(self.step_size):
            raise ParameterError(f"the step size is {self.step_size}; give a finite number")


PRESETS = {
    "published-hrv": Excitation(),
    "published-baseline": Excitation(side=1 / 4, layers="side"),
    "attend-and-excite": Excitation(side=1 / 4, layers="side", leave_out_last=True),
}


class Mover:
    """Moves the latents of one batch of pictures of one prompt, each for itself.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    batch : Batch
    excitation : Excitation
    words : Tensor of bool, shape (word, token)
        The columns of each word.
    factors : Tensor, shape (word, head_position)
        What each head's maps are weighted with.
    call : dict
        Keywords of the pipeline's own call.

    Attributes
    ----------
    passes : ndarray of int64, shape (image,)
        How often the UNet ran with gradients for each picture so far.
    """

    def __init__(
        self,
        pipe: DiffusionPipeline,
        batch: Batch,
        excitation: Excitation,
        words: Tensor,
        factors: Tensor,
        call: dict[str, Any],
    ) -> None:
        self._pipe, self._excitation = pipe, excitation
        self._words, self._factors = words, factors
        given = _given_to_unet(pipe, batch, **call)
        sample = given.pop("sample")
        self._noise = call.get("latents", _noise(sample, batch)).to(sample)
        rows = family_of(pipe).conditional_samples(pipe, len(sample))
        self._conditional = _rows({**given, "return_dict": False}, rows, len(sample))
        height, width = sample.shape[-2:]
        self._layers = looked_at(pipe, excitation)
        # A grid that does not divide evenly is rounded up, as strided convolutions do.
        shrinks = [pipe.unet.config.sample_size // layer.grid for layer in self._layers]
        self._grids = [(-(-height // by), -(-width // by)) for by in shrinks]
        self._size = self._grids[0]
        if excitation.layers == "all":
            self._size = (
                max(1, round(height * excitation.side)),
                max(1, round(width * excitation.side)),
            )
        self._scales = [pipe.unet.get_submodule(x.module).scale for x in self._layers]
        steps, calls = call["num_inference_steps"], len(pipe.scheduler.timesteps)
        sizes = excitation.step_size * np.sqrt(np.linspace(1, LAST, calls))
        self._step_sizes: list[float] = sizes.tolist()
        self._until = round(excitation.until * steps)
        self._most = {round(at * steps): 1 - t for at, t in sorted(excitation.thresholds.items())}
        self.passes: NDArray[np.int64] = np.zeros(len(batch.seeds), np.int64)

    def first_latents(self) -> Tensor:
        """Move the noise before the first call, for the pipeline's ``latents=``."""
        scale = self._pipe.scheduler.init_noise_sigma
        latents = self._noise * scale
        # The shift alone is scaled back, so that no shift leaves the noise bit for bit.
        return self._noise + (self.move(0, latents) - latents) / scale

    def after_step(
        self, _: DiffusionPipeline, step: int, __: object, given: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Move the latents between two calls: the pipeline's ``callback_on_step_end=``."""
        if step + 1 == len(self._step_sizes):
            return {}
        return {"latents": self.move(step + 1, given["latents"])}

    @torch.no_grad()
    def move(self, call: int, latents: Tensor) -> Tensor:
        """Move latents before a UNet call.

        Where a threshold is set, pictures are moved until they were found to meet it, and once
        more, as published; then every picture is moved once.
        """
        if call >= self._until:
            return latents
        latents = latents.clone()
        size = self._step_sizes[call]
        everyone = torch.arange(len(latents), device=latents.device)
        loss, gradient = self.measure(call, latents, everyone)
        most = self._most.get(call, torch.inf)
        still = everyone[loss > most]
        for _ in range(self._excitation.refinements):
            if not len(still):
                break
            met = loss[still] <= most
            latents[still] -= size * gradient[still]
            loss[still], gradient[still] = self.measure(call, latents[still], still)
            still = still[~met]
        return latents - size * gradient

    def measure(self, call: int, latents: Tensor, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Pass some pictures through the UNet and see what their least looked-at word lacks.

        Parameters
        ----------
        call : int
            Number of the UNet call to come.
        latents : Tensor, shape (picture, channel, height, width)
        pictures : Tensor of int64, shape (picture,)
            Their numbers in the batch.

        Returns
        -------
        loss : Tensor, shape (picture,)
            1 less the highest place of the map of the word whose highest place is lowest.
        gradient : Tensor, shape (picture, channel, height, width)
            Of each picture's loss.

        Raises
        ------
        CoverageError
            If one of them is not finite.
        """
        self.passes[pictures.cpu().numpy()] += 1
        pipe, given = self._pipe, _rows(self._conditional, pictures, len(self.passes))
        given["timestep"] = pipe.scheduler.timesteps[call]
        with torch.enable_grad():
            latents = latents.detach().requires_grad_()
            sample = pipe.scheduler.scale_model_input(latents, given["timestep"])
            with attended(pipe.unet, self._layers) as read:
                pipe.unet(sample, **given)
            maps = blended_maps(
                read, self._layers, self._scales, self._grids, self._factors, self._size
            )
            shares = word_shares(
                maps,
                self._words,
                sharpness=SHARPNESS,
                leave_out_last=self._excitation.leave_out_last,
            )
            if self._excitation.smooth:
                flat = blur(shares.flatten(0, 1)[:, None], PLACES, DEVIATION)
                shares = flat.reshape(shares.shape)
            loss = 1 - shares.amax(dim=(2, 3)).amin(dim=1)
            (gradient,) = torch.autograd.grad(loss.sum(), latents)
        if not (torch.isfinite(loss).all() and torch.isfinite(gradient).all()):
            raise CoverageError(
                f"before UNet call {call} the attention or its gradient is not finite; load the "
                "model in float32, or make the step size smaller"
            )
        return loss.detach(), gradient


def looked_at(pipe: DiffusionPipeline, excitation: Excitation) -> list[Layer]:
    """List the layers whose maps are looked at.

    Raises
    ------
    ParameterError
        If only layers of one grid are, and there are none.
    """
    layers = cross_attention_layers(pipe.unet)
    if excitation.layers == "all":
        return layers
    side = pipe.unet.config.sample_size
    chosen = [layer for layer in layers if layer.grid == side * excitation.side]
    if not chosen:
        shares = ", ".join(f"1/{side // grid}" for grid in sorted({x.grid for x in layers})[::-1])
        raise ParameterError(
            f"no layer's grid has {excitation.side:g} of the latents' side; there are: {shares}"
        )
    return chosen


class _Begun(Exception):
    """Ends a pipeline's run at its first UNet call."""


def _given_to_unet(pipe: DiffusionPipeline, batch: Batch, **call: Any) -> dict[str, Any]:
    """Let the pipeline prepare its first UNet call, and take what it would give."""
    found: dict[str, Any] = {}

    def stop(_: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found.update(zip(("sample", "timestep", "encoder_hidden_states"), args, strict=False))
        found.update(kwargs)
        raise _Begun

    handle = pipe.unet.register_forward_pre_hook(stop, with_kwargs=True)
    try:
        run_pipeline(pipe, batch, **call)
    except _Begun:
        pass
    finally:
        handle.remove()
    return found


def _noise(sample: Tensor, batch: Batch) -> Tensor:
    """Draw the noise that the pipeline draws of itself."""
    shape = (1, *sample.shape[1:])
    generators = [image_generator(s, i) for s, i in zip(batch.seeds, batch.indices, strict=True)]
    return torch.cat([torch.randn(shape, generator=g, dtype=sample.dtype) for g in generators])


def _rows(given: Any, rows: slice | Tensor, batch: int) -> Any:
    """Take some rows of every tensor that has one for each of a batch."""
    if isinstance(given, dict):
        return {name: _rows(value, rows, batch) for name, value in given.items()}
    if isinstance(given, Tensor) and given.ndim and len(given) == batch:
        return given[rows]
    return given
