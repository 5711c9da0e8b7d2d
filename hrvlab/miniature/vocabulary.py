"""All words that captions of the miniature's world are made of."""

from __future__ import annotations

from hrvlab.miniature import world

GRAMMAR = (
    *("a", "an", "the", "and", "of", "on", "in", "with", "made"),
    *("photo", "painting", "style", "pattern", "day"),
)


def caption_words() -> list[str]:
    """List the words of captions.

    Returns
    -------
    list of str
        Sorted; single words, of phrases too.
    """
    phrases = [*GRAMMAR, *world.COLORS, *world.PATTERNS, *world.MATERIALS, *world.STYLES]
    phrases += [*world.WEATHERS, *world.LANDSCAPES, *world.SIZES, *world.COUNTS]
    phrases += [f"{color}-colored" for color in world.COLOR_OBJECTS]
    for each in world.OBJECTS:
        phrases += [each.word, each.cue, each.plural]
        phrases += [each.bare_plural] if each.cue != each.word else []
    return sorted({word for phrase in phrases for word in phrase.split()}, key=str.lower)
