"""The token columns of a prompt's words in its attention maps."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hrvlab.errors import TokenError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TokenKind = Literal["start", "content", "end", "padding"]
ENDS = ("⟨end⟩", "⟨padding⟩")  # parts of a prompt that are not words


@dataclass(frozen=True)
class Token:
    """A token of a prompt: one column of its attention maps.

    Parameters
    ----------
    text : str
        The token as spelled in the vocabulary.
    word : str
        The space-separated word of the prompt that it belongs to; empty outside the content.
    kind : {"start", "content", "end", "padding"}
    span : tuple of int
        Its first character in the prompt, and the one after its last; (0, 0) outside the content.
    """

    text: str
    word: str
    kind: TokenKind
    span: tuple[int, int]


def token_table(tokenizer: PreTrainedTokenizerBase, prompt: str) -> list[Token]:
    """Tabulate every token column of a prompt, padding included.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
        A fast CLIP tokenizer.
    prompt : str

    Returns
    -------
    list of Token, length ``tokenizer.model_max_length``
    """
    encoded = tokenizer(
        prompt,
        padding="max_length",
        truncation=True,
        max_length=tokenizer.model_max_length,
        return_offsets_mapping=True,
    )
    words = [(match.start(), match.end()) for match in re.finditer(r"\S+", prompt)]
    texts = tokenizer.convert_ids_to_tokens(encoded["input_ids"])
    length = sum(encoded["attention_mask"])
    table = []
    for column, (text, span) in enumerate(zip(texts, encoded["offset_mapping"], strict=True)):
        if column == 0 or column >= length - 1:
            kind: TokenKind = "start" if column == 0 else "end" if column < length else "padding"
            table.append(Token(text, "", kind, (0, 0)))
            continue
        word = next((prompt[a:b] for a, b in words if a <= span[0] < b), "")
        table.append(Token(text, word, "content", (span[0], span[1])))
    return table


def content_columns(tokenizer: PreTrainedTokenizerBase, prompt: str) -> list[int]:
    """Return the columns of all words of a prompt, without start, end and padding.

    Raises
    ------
    TokenError
        If the prompt has no words.
    """
    table = token_table(tokenizer, prompt)
    columns = [column for column, token in enumerate(table) if token.kind == "content"]
    if not columns:
        raise TokenError(f"the prompt {prompt!r} has no words; give at least one")
    return columns


def word_columns(tokenizer: PreTrainedTokenizerBase, prompt: str, word: str) -> list[int]:
    """Return the columns of all occurrences of a word or phrase.

    Letter case is ignored, and a match begins and ends at word boundaries: "rose" is found in
    "a rose-colored vase" and "a Rose.", but not in "a rosette".

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
    prompt : str
    word : str
        Also ``"⟨end⟩"`` or ``"⟨padding⟩"``, which every prompt has.

    Returns
    -------
    list of int, ascending

    Raises
    ------
    TokenError
        If the word is empty, does not occur in the prompt, or is wholly or partly truncated away.
    """
    if not word.strip():
        raise TokenError("the word is empty; give a word of the prompt")
    if word in ENDS:
        table = token_table(tokenizer, prompt)
        return [column for column, token in enumerate(table) if f"⟨{token.kind}⟩" == word]
    pattern = r"(?<!\w)" + r"\s+".join(map(re.escape, word.split())) + r"(?!\w)"
    spans = [match.span() for match in re.finditer(pattern, prompt, flags=re.IGNORECASE)]
    if not spans:
        words = ", ".join(dict.fromkeys(prompt.split()))
        raise TokenError(f"{word!r} is not a word of the prompt {prompt!r}; its words are: {words}")
    table = token_table(tokenizer, prompt)
    content = [
        (column, token.span) for column, token in enumerate(table) if token.kind == "content"
    ]
    read = content[-1][1][1] if content else 0
    if any(end > read for _, end in spans):
        raise TokenError(
            f"{word!r} lies beyond the {tokenizer.model_max_length} tokens that the model takes of "
            f"{prompt!r}; shorten the prompt"
        )
    return [c for c, (a, b) in content if any(a < end and b > start for start, end in spans)]
