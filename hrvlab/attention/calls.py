"""The context of a hook, a denoiser call, and the interfaces of taps and edits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from torch import Tensor

if TYPE_CHECKING:
    import torch
    from diffusers.models.attention_processor import Attention

    from hrvlab.attention.carried import DrawnSlots, WordAttention, WordSlots
    from hrvlab.attention.kernel import TextSoftmax
    from hrvlab.models.layers import Layer


@dataclass(frozen=True)
class Rows:
    """The rows of a denoiser's batch that are conditioned on prompts.

    Parameters
    ----------
    conditional : slice
    prompts : tuple of int
        For each of those rows, the number of its prompt among the session's prompts; all 0 if the
        session was given none.
    passes : int
        How often these rows follow one another in the batch; 2 with perturbed-attention guidance,
        whose second pass is the same model with perturbed self-attention.
    """

    conditional: slice
    prompts: tuple[int, ...]
    passes: int = 1

    @property
    def edited(self) -> slice:
        """The rows that edits act on: every pass of the prompts through the denoiser."""
        start = self.conditional.start
        return slice(start, start + self.passes * len(self.prompts))


@dataclass(frozen=True)
class Call:
    """A call of the denoiser that has conditional rows.

    Parameters
    ----------
    index : int
        Its number within the generation, from 0.
    scheduler_timestep : float
        The scheduler's timestep; with some schedulers, two calls share one timestep.
    rows : Rows
        The same object as long as the text states are the same.
    latent_size : tuple of int
        Height and width of the latents.
    calls, steps : int or None
        How many calls and steps the whole generation makes; None: the run does not show it.
    key_bias : Tensor or None, shape (sample, token)
        What the denoiser adds to the conditional rows' attention scores, by column, before the
        softmax; None: no column is masked.
    columns : int
        How many text columns the denoiser is given.
    pixels : int or None
        How many positions are the image's, if the denoiser adds others to them.
    lengths : tuple of int or None
        How many text columns each row has, if not all have as many; the image follows them.
    observed : bool
        Whether taps see it; False: it runs beside a step's own call, as a perturbed model for
        guidance, in which edits act too.
    """

    index: int
    scheduler_timestep: float
    rows: Rows
    latent_size: tuple[int, int]
    calls: int | None
    steps: int | None
    key_bias: Tensor | None = None
    columns: int = 0
    pixels: int | None = None
    lengths: tuple[int, ...] | None = None
    observed: bool = True

    @property
    def conditional(self) -> slice:
        """The rows of the denoiser's batch that are conditioned on the prompts."""
        return self.rows.conditional

    @property
    def samples(self) -> int:
        """Number of those rows."""
        return len(self.rows.prompts)


@dataclass
class Now:
    """What runs now.

    Parameters
    ----------
    call : Call or None
        The denoiser call; None: none of its rows is conditional.
    """

    call: Call | None = None


# Maps the states of one projection in one call to the states that replace them.
Hook = Callable[[Call, Tensor], Tensor]


class BoundEdit(Protocol):
    """An intervention bound to the prompts and the model that it acts on."""

    def check(self, call: Call) -> None:
        """Check a generation's first call, before any hook runs.

        Raises
        ------
        ParameterError
            If the edit does not fit the generation.
        """

    def hooks(self, layer: Layer) -> Mapping[str, Hook]:
        """Return the hooks of a layer's transformer block.

        Keys name projections of its self- and cross-attention: ``"attn1.to_q"``, ``"attn2.to_v"``
        and so on, whose output is changed, or ``"attn2.to_out.0"``, whose input is changed.
        """


class Tap(Protocol):
    """An observer of cross-attention; it never changes the output."""

    def begin(self, layers: Sequence[Layer], modules: Sequence[Attention]) -> None:
        """Prepare for a generation, before any hook is in place."""

    def observe(self, call: Call, layer: Layer, query: Tensor, key: Tensor, scale: float) -> None:
        """Read the queries and keys of one layer in one call, as its projections gave them.

        Parameters
        ----------
        call : Call
        layer : Layer
        query : Tensor, shape (row, position, head * dim)
            Of all rows of the denoiser's batch, also those that are not conditional.
        key : Tensor, shape (row, token, head * dim)
        scale : float
            Of the attention scores, before the softmax.
        """


@runtime_checkable
class JointTap(Tap, Protocol):
    """An observer of joint attention too."""

    def observe_joint(self, call: Call, layer: Layer, text: TextSoftmax) -> None:
        """Read what the image's positions give to the text columns in one layer and call."""


@runtime_checkable
class CarryingTap(Tap, Protocol):
    """An observer that has words carried through joint attention, beside the prompt."""

    @property
    def slots(self) -> WordSlots:
        """The columns of the words."""

    def draw_slots(self, call: Call, device: torch.device) -> DrawnSlots:
        """Draw the words of a call."""

    def observe_words(self, call: Call, layer: Layer, words: WordAttention) -> None:
        """Read what the image and the words have in one layer and call."""


@dataclass(frozen=True)
class Unedited:
    """A tap that observes queries and keys as they are before the edits of its attach.

    Parameters
    ----------
    tap : Tap
    """

    tap: Tap
