"""Words that a model does not know: a small model lists the words that it was trained on."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from hrvlab.errors import UnknownWordsWarning
from hrvlab.paths import MINIATURE, data_path

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

WORDS = "words.txt"
NEAREST = 3  # known words named for an unknown one
SIMILARITY = 0.5  # of difflib, that they have at least
# Letters, or one digit: what CLIP's tokenizer splits a text into before anything else.
PIECE = re.compile(r"[^\W\d_]+|\d")


def read_known_words(folder: Path | None = None) -> list[str]:
    """Read the words that a model lists as known.

    Parameters
    ----------
    folder : Path, optional
        The model's folder; by default the miniature's.

    Returns
    -------
    list of str
        Empty if the model has no such list.

    Examples
    --------
    >>> from hrvlab.models.known_words import read_known_words
    >>> "butterfly" in read_known_words()
    True
    """
    return list(_read((folder or data_path(MINIATURE)) / WORDS))


@lru_cache(maxsize=8)
def _read(path: Path) -> tuple[str, ...]:
    return tuple(path.read_text(encoding="utf-8").split()) if path.is_file() else ()


def unknown_words(prompts: Sequence[str], known: Collection[str]) -> dict[str, list[str]]:
    """Find the words of prompts that are not known, and known ones that are spelled alike.

    Parameters
    ----------
    prompts : sequence of str
    known : collection of str
        Case and hyphens do not count.

    Returns
    -------
    dict of str to list of str
        For every unknown word, in order of appearance, up to three known ones, the nearest first.

    Examples
    --------
    >>> from hrvlab.models.known_words import unknown_words
    >>> unknown_words(["a red moose"], ["a", "red", "mouse", "house"])
    {'moose': ['mouse', 'house']}
    """
    pieces = {piece for word in known for piece in PIECE.findall(word.lower())}
    found = dict.fromkeys(piece for text in prompts for piece in PIECE.findall(text.lower()))
    return {
        word: difflib.get_close_matches(word, sorted(known), NEAREST, SIMILARITY)
        for word in found
        if word not in pieces
    }


def warn_of_unknown_words(pipe: DiffusionPipeline, prompts: Sequence[str]) -> None:
    """Warn once of the words of prompts that a model does not know, if it lists those it knows.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    prompts : sequence of str

    Warns
    -----
    UnknownWordsWarning
        With the unknown words, and the nearest known ones.
    """
    folder = getattr(pipe.config, "_name_or_path", None)
    known = read_known_words(Path(folder)) if folder else []
    unknown = unknown_words(prompts, known) if known else {}
    if not unknown:
        return
    named = [f"{word!r}" + _nearest(alike) for word, alike in unknown.items()]
    warnings.warn(
        f"the model was not trained on {', '.join(named)}, so images will not show it; "
        f"hrvlab model words lists the {len(known)} words that the miniature knows",
        UnknownWordsWarning,
        stacklevel=3,
    )


def _nearest(alike: list[str]) -> str:
    return f" (spelled alike: {', '.join(alike)})" if alike else ""
