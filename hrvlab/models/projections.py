"""Notice that a model's attention projections were replaced, as by an adapter that was loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from torch import nn

PROJECTIONS = ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj")
OUTPUTS = ("to_out", "to_add_out")


@dataclass(frozen=True)
class Projections:
    """The modules that project into and out of a denoiser's attention, at one time.

    Parameters
    ----------
    places : tuple of (str, torch.nn.Module, str, torch.nn.Module)
        For every projection its path, its parent, its name there, and the module itself.
    """

    places: tuple[tuple[str, nn.Module, str, nn.Module], ...]

    @classmethod
    def of(cls, denoiser: nn.Module) -> Self:
        """List the projections of a denoiser."""
        places = []
        for path, parent in denoiser.named_modules():
            # Output projections may be the first of a list, with a dropout.
            output = path.rpartition(".")[2] in OUTPUTS
            for name, child in parent.named_children():
                if name in PROJECTIONS or name in OUTPUTS or (output and name == "0"):
                    places.append((f"{path}.{name}" if path else name, parent, name, child))
        return cls(tuple(places))

    def replaced(self) -> list[str]:
        """List the paths at which another module stands now; takes microseconds."""
        return [
            path
            for path, parent, name, module in self.places
            if parent._modules.get(name) is not module
        ]
