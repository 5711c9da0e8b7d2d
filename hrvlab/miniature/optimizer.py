"""The optimizer of every stage: Muon for matrices, AdamW for the rest, and the average of both."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from hrvlab.miniature.muon import groups_of, muon_step

if TYPE_CHECKING:
    from torch import Tensor, nn

BETAS = (0.9, 0.98)
EPSILON = 1e-8
WEIGHT_DECAY = 0.01  # of AdamW's weights
LARGEST_NORM = 1.0  # of the gradient, which is scaled down to it
# Input, output and embeddings are no matrices that map features to features; nor are what a
# transformer's norms are modulated by.
NOT_MATRICES = (
    *("embed", "conv_in", "conv_out", "projection", "quant", "heads"),
    *("transformer.proj_out", "norm1.linear", "norm1_context.linear", "norm_out.linear"),
)
STATE = ("weights", "average", "first", "second")


def is_matrix(name: str, weight: Tensor) -> bool:
    """Return whether a weight is trained by Muon: a linear layer's or a convolution's within."""
    return weight.dim() in (2, 4) and not any(part in name for part in NOT_MATRICES)


class Optimizer:
    """The weights of a model as flat float32 vectors, and the step that trains them.

    On CUDA the model itself computes in bfloat16 and a step is one CUDA graph.

    Parameters
    ----------
    model : torch.nn.Module
        Called with a batch it returns the loss, a scalar. Weights that need no gradient stay.
    rate, muon_rate : float
        Peak learning rates of AdamW and of Muon.
    ema_decay : float
        Decay of the exponential moving average of the weights.
    device : torch.device

    Attributes
    ----------
    weights, average, first, second : Tensor of float32, shape (weight,)
        The weights, their average, and the moments of the gradient: everything that a checkpoint
        holds.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        rate: float,
        muon_rate: float,
        ema_decay: float,
        device: torch.device,
    ) -> None:
        self.rate, self.muon_rate, self.ema_decay = rate, muon_rate, ema_decay
        self.device = device
        named = {name: p for name, p in model.named_parameters() if p.requires_grad}
        order = sorted(named, key=lambda name: not is_matrix(name, named[name]))
        self.shapes = {name: named[name].shape for name in order}
        self.matrices = [name for name in order if is_matrix(name, named[name])]
        self._groups = groups_of([self.shapes[name] for name in self.matrices])
        self._rest = sum(self.shapes[name].numel() for name in self.matrices)
        self.weights = torch.cat([named[name].detach().flatten() for name in order]).to(device)
        self.average = self.weights.clone()
        self.first = torch.zeros_like(self.weights)
        self.second = torch.zeros_like(self.weights)
        # The loss and the progress travel with the gradient, so that processes meet once a step.
        self._sent = torch.zeros(len(self.weights) + 2, device=device)
        self.gradient = self._sent[:-2]
        self.model = model.to(device)
        if device.type == "cuda":
            self.model = copy.deepcopy(model).to(device, torch.bfloat16)
        self._used = self.weights.to(next(self.model.parameters()).dtype)
        self._used_gradient = self.gradient.to(self._used.dtype)
        parameters = dict(self.model.named_parameters())
        for name, weight in self._views(self._used).items():
            parameters[name].data = weight
        for name, gradient in self._views(self._used_gradient).items():
            parameters[name].grad = gradient
        # Numbers that change from step to step: share of the peak rate, corrections, EMA's share.
        self._numbers = torch.zeros(4, device=device)
        self._batch: tuple[Tensor, ...] = ()
        self._graph: torch.cuda.CUDAGraph | None = None
        self._capturable = True

    def _views(self, flat: Tensor) -> dict[str, Tensor]:
        sizes = [shape.numel() for shape in self.shapes.values()]
        parts = flat.split(sizes)
        return {
            name: part.view(shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def averaged(self) -> dict[str, Tensor]:
        """Return the averaged weights by name, as copies on the CPU."""
        return {name: view.cpu().clone() for name, view in self._views(self.average).items()}

    def state(self) -> dict[str, Tensor]:
        """Return the vectors that a training continues from."""
        return {name: getattr(self, name) for name in STATE}

    def load(self, state: dict[str, Tensor]) -> None:
        """Put the vectors of a checkpoint in place."""
        for name, vector in self.state().items():
            vector.copy_(state[name])
        self._used.copy_(self.weights)

    def step(
        self, batch: Sequence[Tensor], number: int, scale: float, progress: float
    ) -> tuple[float, float]:
        """Train on one batch; in a process group, on those of all processes.

        Parameters
        ----------
        batch : sequence of Tensor
            Of the same shapes in every step.
        number : int
            Steps taken before.
        scale : float
            Share of the peak learning rates.
        progress : float
            Of the training; that of the first process counts.

        Returns
        -------
        loss, progress : float
            The mean loss of all processes, and the first one's progress.
        """
        taken = number + 1
        average_from = min(self.ema_decay, taken / (taken + 9))
        corrections = [1 - beta**taken for beta in BETAS]
        self._numbers.copy_(torch.tensor([scale, *corrections, 1 - average_from]))
        first = not dist.is_initialized() or dist.get_rank() == 0
        if self._graph is None:
            self._batch = tuple(tensor.to(self.device) for tensor in batch)
            if self.device.type == "cuda" and self._capturable:
                self._capture()
        else:
            for own, tensor in zip(self._batch, batch, strict=True):
                own.copy_(tensor, non_blocking=True)
        if self._graph is None:
            self._backward()
            self._sent[-1] = progress if first else 0.0
            if dist.is_initialized():
                dist.all_reduce(self._sent)
            self._update()
        else:
            self._graph.replay()
            self._sent[-1] = progress
        return self._sent[-2].item(), self._sent[-1].item()

    def _backward(self) -> None:
        """Compute the loss and the gradient of this process's share."""
        processes = dist.get_world_size() if dist.is_initialized() else 1
        self._used_gradient.zero_()
        loss = self.model(*self._batch)
        (loss / processes).backward()
        self._sent[:-2].copy_(self._used_gradient)
        self._sent[-2] = loss.detach() / processes

    @torch.no_grad()
    def _update(self) -> None:
        """Move the weights and their average by the gradient of all processes."""
        scale, first_share, second_share, ema = self._numbers
        self.gradient.mul_((LARGEST_NORM / (self.gradient.norm() + 1e-6)).clamp(max=1.0))
        weights, gradients, momenta = (
            [views[name] for name in self.matrices]
            for views in map(self._views, (self.weights, self.gradient, self.first))
        )
        muon_step(weights, gradients, momenta, self._groups, scale * self.muon_rate)
        rest = slice(self._rest, None)
        gradient, first, second = self.gradient[rest], self.first[rest], self.second[rest]
        first.lerp_(gradient, 1 - BETAS[0])
        second.lerp_(gradient.square(), 1 - BETAS[1])
        move = first / first_share / ((second / second_share).sqrt() + EPSILON)
        others = self.weights[rest]
        others.sub_((move + WEIGHT_DECAY * others) * (scale * self.rate))
        self.average.lerp_(self.weights, ema)
        self._used.copy_(self.weights)

    def _capture(self) -> None:
        """Record a step as a CUDA graph, without taking it; where that fails, there is none."""
        kept = {name: vector.clone() for name, vector in self.state().items()}
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._backward()
                self._update()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._backward()
                self._update()
            self._graph = graph
        except RuntimeError as error:
            self._capturable = False
            warnings.warn(f"steps are slow, because CUDA records none: {error}", stacklevel=2)
        self.load(kept)
