"""A pool of recorded queries: ask heads about words, without the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.errors import ConceptError
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.relevance.similarity import concept_similarity
from hrvlab.reservoir.asking import cast_votes
from hrvlab.reservoir.estimates import estimate_relevance
from hrvlab.reservoir.groups import from_text
from hrvlab.reservoir.head_words import rank_words, vote_for_words
from hrvlab.reservoir.kernel import correction_factor
from hrvlab.reservoir.keymaps import KeyMaps, Norm
from hrvlab.reservoir.questions import head_position, states_of, with_rivals, words_of
from hrvlab.reservoir.vocabulary import unique
from hrvlab.storage.shards import Shards

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.inputs.concepts import ConceptSet
    from hrvlab.reservoir.groups import LayerGroup
    from hrvlab.reservoir.questions import Concepts


@dataclass(frozen=True)
class Pool:
    """Queries that were recorded once, and what is needed to ask about words later.

    Parameters
    ----------
    data : xarray.Dataset
        Prompts, calls, heads, and the vocabulary with its states.
    folder : Path
        Of the recording's plan; may be moved and shared.
    pipe : diffusers.DiffusionPipeline, optional
        The model, which encodes words beyond the vocabulary.
    """

    data: xr.Dataset
    folder: Path
    pipe: DiffusionPipeline | None = None

    @property
    def groups(self) -> list[LayerGroup]:
        """The layers that are alike, whose queries are one array."""
        return from_text(self.data.attrs["groups"])

    @property
    def key_maps(self) -> KeyMaps:
        """The projections of keys."""
        norms = [Norm(**one) for one in json.loads(self.data.attrs["norms"])]
        return KeyMaps(self.data, norms)

    def relevance(self, concepts: Concepts, *, against: Concepts | None = None) -> xr.DataArray:
        """Estimate Head Relevance Vectors of concepts, as votes among them and rivals would give.

        Parameters
        ----------
        concepts : ConceptSet or mapping of str to sequence of str
            Names and words.
        against : ConceptSet or mapping of str to sequence of str, optional
            Rivals, such as `hrvlab.shipped_concepts()`, among which the concepts stand; one of the
            same name is left out. Default: the concepts are each other's rivals.

        Returns
        -------
        xarray.DataArray
            Dims ``(concept, head_position)``, of ``concepts`` alone; rows sum to the number of head
            positions. Coordinates: ``low`` and ``high``, ends of 95 % intervals over prompts, which
            include the error that sampling adds, and ``votes``, the sampled votes of each concept.

        Raises
        ------
        ConceptError
            If there is a single concept, a word is not in the vocabulary, or a concept got no vote.
        """
        own, every = with_rivals(concepts, against)
        rivals = len(every.names) - len(own.names)
        asked = range(rivals, len(every.names))
        votes = self._votes(every, asked)
        timesteps = self.data.sizes["timestep"]
        estimate = estimate_relevance(votes, timesteps=timesteps)
        totals = timesteps * votes[0].sum(axis=(0, 1), dtype=np.float64)
        if empty := [name for name, total in zip(own.names, totals, strict=True) if total <= 0]:
            raise ConceptError(
                f"no head voted for {', '.join(empty)} among {len(every.names)} concepts; use "
                "other words or fewer rivals"
            )
        dims = ("concept", "head_position")
        heads = [name for name, one in self.data.coords.items() if one.dims == ("head_position",)]
        return xr.DataArray(
            estimate.value,
            dims=dims,
            coords={
                "concept": list(own.names),
                **{name: self.data[name] for name in heads},
                "votes": ("concept", np.round(totals).astype(np.int64)),
                "low": (dims, estimate.low),
                "high": (dims, estimate.high),
            },
            name="relevance",
            attrs={**_provenance(self.data), "schema": "relevance"},
        )

    def _votes(self, concepts: ConceptSet, asked: Sequence[int]) -> NDArray[np.float32]:
        return cast_votes(
            Shards(self.folder),
            self.groups,
            self.key_maps,
            words_of(self.data, concepts, self.pipe),
            list(asked),
            seed=int(self.data.attrs["seed"]),
            head_positions=self.data.sizes["head_position"],
        )

    def heads_of(self, word: str | Concepts, *, against: Concepts, count: int = 10) -> xr.Dataset:
        """Rank the heads that look at a word or a concept, by its relevance among rivals.

        Parameters
        ----------
        word : str, or a single concept as ConceptSet or mapping
            A word is a concept of itself alone.
        against : ConceptSet or mapping of str to sequence of str
            Rivals, such as `hrvlab.shipped_concepts()`.
        count : int
            The number of heads.

        Returns
        -------
        xarray.Dataset
            Dim ``rank``: ``head_position``, ``label``, ``relevance``, and the ends ``low`` and
            ``high`` of its 95 % interval.

        Raises
        ------
        ConceptError
            If more than one concept is given, or as `relevance` does.
        """
        concept = {word: [word]} if isinstance(word, str) else word
        vector = self.relevance(_single(concept), against=against).isel(concept=0)
        top = vector.isel(head_position=np.argsort(-vector.values, kind="stable")[:count])
        names = ("label", "low", "high", "head_position")
        columns = {name: ("rank", top[name].values) for name in names}
        return xr.Dataset({"relevance": ("rank", top.values), **columns})

    def head_words(
        self, head: str | int, vocabulary: Sequence[str] | None = None, *, count: int = 20
    ) -> xr.Dataset:
        """Rank the words that would win a head's vote most often, if each stood for itself.

        All words take part in one softmax with the sink.

        Parameters
        ----------
        head : str or int
            Its label, such as ``"up, layer: 8, head: 0"``, or its position.
        vocabulary : sequence of str, optional
            Default: all words of the pool that the model knows.
        count : int
            The number of words.

        Returns
        -------
        xarray.Dataset
            Dim ``rank``: ``word``; ``share`` of the head's votes, with the ends ``low`` and
            ``high`` of a 95 % interval over prompts; ``attention``, the mean attention to the word.

        Raises
        ------
        ParameterError
            If there is no such head.
        ConceptError
            If a word is not in the vocabulary of the pool, and there is no model to encode it.
        """
        position = head_position(self.data, head)
        known = self.data["word"].values[self.data["known"].values]
        words = unique(known.tolist() if vocabulary is None else vocabulary)
        if len(words) < 2:
            raise ConceptError("votes are cast among words; give at least two")
        states, tokens = states_of(self.data, words, self.pipe)
        group, layer = next(
            (group, number)
            for group in self.groups
            for number, start in enumerate(group.starts)
            if start <= position < start + group.heads
        )
        own = position - group.starts[layer]
        keys = self.key_maps.keys_of_layer(group, layer, states)[own]
        queries = Shards(self.folder).read(group.queries, slice(None), slice(None), layer, own)
        factor = correction_factor(group.positions, group.kept)
        votes = vote_for_words(queries, keys, tokens, parts=2 if factor else 1)
        ranked = rank_words(votes, factor, count)
        return xr.Dataset(
            {
                "word": ("rank", np.array(words)[ranked.words]),
                "share": ("rank", ranked.share),
                "low": ("rank", ranked.low),
                "high": ("rank", ranked.high),
                "attention": ("rank", votes.attention[ranked.words]),
            },
            attrs={"head": self.data["label"].values[position].item()},
        )

    def nearest(self, concept: Concepts, *, against: Concepts, count: int = 5) -> xr.Dataset:
        """Rank concepts by how similar their vectors are to that of one concept.

        Parameters
        ----------
        concept : ConceptSet or mapping of str to sequence of str
            Name and words of a single concept.
        against : ConceptSet or mapping of str to sequence of str
            Its rivals, which are ranked.
        count : int
            The number of rivals.

        Returns
        -------
        xarray.Dataset
            Dim ``rank``: ``concept``, and the ``cosine`` of its vector with the concept's.

        Raises
        ------
        ConceptError
            If more than one concept is given, or as `relevance` does.
        """
        _, every = with_rivals(_single(concept), against)
        vectors = self.relevance(every)
        *rivals, mine = concept_similarity(vectors).values[-1]
        order = np.argsort(-np.array(rivals), kind="stable")[:count]
        names = np.array(every.names)[order]
        return xr.Dataset(
            {"concept": ("rank", names), "cosine": ("rank", np.array(rivals)[order] / mine)}
        )


def _single(concepts: Concepts) -> Concepts:
    """Return a concept, after checking that it is one."""
    names = concepts.names if isinstance(concepts, ConceptSet) else list(concepts)
    if len(names) != 1:
        raise ConceptError(f"{', '.join(names) or 'nothing'} is not a single concept; give one")
    return concepts


def _provenance(data: xr.Dataset) -> dict[str, object]:
    """Return the attributes of a pool that also hold for what is estimated from it."""
    own = ("groups", "norms", "how")
    return {str(name): value for name, value in data.attrs.items() if name not in own}
