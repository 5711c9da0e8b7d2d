"""Words that are encoded one by one, and the sink from the empty prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hrvlab.errors import ModelError

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor

    from hrvlab.models.columns import TokenKind
    from hrvlab.models.families.family import Family

AT_ONCE = 16  # words: large encoders take gigabytes for a batch at full length


def encode_alone(
    family: Family,
    pipe: DiffusionPipeline,
    words: Sequence[str],
    sink: TokenKind,
    *,
    encoder: str = "",
    **how: Any,
) -> dict[str, Any]:
    """Encode each word alone, and the sink, in the same way as the prompts of the denoiser.

    Parameters
    ----------
    family : Family
    pipe : diffusers.DiffusionPipeline
    words : sequence of str
    sink : str
        The kind of the empty prompt's token that takes part in votes beside all words.
    encoder : str
        The text encoder whose columns are taken, see `Token`.
    **how
        From the family's `encoding`.

    Returns
    -------
    dict of str to object
        ``start``, ``content`` and ``columns`` of `WordEncodings`.

    Raises
    ------
    ModelError
        If the tokenizer reads a text without such a token.
    """
    texts = ["", *words]
    states: list[Tensor] = []
    columns: list[int] = []
    for first in range(0, len(texts), AT_ONCE):
        some = texts[first : first + AT_ONCE]
        for text, row in zip(some, family.encode(pipe, some, **how), strict=True):
            wanted: TokenKind = "content" if states else sink
            table = enumerate(family.token_table(pipe, text, **how))
            own = [n for n, token in table if (token.kind, token.encoder) == (wanted, encoder)]
            if not own:
                raise ModelError(
                    f"the tokenizer reads {text!r} without a token of its {wanted}, which "
                    "votes need"
                )
            states.append(row[own])
            columns.append(own[0])
    return {"start": states[0][0], "content": states[1:], "columns": (columns[0], columns[1])}
