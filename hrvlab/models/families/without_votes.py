"""Families with joint attention in which concept words have no votes yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hrvlab.models.families.joint_texts import JointTexts

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

    from hrvlab.models.families.encodings import WordEncodings
    from hrvlab.models.families.family import Method

REFUSED: dict[Method, str] = {
    "attention injection": (
        "text and image are queries and keys of one softmax, and the columns of two prompts do not "
        "correspond to each other"
    ),
    "attention excitation": (
        "its layers, and its softmax over the words after a start token, are defined for UNets "
        "with CLIP's text encoders"
    ),
    "swapping text states": "the state of a word depends on the other words of its text",
    "votes": "the keys of words change with the image, so that a word alone has no key",
}


@dataclass(frozen=True)
class WithoutVotes(JointTexts):
    """A family whose heads are read and edited, and do not vote."""

    def encode_words(
        self, pipe: DiffusionPipeline, words: Sequence[str], **how: Any
    ) -> WordEncodings:
        """Refuse to encode words alone.

        Raises
        ------
        ModelError
            With the reason.
        """
        self.check_method("votes")
        raise NotImplementedError
