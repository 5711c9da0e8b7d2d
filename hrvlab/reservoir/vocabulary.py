"""Words that a pool can be asked about without the model's text encoder."""

from __future__ import annotations

from collections.abc import Iterable

from hrvlab.inputs.concepts import ConceptSet
from hrvlab.inputs.texts import read_text
from hrvlab.inputs.yaml_texts import load_yaml
from hrvlab.paths import data_path

SHIPPED = ("published", "miniature")


def english_words() -> list[str]:
    """Read common English nouns and adjectives.

    Returns
    -------
    list of str
        Of ``data/words/english.yaml``, which states where they are from and their license.

    Examples
    --------
    >>> from hrvlab.reservoir.vocabulary import english_words
    >>> words = english_words()
    >>> len(words) >= 2000, "rust" in words
    (True, True)
    """
    content = load_yaml(read_text(data_path("words", "english.yaml")))
    return [*content["nouns"], *content["adjectives"]]


def shipped_concepts() -> ConceptSet:
    """Read the published concepts: the rivals that votes are usually cast among.

    Examples
    --------
    >>> hl.shipped_concepts().names[:2]
    ('Animals', 'Plants')
    """
    return ConceptSet.read("published")


def shipped_vocabulary() -> list[str]:
    """List the words of all shipped concepts, and common English nouns and adjectives, once each.

    Examples
    --------
    >>> from hrvlab.reservoir.vocabulary import shipped_vocabulary
    >>> "polka-dot" in shipped_vocabulary()
    True
    """
    concepts = [ConceptSet.read(name).words for name in SHIPPED]
    return unique([*(w for words in concepts for own in words for w in own), *english_words()])


def unique(words: Iterable[str]) -> list[str]:
    """List words once each, in the order in which they first occur."""
    return list(dict.fromkeys(words))
