"""Questions to a pool: concepts with their rivals, and the states of their words."""

from __future__ import annotations

import difflib
import json
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.errors import ConceptError, ParameterError, UnknownWordsWarning
from hrvlab.inputs.concepts import ConceptSet
from hrvlab.paths import MINIATURE
from hrvlab.reservoir.asking import Words
from hrvlab.reservoir.vocabulary import unique

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

NEAREST = 3  # words of the vocabulary named for one that it lacks
Concepts = ConceptSet | Mapping[str, Sequence[str]]


def with_rivals(concepts: Concepts, against: Concepts | None) -> tuple[ConceptSet, ConceptSet]:
    """Return concepts, and the set in which they come last, after their rivals.

    Parameters
    ----------
    concepts, against : ConceptSet or mapping of str to sequence of str
        A rival of the same name as a concept is left out.

    Raises
    ------
    ConceptError
        If a single concept has no rival.
    """
    own, others = (
        one if isinstance(one, ConceptSet) else ConceptSet.from_dict(one or {})
        for one in (concepts, concepts if against is None else against)
    )
    rivals = {name: words for name, words in others.to_dict().items() if name not in own.names}
    every = ConceptSet.from_dict({**rivals, **own.to_dict()})
    if len(every.names) < 2:
        raise ConceptError(
            f"votes are cast among concepts, and {own.names[0]!r} alone would get all of them; "
            "name rivals, as in against=hl.shipped_concepts()"
        )
    return own, every


def parse_concept(text: str) -> dict[str, list[str]]:
    """Parse a concept as people write it: its name, a colon, and its words, or words alone.

    Parameters
    ----------
    text : str

    Returns
    -------
    dict of str to list of str
        The words by the name; without one, the text is the name.

    Raises
    ------
    ConceptError
        If there is no word.

    Examples
    --------
    >>> parse_concept("Metal: gold, silver"), parse_concept("rust")
    ({'Metal': ['gold', 'silver']}, {'rust': ['rust']})
    """
    name, colon, words = text.partition(":")
    listed = [word.strip() for word in (words if colon else text).split(",")]
    if not name.strip() or not any(listed):
        raise ConceptError(
            f"cannot read the concept {text!r}; give its name and its words, as in "
            "'Metal: gold, silver, bronze', or a word"
        )
    return {name.strip() if colon else text.strip(): unique(filter(None, listed))}


def usual_rivals(data: xr.Dataset) -> str:
    """Return the name of the shipped concepts that are rivals where none are named.

    The published ones; or, if the model lists the words that it knows, those of its world.
    """
    return "published" if data["known"].values.all() else MINIATURE


def head_position(data: xr.Dataset, head: str | int) -> int:
    """Return the position of a head that is given by its label or its position.

    Raises
    ------
    ParameterError
        If there is none.
    """
    labels = data["label"].values.tolist()
    if isinstance(head, str) and head in labels:
        return labels.index(head)
    if not isinstance(head, str) and 0 <= head < len(labels):
        return int(head)
    raise ParameterError(
        f"there is no head {head!r}; give a label such as {labels[0]!r} or {labels[-1]!r}, or a "
        f"position from 0 to {len(labels) - 1}"
    )


def words_of(data: xr.Dataset, concepts: ConceptSet, pipe: DiffusionPipeline | None) -> Words:
    """Return the words of concepts with their states.

    Parameters
    ----------
    data : xarray.Dataset
        Of the pool.
    concepts : ConceptSet
    pipe : diffusers.DiffusionPipeline or None

    Raises
    ------
    ConceptError
        See `states_of`.
    """
    words = unique(word for own in concepts.words for word in own)
    number = {word: at for at, word in enumerate(words)}
    states, tokens = states_of(data, words, pipe)
    of_concepts = tuple(tuple(number[word] for word in own) for own in concepts.words)
    return Words(states, tokens, of_concepts)


def states_of(
    data: xr.Dataset, words: Sequence[str], pipe: DiffusionPipeline | None
) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """Return the text states of words: those of the vocabulary, or encoded by the model.

    Parameters
    ----------
    data : xarray.Dataset
        Of the pool.
    words : sequence of str
    pipe : diffusers.DiffusionPipeline or None

    Returns
    -------
    states : ndarray of float16, shape (row, state)
        The sink's, then those of each word's tokens.
    tokens : ndarray of int, shape (word,)

    Raises
    ------
    ConceptError
        If a word is not in the vocabulary, and there is no model to encode it.
    """
    vocabulary = data["word"].values.tolist()
    place = {word: at for at, word in enumerate(vocabulary)}
    lengths, states = data["tokens"].values, data["states"].values
    ends = 1 + lengths.cumsum()
    beyond = [word for word in words if word not in place]
    encoded = _encode(data, beyond, vocabulary, pipe) if beyond else {}
    known = data["known"].values
    if unknown := [word for word in words if word in place and not known[place[word]]]:
        warnings.warn(
            f"the model was not trained on {', '.join(map(repr, unknown))}, so that it means "
            "little what heads read of it",
            UnknownWordsWarning,
            stacklevel=5,
        )
    rows = [
        encoded[word]
        if word in encoded
        else states[ends[place[word]] - lengths[place[word]] : ends[place[word]]]
        for word in words
    ]
    return np.concatenate([states[:1], *rows]), np.array([len(own) for own in rows])


def _encode(
    data: xr.Dataset,
    words: Sequence[str],
    vocabulary: Sequence[str],
    pipe: DiffusionPipeline | None,
) -> dict[str, NDArray[np.float16]]:
    """Encode words by the model, as when the pool was recorded."""
    if pipe is None:
        near = unique(
            alike
            for word in words
            for alike in difflib.get_close_matches(word, vocabulary, NEAREST)
        )
        also = f"; spelled alike: {', '.join(near)}" if near else ""
        raise ConceptError(
            f"the pool has no text states of {', '.join(map(repr, words))}, and words beyond its "
            "vocabulary need the model's text encoder: give the model, as in open_pool(folder, "
            f"pipe) or hrvlab ask --model{also}"
        )
    # Imported here because the vocabulary can be asked about where diffusers is not installed.
    from hrvlab.reservoir.words import encode_words

    states, tokens = encode_words(pipe, words, json.loads(data.attrs["how"]))
    own = np.split(states[1:], tokens.cumsum()[:-1])
    return dict(zip(words, own, strict=True))
