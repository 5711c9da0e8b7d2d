"""Votes in joint attention, where words are carried beside the prompt to have keys at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from hrvlab.attention.carried import WordSlots
from hrvlab.attention.counting import VoteCount
from hrvlab.attention.kernel import AT_ONCE
from hrvlab.attention.voting import PUBLISHED_RULE, ConceptVotes
from hrvlab.errors import CoverageError, ModelError

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention
    from numpy.typing import NDArray
    from torch import Tensor

    from hrvlab.attention.calls import Call
    from hrvlab.attention.carried import DrawnSlots, WordAttention
    from hrvlab.attention.voting import VotingRule
    from hrvlab.models.families import WordEncodings
    from hrvlab.models.layers import Layer
    from hrvlab.typing import Votes

Draw = Callable[[int, int, int], "NDArray[np.int64]"]


class PassiveVotes:
    """The votes of every head of joint attention, in every call, as `ConceptVotes` counts them.

    A word's keys depend on the image and on all layers before, so that one word per concept is
    drawn for each sample and call, for all layers. The words pass through the denoiser's blocks
    beside the prompt: a word's tokens read their own word, the sink and the image, and nothing
    reads them, so that the image is bit for bit the same. Each head's attention is the softmax over
    the sink and the words, of the image's queries; then votes are counted as published.

    Parameters
    ----------
    words, words_per_concept, draw, voting_rule
        See `ConceptVotes`; words are drawn for one layer.
    """

    def __init__(
        self,
        words: WordEncodings,
        words_per_concept: Sequence[int],
        draw: Draw,
        voting_rule: VotingRule = PUBLISHED_RULE,
    ) -> None:
        if words.carrier is None:
            raise ModelError("a word alone has keys in this model; count votes by ConceptVotes")
        self.slots = WordSlots(words, words_per_concept, start=voting_rule.start)
        self._draw, self._rule = draw, voting_rule

    def begin(self, layers: Sequence[Layer], modules: Sequence[Attention]) -> None:
        """Start an empty count."""
        self._count = VoteCount(mass=self._rule.mass)
        self._heads = sum(layer.heads for layer in layers)
        self._layers, self._left = len(layers), 0

    def observe(self, call: Call, layer: Layer, query: Tensor, key: Tensor, scale: float) -> None:
        """Refuse to read cross-attention.

        Raises
        ------
        ModelError
        """
        raise ModelError("words are carried through joint attention only; use ConceptVotes")

    def draw_slots(self, call: Call, device: torch.device) -> DrawnSlots:
        """Draw the words of a call."""
        (drawn,) = self._draw(call.index, 1, call.samples)
        words = self.slots.look_up(drawn, device)
        concepts = words.weights.shape[-1]
        self._weights = words.weights
        self._inside = None if words.filled else words.full
        self._mass = torch.empty(1, call.samples, self._heads, concepts, device=device)
        self._left = self._layers
        return words

    def observe_words(self, call: Call, layer: Layer, words: WordAttention) -> None:
        """Compute the attention of a layer's heads to the concepts; after all layers, vote."""
        means = mean_attention(words, self._inside, output=self._rule.space == "output")
        self._mass[0, :, layer.head_positions] = torch.matmul(means, self._weights)
        self._left -= 1
        if not self._left:
            self._count.add(self._mass)

    def result(self) -> tuple[Votes, Votes]:
        """Return the votes by sample and by call, as `ConceptVotes.result` does."""
        if self._left:
            raise CoverageError(f"words did not pass {self._left} of the layers")
        return self._count.result()


def word_scores(words: WordAttention, heads: slice, *, output: bool) -> Tensor:
    """Compute the scores of words at every position of the image.

    Parameters
    ----------
    words : WordAttention
    heads : slice
    output : bool
        Whether they are products of what image and words have read in a head, as ConceptAttention
        (arXiv 2502.04320) sums over heads; else those of queries and keys, as in attention.

    Returns
    -------
    Tensor of float32, or of float64 for such states, shape (sample, head, position, column)
    """
    dtype = torch.promote_types(words.query.dtype, torch.float32)
    if output:
        seen, read = (states[:, heads].to(dtype) for states in (words.seen, words.read))
        return torch.matmul(seen, read.mT)
    key = words.key[:, heads].to(dtype) * words.scale
    return torch.matmul(words.query[:, heads].to(dtype), key.mT)


def mean_attention(words: WordAttention, inside: Tensor | None, *, output: bool) -> Tensor:
    """Compute the mean over positions of the softmax over the columns of words.

    Parameters
    ----------
    words : WordAttention
    inside : Tensor of bool, shape (sample, column), or None
        Which columns take part; None: all.
    output : bool
        See `word_scores`.

    Returns
    -------
    Tensor of float32, shape (sample, head, column)
    """
    samples, heads, positions, _ = words.query.shape
    step = max(1, AT_ONCE // (samples * positions * words.key.shape[2]))
    outside = None if inside is None else inside.logical_not()[:, None, None]
    means = []
    for first in range(0, heads, step):
        scores = word_scores(words, slice(first, first + step), output=output)
        if outside is not None:
            scores.masked_fill_(outside, -torch.inf)
        means.append(scores.softmax(dim=-1).mean(dim=2))
    return torch.cat(means, dim=1).float()


def concept_votes(
    words: WordEncodings,
    words_per_concept: Sequence[int],
    draw: Draw,
    voting_rule: VotingRule = PUBLISHED_RULE,
) -> ConceptVotes | PassiveVotes:
    """Return the tap that counts votes in a model of the words' family.

    Parameters
    ----------
    words, words_per_concept, draw, voting_rule
        See `ConceptVotes`.
    """
    kind = ConceptVotes if words.carrier is None else PassiveVotes
    return kind(words, words_per_concept, draw, voting_rule)
