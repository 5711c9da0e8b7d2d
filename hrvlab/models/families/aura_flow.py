"""AuraFlow: joint attention with T5's columns, after eight registers of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hrvlab.models.columns import Token
from hrvlab.models.families.joint_texts import joint_layers
from hrvlab.models.families.packed import of_thousandth
from hrvlab.models.families.without_votes import REFUSED, WithoutVotes

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import nn

    from hrvlab.models.families.inputs import CallInputs
    from hrvlab.models.layers import Layer

REGISTER = Token("", "", "register", (0, 0), -1)


@dataclass(frozen=True)
class AuraFlow(WithoutVotes):
    """A family whose denoiser puts registers before the text columns."""

    def layers(self, denoiser: nn.Module) -> list[Layer]:
        """List the layers of joint attention in forward order: double blocks, then single ones."""
        config: Any = denoiser.config
        names = [
            (block, f"{path}_transformer_blocks.{n}.attn")
            for block, path, count in (
                ("double", "joint", config.num_mmdit_layers),
                ("single", "single", config.num_single_dit_layers),
            )
            for n in range(count)
        ]
        return joint_layers(denoiser, names, config.patch_size, first=True)

    def inputs(
        self, denoiser: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> CallInputs:
        """Return what a denoiser is given in a call, by position or by name."""
        inputs = super().inputs(denoiser, args, kwargs)
        return inputs._replace(columns=_registers(denoiser) + inputs.states.shape[1])

    def token_table(self, pipe: DiffusionPipeline, prompt: str, **how: Any) -> list[Token]:
        """Tabulate the registers, then T5's columns, padding included."""
        registers = [REGISTER] * _registers(self.denoiser(pipe))
        return registers + super().token_table(pipe, prompt, **how)

    def scheduler_timestep(self, pipe: DiffusionPipeline, given: float) -> float:
        """Return the scheduler's timestep, of which the denoiser is given a thousandth, rounded."""
        return of_thousandth(pipe, given)


def _registers(denoiser: Any) -> int:
    return int(denoiser.register_tokens.shape[1])


AURA_FLOW = AuraFlow(
    "AuraFlow",
    ("AuraFlowPipeline",),
    encoders=(("tokenizer", "text_encoder"),),
    denoisers=("AuraFlowTransformer2DModel",),
    component="transformer",
    sample="hidden_states",
    by_mode=True,
    transforms=True,
    refused=REFUSED,
    words="eight registers, then T5's tokens, 256; padding, whose states are zeros, is read",
    tested="random pipelines, against explicit maps",
)
