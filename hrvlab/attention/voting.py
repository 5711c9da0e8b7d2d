"""Votes of attention heads for the concepts whose words they attend to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from hrvlab.attention.counting import VoteCount
from hrvlab.attention.drawn_words import LayersAlike, WordTable
from hrvlab.errors import ModelError, ParameterError
from hrvlab.models.families.carrier import Carrier

if TYPE_CHECKING:
    from diffusers.models.attention_processor import Attention
    from numpy.typing import NDArray
    from torch import Tensor

    from hrvlab.attention.calls import Call
    from hrvlab.attention.drawn_words import DrawnWords
    from hrvlab.models.families import Family, WordEncodings
    from hrvlab.models.layers import Layer
    from hrvlab.typing import Votes


@dataclass(frozen=True)
class VotingRule:
    """A rule by which heads vote; the default is the published one.

    Parameters
    ----------
    mass : bool
        Instead of casting one vote for the concept that it attends to most, a head adds its
        attention to every concept, in millionths, so that sums stay exact.
    start : bool
        Whether the start token, or the sink in its place, takes part in the softmax.
    space : {"key", "output"}
        What a head's attention to a word is computed from: the words' keys and the image's queries;
        or, in joint attention, what the words and the image have read in that head, whose products
        are the scores of ConceptAttention (arXiv 2502.04320) once they are summed over heads.
    encoder : str
        Where several text encoders have columns of their own, the one whose columns stand for the
        words: ``"t5"`` or ``"clip"`` in Stable Diffusion 3; "": the family's default.
    """

    mass: bool = False
    start: bool = True
    space: Literal["key", "output"] = "key"
    encoder: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as it is stored; of what is newer than stored votes, only what was set.

        Examples
        --------
        >>> from hrvlab.attention import VotingRule
        >>> VotingRule(mass=True).to_dict(), VotingRule(space="output").to_dict()
        ({'mass': True, 'start': True}, {'mass': False, 'start': True, 'space': 'output'})
        """
        newer = {"space": "key", "encoder": ""}
        return {name: set_ for name, set_ in asdict(self).items() if newer.get(name) != set_}

    def check(self, family: Family) -> None:
        """Check that a family's words can be voted for in this way.

        Raises
        ------
        ParameterError
            If not, with what to leave out.
        """
        if self.space == "output" and not isinstance(family, Carrier):
            raise ParameterError(OUTPUTS)
        if self.encoder and self.encoder not in family.word_encoders:
            known = ", ".join(filter(None, family.word_encoders))
            raise ParameterError(
                f"{family.name} has no choice of a text encoder {self.encoder!r} for words; "
                + (f"give {known}" if known else "leave out encoder of the voting rule")
            )


PUBLISHED_RULE = VotingRule()
OUTPUTS = "words read nothing in cross-attention; leave out space='output' of the voting rule"

# Queries of several calls wait until they hold so many numbers: between two layers of a denoiser,
# the processor's caches hold nothing that votes need, and small operations take much longer.
WAITING = 2**20


class ConceptVotes:
    """The votes of every head, in every call, for the concept whose word it attends to most.

    For each sample, call and layer one word per concept is drawn at random. Their keys, after the
    start token's, stand in for the prompt's; each head's attention is averaged over positions, then
    over the tokens of each word, and the concept with the largest mean gets the vote (Section 3 of
    arXiv 2412.02237; ties go to the lowest index). The image is not affected.

    Parameters
    ----------
    words : WordEncodings
        All words, the first concept's first.
    words_per_concept : sequence of int
    draw : callable (call, layers, samples) -> ndarray of int, shape (layer, sample, concept)
        Draws, for each layer and sample, the number of the word of each concept.
    voting_rule : VotingRule
        By default the published one.
    """

    def __init__(
        self,
        words: WordEncodings,
        words_per_concept: Sequence[int],
        draw: Callable[[int, int, int], NDArray[np.int64]],
        voting_rule: VotingRule = PUBLISHED_RULE,
    ) -> None:
        if voting_rule.space != "key":
            raise ParameterError(OUTPUTS)
        if words.carrier is not None:
            raise ModelError("a word alone has no keys in this model; count votes by PassiveVotes")
        self._rule = voting_rule
        self._words = words
        self._draw = draw
        self._table = WordTable(words, words_per_concept, start=voting_rule.start)

    def begin(self, layers: Sequence[Layer], modules: Sequence[Attention]) -> None:
        """Group the layers whose attention can be computed together."""
        alike: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        for layer, module in zip(layers, modules, strict=True):
            alike[layer.grid, layer.heads, module.inner_kv_dim].append(layer.index)
        states = torch.cat([self._words.start[None], *self._words.content])
        self._order = [index for group in alike.values() for index in group]
        self._alike = [
            LayersAlike(
                [layers[index] for index in group],
                [modules[index] for index in group],
                states,
                self._words.through,
                self._order.index(group[0]),
            )
            for group in alike.values()
        ]
        self._heads = sum(layer.heads for layer in layers)
        self._place = {
            layer.index: (group.keys, number)
            for group in self._alike
            for number, layer in enumerate(group.layers)
        }
        self._waiting: dict[int, dict[int, Tensor]] = {}
        self._numbers = 0
        self._drawn: list[DrawnWords] = []
        self._count = VoteCount(mass=self._rule.mass)

    def observe(self, call: Call, layer: Layer, query: Tensor, key: Tensor, scale: float) -> None:
        """Keep the queries until there are enough of them to compute the votes of several calls."""
        keys, number = self._place[layer.index]
        if keys.outdated(number):
            if call.index:
                self._compute()  # the queries of earlier calls, with the keys of those calls
            keys.project(number, query.device)
        queries = query.detach()[call.conditional]
        self._waiting.setdefault(call.index, {})[layer.index] = queries
        self._numbers += queries.numel()
        # Layers report in the order they run, which is the forward order.
        if layer.index == len(self._order) - 1:
            if self._numbers >= WAITING or self._drawn:
                self._compute()
        elif self._numbers >= WAITING and len(self._waiting) == 1:
            self._compute()

    def _compute(self) -> None:
        """Compute the votes of the calls that wait; the last one may not be complete."""
        complete = [
            call for call, queries in self._waiting.items() if len(queries) == len(self._order)
        ]
        for calls in (complete, [call for call in self._waiting if call not in complete]):
            if calls:
                self._attend(calls)
        self._numbers = 0

    def _attend(self, calls: list[int]) -> None:
        """Compute heads' attention to the concepts in some calls; after all layers, vote."""
        queries = [self._waiting.pop(call) for call in calls]
        if not self._drawn:
            one = next(iter(queries[0].values()))
            drawn = np.stack([self._draw(call, len(self._order), len(one)) for call in calls])
            self._drawn = self._table.look_up(drawn[:, self._order], one.device)
            shape = (len(calls), len(one), self._heads, drawn.shape[-1])
            self._mass = torch.empty(shape, device=one.device)
            self._left = len(self._order)
        for words in self._drawn:
            of_calls = [queries[call] for call in words.calls]
            for group in self._alike:
                for layer, mass in zip(*group.attend(of_calls, words), strict=True):
                    self._mass[words.places, :, layer.head_positions] = mass
        self._left -= len(queries[0])
        if self._left:
            return
        self._drawn = []
        self._count.add(self._mass)

    def result(self) -> tuple[Votes, Votes]:
        """Return the votes by sample and by call.

        Returns
        -------
        by_sample : ndarray of int64, shape (sample, head_position, concept)
        by_call : ndarray of int64, shape (call, head_position, concept)

        Raises
        ------
        CoverageError
            If nothing was read, or the attention is not finite.
        """
        self._compute()
        return self._count.result()
