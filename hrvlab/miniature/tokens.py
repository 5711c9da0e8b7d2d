"""The miniature's CLIP tokenizer, whose byte-pair merges are learned from its own captions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer

from hrvlab.miniature.arrays import kept_array
from hrvlab.miniature.dataset import captions_of
from hrvlab.miniature.vocabulary import caption_words
from hrvlab.miniature.world import concept_words

MAX_LENGTH = 32
CAPTIONS = 4  # of each image
CAPTIONS_SEED = 77
START, END = "<|startoftext|>", "<|endoftext|>"
TOKENIZER = "tokenizer.json"
START_FOLDER = "start"  # in the working folder: the miniature that a training starts from


def kept_tokenizer(folder: Path) -> CLIPTokenizer:
    """Make the tokenizer and keep it in a working folder, or read it from an earlier run.

    It is trained on captions, unless the training starts from an earlier miniature, whose
    tokenizer it then extends.

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
        start = folder / START_FOLDER / "tokenizer" / TOKENIZER
        base = _read(start) if start.exists() else train_tokenizer()
        begun = path.with_suffix(".partial")
        with_whole_words(base, caption_words()).backend_tokenizer.save(str(begun))
        begun.replace(path)
    return _read(path)


def _read(path: Path) -> CLIPTokenizer:
    model = json.loads(path.read_text())["model"]
    return _clip_tokenizer(model["vocab"], [(one, other) for one, other in model["merges"]])


def with_whole_words(tokenizer: CLIPTokenizer, words: Sequence[str]) -> CLIPTokenizer:
    """Extend a tokenizer so that every word is a single token; what it knew keeps its tokens.

    Parameters
    ----------
    tokenizer : CLIPTokenizer
    words : sequence of str
        What is joined by hyphens stays in parts.

    Returns
    -------
    CLIPTokenizer
        With new tokens after all others, and merges of the lowest rank.
    """
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    vocabulary, merges = dict(model["vocab"]), [(one, other) for one, other in model["merges"]]
    for word in dict.fromkeys(part for each in words for part in each.lower().split("-")):
        extended = _clip_tokenizer(vocabulary, merges)
        made, *rest = extended.tokenize(word)
        for part in rest:
            merges.append((made, part))
            made += part
            vocabulary.setdefault(made, len(vocabulary))
    return _clip_tokenizer(vocabulary, merges)


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


def encode_captions(folder: Path, images: int) -> NDArray[np.uint16]:
    """Compose and tokenize captions of every training image, or read them from an earlier run.

    Parameters
    ----------
    folder : Path
        Working folder, which keeps the tokens.
    images : int
        Training images.

    Returns
    -------
    ndarray of uint16, shape (images, 4, 32)
        Token ids of four captions of each image, padded.
    """
    path = folder / f"captions-{images}.npy"
    shape = (images, CAPTIONS, MAX_LENGTH)
    return kept_array(path, shape, np.uint16, partial(_encode_each, folder), chunk=1)


def _encode_each(folder: Path, indices: range) -> Iterator[NDArray[np.uint16]]:
    tokenizer = kept_tokenizer(folder)
    for index in indices:
        rng = np.random.Generator(np.random.Philox(key=[CAPTIONS_SEED, index]))
        texts = captions_of(np.repeat(index, CAPTIONS), rng)
        ids = tokenizer(texts, padding="max_length", truncation=True).input_ids
        yield np.asarray([ids], np.uint16)
