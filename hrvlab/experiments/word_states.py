"""What a word's text states say of its sense before any head looks at them, and what they carry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from diffusers import DiffusionPipeline
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from hrvlab.concepts import ConceptSet
from hrvlab.errors import ConceptError, ModelError
from hrvlab.experiments.arms import Drawing
from hrvlab.experiments.forms import Case
from hrvlab.generation import Batch, as_uint8, run_batch
from hrvlab.models.tokens import content_columns, word_columns

WORD, END = "word", "end"


def text_states(pipe: DiffusionPipeline, prompts: Sequence[str]) -> Tensor:
    """Encode prompts as the UNet reads them.

    Returns
    -------
    Tensor, shape (prompt, token, dim)
    """
    with torch.no_grad():
        encoded = pipe.encode_prompt(
            prompt=list(prompts),
            device=pipe._execution_device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
        )
    return encoded[0]


@dataclass(frozen=True)
class Swapped:
    """A case's prompt, drawn with some text states of the plainer prompt instead of its own.

    No head's attention is changed. What this does not reach, no weighting of the heads' attention
    to the same states is likely to reach.

    Parameters
    ----------
    case : Case
    index : int
        The noise derives from it and the seed.
    parts : tuple of {"word", "end"}
        Of the word: the state of the wanted sense's last token. Of the end token and the padding:
        theirs, one by one.
    """

    case: Case
    index: int
    parts: tuple[str, ...]

    @property
    def rows(self) -> int:
        """It has one row."""
        return 1

    def plan(self) -> dict[str, Any]:
        """Give all that determines its pictures, as JSON."""
        return {
            "prompt": self.case.prompt,
            "word": self.case.word,
            "index": self.index,
            "states of": self.case.reworded,
            "sense": self.case.wanted,
            "parts": list(self.parts),
        }

    def check(self, pipe: DiffusionPipeline) -> None:
        """Raise an error if the plainer prompt does not hold the wanted sense."""
        if "text_encoder_2" in pipe.components:
            raise ModelError("text states are swapped in models with one text encoder only")
        self.states(pipe)

    def states(self, pipe: DiffusionPipeline) -> Tensor:
        """Swap the states.

        Returns
        -------
        Tensor, shape (token, dim)
        """
        case, tokenizer = self.case, pipe.tokenizer
        own, plainer = text_states(pipe, [case.prompt, case.reworded])
        swapped = own.clone()
        sense = word_columns(tokenizer, case.reworded, case.wanted)[-1]
        if WORD in self.parts:
            swapped[word_columns(tokenizer, case.prompt, case.word)] = plainer[sense]
        if END in self.parts:
            ours, theirs = (_end(tokenizer, text) for text in (case.prompt, case.reworded))
            columns = torch.arange(len(own) - ours) + theirs
            swapped[ours:] = plainer[columns.clamp(max=len(own) - 1)]
        return swapped

    def draw(
        self, pipe: DiffusionPipeline, seeds: Sequence[int], *, batch_size: int, **call: Any
    ) -> Drawing:
        """Draw it."""
        states = self.states(pipe)
        images = []
        for start in range(0, len(seeds), batch_size):
            drawn = tuple(seeds[start : start + batch_size])
            count = len(drawn)
            batch = Batch((self.case.prompt,) * count, (self.index,) * count, drawn)
            embeds = states.expand(count, -1, -1)
            made, _ = run_batch(pipe, batch, prompt_embeds=embeds, output_type="np", **call)
            images.append(as_uint8(made))
        return Drawing(np.concatenate(images))


def swapped_arms(cases: Sequence[Case]) -> dict[str, list[Swapped]]:
    """Draw every case with the plainer prompt's states of the word, of the end, and of both.

    Returns
    -------
    dict of str to list of Swapped
        For `hrvlab.experiments.polysemy.disambiguate`.
    """
    return {
        f"{' and '.join(parts)} swapped": [
            Swapped(case, index, parts) for index, case in enumerate(cases)
        ]
        for parts in ((WORD,), (END,), (WORD, END))
    }


def read_states(pipe: DiffusionPipeline, concepts: ConceptSet, cases: Sequence[Case]) -> xr.Dataset:
    """Ask text states alone which of two concepts a case's word is of.

    Words of the wanted and of the unwanted concept are put in the word's place, one by one; the
    word is then found between the means of the two concepts' states.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    concepts : ConceptSet
    cases : sequence of Case

    Returns
    -------
    xarray.Dataset
        Over ``(state, prompt)``, of the word's own last token and of the end token, which has seen
        the whole prompt: ``position``, −1 at the unwanted concept's mean and 1 at the wanted one's;
        and ``accuracy``, the share of the concepts' words that stand nearer to their own concept's
        mean, made without them.

    Raises
    ------
    ConceptError
        If there is no such concept, or it has too few other words.
    TokenError
        If a case's word is not in its prompt.
    """
    words = concepts.to_dict()
    rows = [_read_case(pipe, words, case) for case in cases]
    position, accuracy = np.array(rows).transpose(1, 2, 0)
    return xr.Dataset(
        {"position": (("state", "prompt"), position), "accuracy": (("state", "prompt"), accuracy)},
        {
            "state": [WORD, END],
            "prompt_text": ("prompt", [case.prompt for case in cases]),
            "word": ("prompt", [case.word for case in cases]),
            "wanted": ("prompt", [case.wanted for case in cases]),
        },
    )


def _read_case(
    pipe: DiffusionPipeline, concepts: dict[str, list[str]], case: Case
) -> tuple[list[float], list[float]]:
    """Give position and accuracy, each of the word and of the end."""
    stands_in = [case.word]
    counts = []
    for concept in (case.toward, case.away):
        if concept not in concepts:
            raise ConceptError(f"there is no concept {concept!r}; there are: {', '.join(concepts)}")
        others = [word for word in concepts[concept] if word.lower() != case.word.lower()]
        if len(others) < 2:
            raise ConceptError(f"{concept!r} needs two words other than {case.word!r}")
        stands_in += others
        counts.append(len(others))
    texts = [case.prompt.replace(case.word, word, 1) for word in stands_in]
    states = text_states(pipe, texts)
    found = []
    for columns in (
        [word_columns(pipe.tokenizer, *pair)[-1] for pair in zip(texts, stands_in, strict=True)],
        [_end(pipe.tokenizer, text) for text in texts],
    ):
        own, *known = states[range(len(texts)), columns].double().cpu().numpy()
        found.append(_between(own, np.array(known[: counts[0]]), np.array(known[counts[0] :])))
    position, accuracy = zip(*found, strict=True)
    return list(position), list(accuracy)


def _between(
    own: NDArray[np.float64], wanted: NDArray[np.float64], unwanted: NDArray[np.float64]
) -> tuple[float, float]:
    """Place a state between two means, and say how often the means place known states rightly."""
    way = wanted.mean(0) - unwanted.mean(0)
    middle = (wanted.mean(0) + unwanted.mean(0)) / 2
    right = [
        np.linalg.norm(state - np.delete(known, number, axis=0).mean(0))
        < np.linalg.norm(state - others.mean(0))
        for known, others in ((wanted, unwanted), (unwanted, wanted))
        for number, state in enumerate(known)
    ]
    return float(2 * (own - middle) @ way / (way @ way)), float(np.mean(right))


def _end(tokenizer: PreTrainedTokenizerBase, prompt: str) -> int:
    """Give the end token's column."""
    return content_columns(tokenizer, prompt)[-1] + 1
