"""Which sense a word's text states carry before any head attends to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from hrvlab.errors import ConceptError, ModelError, TokenError
from hrvlab.experiments.runner import Generated
from hrvlab.generation import Batch, as_uint8, run_batch
from hrvlab.models.families import family_of
from hrvlab.models.tokens import content_columns, word_columns

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from torch import Tensor

    from hrvlab.experiments.disambiguation.cases import AmbiguousWord
    from hrvlab.inputs.concepts import ConceptSet

WORD, END = "word", "end"


@dataclass(frozen=True)
class Swapped:
    """A case's prompt, generated with some of the plainer prompt's text states in place of its own.

    No head's attention is changed. A sense that this does not bring out is not likely to be
    brought out by any weighting of the heads' attention to the same states.

    Parameters
    ----------
    case : AmbiguousWord
    index : int
        The noise derives from it and the seed.
    parts : tuple of {"word", "end"}
        ``"word"``: the word's own states are replaced by that of the wanted sense's last token.
        ``"end"``: those of the end token and the padding are replaced one by one.
    """

    case: AmbiguousWord
    index: int
    parts: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Number of rows: 1."""
        return 1

    def plan(self) -> dict[str, Any]:
        """Return all that determines its images, as JSON."""
        return {
            "prompt": self.case.prompt,
            "word": self.case.word,
            "index": self.index,
            "states of": self.case.reworded,
            "sense": self.case.wanted,
            "parts": list(self.parts),
        }

    def check(self, pipe: DiffusionPipeline) -> None:
        """Raise an error if the states cannot be swapped.

        Raises
        ------
        ModelError
            If the model has two text encoders.
        TokenError
            If the prompt does not hold the word, or the plainer prompt not the wanted sense.
        """
        family_of(pipe).check_method("swapping text states")
        if "text_encoder_2" in pipe.components:
            raise ModelError(
                f"{type(pipe).__name__} has two text encoders; text states are swapped in models "
                "with one text encoder only"
            )
        self.states(pipe)

    def states(self, pipe: DiffusionPipeline) -> Tensor:
        """Compute the prompt's text states, with those of the parts swapped.

        Returns
        -------
        Tensor, shape (token, dim)
        """
        case = self.case
        own, plainer = family_of(pipe).encode(pipe, [case.prompt, case.reworded])
        swapped = own.clone()
        sense = word_columns(pipe, case.reworded, case.wanted)[-1]
        if WORD in self.parts:
            swapped[word_columns(pipe, case.prompt, case.word)] = plainer[sense]
        if END in self.parts:
            ours, theirs = (_end(pipe, text) for text in (case.prompt, case.reworded))
            columns = torch.arange(len(own) - ours) + theirs
            swapped[ours:] = plainer[columns.clamp(max=len(own) - 1)]
        return swapped

    def generate(
        self, pipe: DiffusionPipeline, seeds: Sequence[int], *, batch_size: int, **call: Any
    ) -> Generated:
        """Generate its images, seed by seed."""
        states = self.states(pipe)
        images = []
        for start in range(0, len(seeds), batch_size):
            own_seeds = tuple(seeds[start : start + batch_size])
            count = len(own_seeds)
            batch = Batch((self.case.prompt,) * count, (self.index,) * count, own_seeds)
            embeds = states.expand(count, -1, -1)
            made = run_batch(pipe, batch, prompt_embeds=embeds, output_type="np", **call)
            images.append(as_uint8(made.images))
        return Generated(np.concatenate(images))


def why_not_swapped(pipe: DiffusionPipeline, cases: Sequence[AmbiguousWord]) -> str:
    """Say why text states of cases cannot be swapped.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    cases : sequence of AmbiguousWord

    Returns
    -------
    str
        Empty if they can.
    """
    try:
        for case in cases:
            Swapped(case, 0, (WORD, END)).check(pipe)
    except (ModelError, TokenError) as error:
        return str(error)
    return ""


def swapped_conditions(cases: Sequence[AmbiguousWord]) -> dict[str, list[Swapped]]:
    """Build the conditions that swap every case's states of the word, of the end, and of both.

    Returns
    -------
    dict of str to list of Swapped
        For the parameter ``others`` of `disambiguate`.
    """
    return {
        f"{' and '.join(parts)} swapped": [
            Swapped(case, index, parts) for index, case in enumerate(cases)
        ]
        for parts in ((WORD,), (END,), (WORD, END))
    }


def read_states(
    pipe: DiffusionPipeline, concepts: ConceptSet, cases: Sequence[AmbiguousWord]
) -> xr.Dataset:
    """Locate each case's word between its two concepts, by text states alone.

    Words of the wanted and of the unwanted concept take the word's place in the prompt, one by
    one; the word's own state is then compared with the means of the two concepts' states.

    Parameters
    ----------
    pipe : diffusers.DiffusionPipeline
    concepts : ConceptSet
    cases : sequence of AmbiguousWord

    Returns
    -------
    xarray.Dataset
        Over ``(state, prompt)``, of the word's own last token and of the end token, whose state
        depends on the whole prompt: ``position``, −1 at the unwanted concept's mean and 1 at the
        wanted one's; and ``accuracy``, the share of the concepts' words whose state is nearer to
        the mean of their own concept, computed without them, than to that of the other.

    Raises
    ------
    ConceptError
        If there is no such concept, or it has too few other words.
    TokenError
        If a case's word is not in its prompt.

    Examples
    --------
    >>> from hrvlab.experiments.disambiguation import read_disambiguation
    >>> cases = read_disambiguation("miniature", "test").cases[:1]
    >>> states = read_states(pipe, hl.ConceptSet.read("miniature"), cases)
    >>> dict(states["position"].sizes), states["state"].values.tolist()
    ({'state': 2, 'prompt': 1}, ['word', 'end'])
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
    pipe: DiffusionPipeline, concepts: dict[str, list[str]], case: AmbiguousWord
) -> tuple[list[float], list[float]]:
    """Compute position and accuracy, each of the word and of the end."""
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
    states = family_of(pipe).encode(pipe, texts)
    found = []
    for columns in (
        [word_columns(pipe, *pair)[-1] for pair in zip(texts, stands_in, strict=True)],
        [_end(pipe, text) for text in texts],
    ):
        own, *known = states[range(len(texts)), columns].double().cpu().numpy()
        found.append(_between(own, np.array(known[: counts[0]]), np.array(known[counts[0] :])))
    position, accuracy = zip(*found, strict=True)
    return list(position), list(accuracy)


def _between(
    own: NDArray[np.float64], wanted: NDArray[np.float64], unwanted: NDArray[np.float64]
) -> tuple[float, float]:
    """Compute where a state lies between two means, and how often they classify known states."""
    axis = wanted.mean(0) - unwanted.mean(0)
    middle = (wanted.mean(0) + unwanted.mean(0)) / 2
    right = [
        np.linalg.norm(state - np.delete(known, number, axis=0).mean(0))
        < np.linalg.norm(state - others.mean(0))
        for known, others in ((wanted, unwanted), (unwanted, wanted))
        for number, state in enumerate(known)
    ]
    return float(2 * (own - middle) @ axis / (axis @ axis)), float(np.mean(right))


def _end(pipe: DiffusionPipeline, prompt: str) -> int:
    """Locate the column of the end token."""
    return content_columns(pipe, prompt)[-1] + 1
