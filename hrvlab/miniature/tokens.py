"""The miniature's CLIP tokenizer, whose byte-pair merges are learned from its own captions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer

from hrvlab.miniature.dataset import captions_of
from hrvlab.miniature.world import concept_words

MAX_LENGTH = 32
START, END = "<|startoftext|>", "<|endoftext|>"
TOKENIZER = "tokenizer.json"


def kept_tokenizer(folder: Path) -> CLIPTokenizer:
    """Train the tokenizer and keep it in a working folder, or read it from an earlier run.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    CLIPTokenizer
    """
    path = folder / TOKENIZER
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        train_tokenizer().backend_tokenizer.save(str(partial))
        partial.replace(path)
    model = json.loads(path.read_text())["model"]
    return _clip_tokenizer(model["vocab"], [(one, other) for one, other in model["merges"]])


def train_tokenizer(captions: int = 20_000, merges: int = 440) -> CLIPTokenizer:
    """Train the tokenizer on captions and the concept words.

    Parameters
    ----------
    captions : int
        Training captions to learn from.
    merges : int
        Largest number of merges; single bytes and two special tokens are added to them.

    Returns
    -------
    CLIPTokenizer
    """
    texts = captions_of(np.arange(captions), np.random.default_rng(0))
    texts += [word for words in concept_words().values() for word in words] * 20
    backend = CLIPTokenizer().backend_tokenizer
    trainable = Tokenizer(BPE(end_of_word_suffix="</w>", continuing_subword_prefix=""))
    trainable.normalizer = backend.normalizer
    trainable.pre_tokenizer = backend.pre_tokenizer
    trainer = BpeTrainer(
        vocab_size=merges + 100,  # single letters count too
        special_tokens=[START, END],
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    trainable.train_from_iterator(texts, trainer)
    pairs = [(one, other) for one, other in json.loads(trainable.to_str())["model"]["merges"]]
    # CLIP's order: every byte, every byte at the end of a word, the merges, the special tokens.
    bytes_ = sorted(ByteLevel.alphabet())
    tokens = [*bytes_, *(f"{byte}</w>" for byte in bytes_), *("".join(pair) for pair in pairs)]
    vocabulary = {token: index for index, token in enumerate([*tokens, START, END])}
    return _clip_tokenizer(vocabulary, pairs)


def _clip_tokenizer(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> CLIPTokenizer:
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_LENGTH)
