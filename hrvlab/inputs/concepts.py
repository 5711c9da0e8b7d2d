"""Concept sets: names and their words, read from YAML and encoded by a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hrvlab.errors import ConceptError
from hrvlab.inputs.sources import find_source
from hrvlab.inputs.texts import read_text
from hrvlab.inputs.yaml_texts import load_yaml
from hrvlab.paths import user_path

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.models.families import WordEncodings


@dataclass(frozen=True)
class ConceptSet:
    """Visual concepts, each with the words that stand for it; their order is significant.

    Parameters
    ----------
    names : tuple of str
    words : tuple of tuple of str
        The words of each concept.

    Raises
    ------
    ConceptError
        If there is no concept, a concept has no name or no words, a word is not a text, or a name,
        or a word of one concept, occurs twice.

    Examples
    --------
    >>> concepts = hl.ConceptSet.from_dict({"Color": ["red", "blue"], "Animals": ["cat"]})
    >>> concepts.names
    ('Color', 'Animals')
    >>> hl.ConceptSet.read("published").names[:3]
    ('Animals', 'Plants', 'Fruits and Vegetables')
    """

    names: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        if not self.names:
            raise ConceptError("the concept set is empty; give at least one concept with words")
        if twice := sorted({name for name in self.names if self.names.count(name) > 1}):
            raise ConceptError(
                f"{', '.join(twice)} is given more than once; name each concept once"
            )
        for name, words in zip(self.names, self.words, strict=True):
            if not name.strip():
                raise ConceptError(f"a concept is named {name!r}; give each a name with letters")
            if not words:
                raise ConceptError(f"the concept {name!r} has no words; give at least one")
            for word in words:
                if not isinstance(word, str) or not word.strip():
                    raise ConceptError(
                        f"the concept {name!r} has the word {word!r}, which is not a text; "
                        "put quotes around numbers, yes and no"
                    )
            twice = sorted({word for word in words if words.count(word) > 1})
            if twice:
                raise ConceptError(f"the concept {name!r} has {', '.join(twice)} more than once")

    @classmethod
    def from_dict(cls, concepts: Mapping[str, Sequence[str]]) -> ConceptSet:
        """Build a concept set from names and their words.

        Raises
        ------
        ConceptError
            If a concept's words are not a list, or for any reason that the class lists.
        """
        for name, words in concepts.items():
            if isinstance(words, str) or not isinstance(words, Sequence):
                raise ConceptError(f"the concept {name!r} must have a list of words, got {words!r}")
        return cls(tuple(map(str, concepts)), tuple(tuple(words) for words in concepts.values()))

    @classmethod
    def read(cls, source: str | Path) -> ConceptSet:
        """Read a concept set from a YAML file with a ``concepts`` mapping.

        Parameters
        ----------
        source : str or Path
            A file, or the name of a shipped set: ``"miniature"``, ``"published"``.

        Raises
        ------
        ConceptError
            If there is no such set, or it has another form.
        """
        path = find_source("concepts", source, error=ConceptError)
        try:
            content = load_yaml(read_text(path, error=ConceptError))
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise ConceptError(f"{path.name} is not valid YAML: {reason}") from error
        if not isinstance(content, dict) or not isinstance(content.get("concepts"), dict):
            raise ConceptError(
                f"{path.name} needs a mapping 'concepts' of names to lists of words, such as "
                "concepts: {Color: [red, blue]}"
            )
        return cls.from_dict(content["concepts"])

    def write(self, path: str | Path) -> None:
        """Write the set to a YAML file that `read` can read."""
        content = {"concepts": self.to_dict()}
        text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, allow_unicode=True)
        user_path(path).write_text(text, encoding="utf-8")

    def to_dict(self) -> dict[str, list[str]]:
        """Return the concepts as a mapping of names to words."""
        return {name: list(words) for name, words in zip(self.names, self.words, strict=True)}

    def check_order(self, stored: Iterable[object]) -> None:
        """Check that votes are for these concepts in this order, which decides the words drawn.

        Parameters
        ----------
        stored : iterable of str
            Names of concepts, as the votes have them.

        Raises
        ------
        ConceptError
            If the order differs.
        """
        names = [str(name) for name in stored]
        if names != list(self.names):
            raise ConceptError(
                f"the store holds votes for these concepts in the order {', '.join(names)}, under "
                "which other words are drawn; keep that order, or use another store"
            )

    def encode(self, pipe: DiffusionPipeline, **how: Any) -> WordEncodings:
        """Encode every word alone with the model's text encoder, concept by concept.

        Parameters
        ----------
        pipe : diffusers.DiffusionPipeline
        **how
            Keywords of its own ``encode_prompt``: ``clip_skip``, ``lora_scale``.
        """
        # Imported here because reading concepts must not take the seconds that diffusers takes.
        from hrvlab.models.families import family_of

        words = [word for words in self.words for word in words]
        return family_of(pipe).encode_words(pipe, words, **how)
