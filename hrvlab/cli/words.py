"""``hrvlab model words``: list the words that the miniature knows."""

from __future__ import annotations

from hrvlab.cli.options import say
from hrvlab.models.known_words import read_known_words


def words() -> None:
    """List the words that the miniature was trained on; it knows no others."""
    for word in read_known_words():
        say(word)
