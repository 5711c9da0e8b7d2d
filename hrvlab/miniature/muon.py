"""Muon: an optimizer of matrices, whose steps are momentum made orthogonal (Jordan et al. 2024).

`torch.optim.Muon` takes no convolutions, cannot be part of a CUDA graph, and computes in bfloat16,
which is slow on most CPUs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

MOMENTUM = 0.95
# Polynomials that take singular values toward 1, one after the other (Amsel et al. 2025).
POLYNOMIALS = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
)


def orthogonal(matrices: Tensor) -> Tensor:
    """Compute nearly the closest matrices with orthonormal rows.

    Parameters
    ----------
    matrices : Tensor of float32, shape (n, row, column)
        At most as many rows as columns.

    Returns
    -------
    Tensor of float32, shape (n, row, column)
    """
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) * 1.01 + 1e-7)
    identity = torch.eye(x.shape[1], device=x.device)
    gram, whole = x @ x.mT, identity  # everything happens on the short side
    for a, b, c in POLYNOMIALS:
        one = a * identity + torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        whole = one @ whole
        gram = one @ gram @ one
    return whole @ x


def groups_of(shapes: Sequence[torch.Size]) -> list[list[int]]:
    """Group weights by their shape as a wide matrix, so that each group is one computation."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, shape in enumerate(shapes):
        groups.setdefault(tuple(sorted((shape[0], shape[1:].numel()))), []).append(index)
    return list(groups.values())


def muon_step(
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor],
    momenta: Sequence[Tensor],
    groups: Sequence[Sequence[int]],
    rate: Tensor,
) -> None:
    """Take one step in place.

    Parameters
    ----------
    weights, gradients, momenta : sequence of Tensor
        Of two dimensions or more; all but the first count as the columns.
    groups : sequence of sequence of int
        From `groups_of`.
    rate : Tensor
        The learning rate: the spectral norm of a wide matrix's step.
    """
    for indices in groups:
        ahead = []
        for index in indices:
            momenta[index].lerp_(gradients[index], 1 - MOMENTUM)
            step = gradients[index].lerp(momenta[index], MOMENTUM).flatten(1)
            ahead.append(step if step.shape[0] <= step.shape[1] else step.mT)
        for index, made in zip(indices, orthogonal(torch.stack(ahead)), strict=True):
            weight = weights[index]
            rows, columns = weight.shape[0], weight[0].numel()
            made = made if made.shape[0] == rows and made.shape[1] == columns else made.mT
            weight.sub_(made.reshape(weight.shape) * (rate * max(1.0, rows / columns) ** 0.5))
