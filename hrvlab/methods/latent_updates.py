"""How Attend-and-Excite updates the latents while an image is being generated."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hrvlab.attention.gradients import blended_maps, blur, queries_and_keys, word_shares
from hrvlab.attention.session import attach
from hrvlab.attention.taps import map_size
from hrvlab.errors import CoverageError
from hrvlab.generation import run_pipeline
from hrvlab.methods.excitation import attended_layers
from hrvlab.noise import image_generator

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.attention.calls import Call
    from hrvlab.attention.gradients import QueriesAndKeys
    from hrvlab.generation import Batch
    from hrvlab.methods.excitation import Excitation

SHARPNESS = 100.0
KERNEL_SIZE = 3
# The published exponent is (x / 2σ)² with σ = 0.5: a standard deviation of √½.
DEVIATION = 0.5**0.5
# The step size falls with the square root of a line from 1 to this.
LAST_SCALE = 0.5


class LatentUpdater:
    """An updater of the latents of images of one prompt, each image by itself.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    batch : Batch
    excitation : Excitation
    words : Tensor of bool, shape (word, token)
        The token columns of each word.
    factors : Tensor, shape (word, head_position)
        The weights of the heads' maps.
    call : dict
        Keywords of the pipeline's own call.

    Attributes
    ----------
    passes : ndarray of int64, shape (image,)
        How often the UNet ran with gradients for each image so far.
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
        inputs, first = _first_inputs(pipe, batch, **call)
        # Beside the latents, UNets for inpainting are given the mask and the masked image.
        channels = pipe.vae.config.latent_channels
        sample, self._beside = inputs.pop("sample").tensor_split([channels], dim=1)
        self._beside = self._beside[first.conditional]
        given = call.get("latents")
        self._noise = (_noise(sample, batch) if given is None else given).to(sample)
        self._conditional = _rows({**inputs, "return_dict": False}, first.conditional, len(sample))
        height, width = sample.shape[-2:]
        self._layers = attended_layers(pipe, excitation)
        # A grid that does not divide evenly is rounded up, as by strided convolutions.
        self._grids = [map_size((height, width), layer.downscale) for layer in self._layers]
        self._size = self._grids[0]
        if excitation.layers == "all":
            self._size = (
                max(1, round(height * excitation.side)),
                max(1, round(width * excitation.side)),
            )
        self._scales = [pipe.unet.get_submodule(x.module).scale for x in self._layers]
        assert first.calls is not None
        assert first.steps is not None
        sizes = excitation.step_size * np.sqrt(np.linspace(1, LAST_SCALE, first.calls))
        self._step_sizes: list[float] = sizes.tolist()
        steps, order = first.steps, pipe.scheduler.order  # calls of a step
        self._until = round(excitation.until * steps) * order
        thresholds = sorted(excitation.thresholds.items())
        self._highest_loss = {round(share * steps) * order: 1 - t for share, t in thresholds}
        self.passes: NDArray[np.int64] = np.zeros(len(batch.seeds), np.int64)

    def first_latents(self) -> Tensor:
        """Update the noise before the first call, for the pipeline's ``latents=``."""
        scale = self._pipe.scheduler.init_noise_sigma
        latents = self._noise * scale
        # Only the change is scaled back, so that without one the noise stays bit for bit.
        return self._noise + (self.update(0, latents) - latents) / scale

    def after_step(
        self, _: DiffusionPipeline, step: int, __: object, given: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Update the latents between two calls: the pipeline's ``callback_on_step_end=``."""
        if step + 1 == len(self._step_sizes):
            return {}
        return {"latents": self.update(step + 1, given["latents"])}

    @torch.no_grad()
    def update(self, call: int, latents: Tensor) -> Tensor:
        """Update latents before a denoiser call.

        At a call with a threshold, images are updated until they were found to meet it, and once
        more, as published. Then every image is updated once.

        Parameters
        ----------
        call : int
            Number of the next denoiser call.
        latents : Tensor, shape (image, channel, height, width)

        Returns
        -------
        Tensor, shape (image, channel, height, width)

        Raises
        ------
        CoverageError
            If the attention or its gradient is not finite.
        """
        if call >= self._until:
            return latents
        latents = latents.clone()
        size = self._step_sizes[call]
        images = torch.arange(len(latents), device=latents.device)
        loss, gradient = self.measure(call, latents, images)
        highest = self._highest_loss.get(call, torch.inf)
        refined = images[loss > highest]
        for _ in range(self._excitation.refinements):
            if not len(refined):
                break
            met = loss[refined] <= highest
            latents[refined] -= size * gradient[refined]
            loss[refined], gradient[refined] = self.measure(call, latents[refined], refined)
            refined = refined[~met]
        return latents - size * gradient

    def measure(self, call: int, latents: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the loss of some images, and its gradient, by one pass through the UNet.

        Parameters
        ----------
        call : int
            Number of the next denoiser call.
        latents : Tensor, shape (image, channel, height, width)
        images : Tensor of int64, shape (image,)
            Their numbers in the batch.

        Returns
        -------
        loss : Tensor, shape (image,)
            1 − the maximum of a word's map, for the word whose maximum is lowest.
        gradient : Tensor, shape (image, channel, height, width)
            Of each image's loss.

        Raises
        ------
        CoverageError
            If the loss or its gradient is not finite.
        """
        self.passes[images.cpu().numpy()] += 1
        pipe, inputs = self._pipe, _rows(self._conditional, images, len(self.passes))
        inputs["timestep"] = pipe.scheduler.timesteps[call]
        with torch.enable_grad():
            latents = latents.detach().requires_grad_()
            scaled = pipe.scheduler.scale_model_input(latents, inputs["timestep"])
            sample = torch.cat([scaled, self._beside[images]], dim=1)
            with queries_and_keys(pipe.unet, self._layers) as found:
                pipe.unet(sample, **inputs)
            # Mixed precision around the call must not reach the float32 of the maps.
            with torch.autocast(latents.device.type, enabled=False):
                shares = self._shares(found)
            loss = 1 - shares.amax(dim=(2, 3)).amin(dim=1)
            (gradient,) = torch.autograd.grad(loss.sum(), latents)
        if not (torch.isfinite(loss).all() and torch.isfinite(gradient).all()):
            raise CoverageError(
                f"before denoiser call {call} the attention or its gradient is not finite; load "
                "the model in float32, or choose a smaller step size"
            )
        return loss.detach(), gradient

    def _shares(self, found: QueriesAndKeys) -> Tensor:
        """Compute each word's share of the attention, shape (image, word, y, x)."""
        maps = blended_maps(
            found, self._layers, self._scales, self._grids, self._factors, self._size
        )
        shares = word_shares(
            maps,
            self._words,
            sharpness=SHARPNESS,
            leave_out_last=self._excitation.leave_out_last,
        )
        if not self._excitation.smooth:
            return shares
        flat = blur(shares.flatten(0, 1)[:, None], KERNEL_SIZE, DEVIATION)
        return flat.reshape(shares.shape)


class _FirstCall(Exception):
    """The end of a pipeline's run at its first denoiser call."""


def _first_inputs(
    pipe: DiffusionPipeline, batch: Batch, **call: Any
) -> tuple[dict[str, Any], Call]:
    """Run the pipeline up to its first denoiser call, and return the inputs and what they show."""
    found: dict[str, Any] = {}

    def stop(_: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found.update(zip(("sample", "timestep", "encoder_hidden_states"), args, strict=False))
        found.update(kwargs)
        raise _FirstCall

    with suppress(_FirstCall), attach(pipe, prompts=batch.prompts) as session:
        handle = pipe.unet.register_forward_pre_hook(stop, with_kwargs=True)
        try:
            run_pipeline(pipe, batch, **call)
        finally:
            handle.remove()
    assert session.call is not None
    return found, session.call


def _noise(sample: Tensor, batch: Batch) -> Tensor:
    """Draw the noise that the pipeline would draw itself."""
    shape = (1, *sample.shape[1:])
    generators = [image_generator(s, i) for s, i in zip(batch.seeds, batch.indices, strict=True)]
    return torch.cat([torch.randn(shape, generator=g, dtype=sample.dtype) for g in generators])


def _rows(inputs: Any, rows: slice | Tensor, batch: int) -> Any:
    """Select rows of every tensor among the inputs that has one row for each sample of a batch."""
    if isinstance(inputs, dict):
        return {name: _rows(value, rows, batch) for name, value in inputs.items()}
    if isinstance(inputs, list | tuple):
        return [_rows(value, rows, batch) for value in inputs]
    if isinstance(inputs, Tensor) and inputs.ndim and len(inputs) == batch:
        return inputs[rows]
    return inputs
