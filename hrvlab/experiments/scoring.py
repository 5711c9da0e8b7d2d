"""Score pictures against texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from transformers import CLIPModel, CLIPProcessor

from hrvlab.errors import ModelError, ParameterError
from hrvlab.experiments.judge import NONE, Judge, load_judge
from hrvlab.models.load import MINIATURE, weights_digest
from hrvlab.paths import data_path
from hrvlab.typing import Images

CHUNK = 64


class Score(Protocol):
    """Rates each picture against its own text; higher is more alike."""

    @property
    def name(self) -> str:
        """What identifies the score in plans and datasets."""

    @property
    def least(self) -> float:
        """Below that, a picture does not show the text at all."""

    def check(self, texts: Sequence[str]) -> None:
        """Raise an error if it cannot rate pictures against some of the texts."""

    def __call__(self, images: Images, texts: Sequence[str]) -> NDArray[np.float32]:
        """Rate pictures (image, y, x, channel) against as many texts."""


def rate(
    score: Score | Mapping[str, Score], images: Images, texts: Sequence[str]
) -> NDArray[np.float32]:
    """Rate pictures by one score or by several.

    Returns
    -------
    ndarray of float32, shape (image,) or (score, image)
    """
    if isinstance(score, Mapping):
        return np.stack([one(images, texts) for one in score.values()])
    return score(images, texts)


def score_names(score: Score | Mapping[str, Score]) -> str | dict[str, str]:
    """Say in a plan what a score is, or several are."""
    if isinstance(score, Mapping):
        return {name: one.name for name, one in score.items()}
    return score.name


def least_of(score: Score | Mapping[str, Score]) -> float | xr.DataArray:
    """Give the least score of a picture that shows its text, for several by their witnesses."""
    if isinstance(score, Mapping):
        return xr.DataArray([one.least for one in score.values()], {"witness": list(score)})
    return score.least


def check_texts(score: Score | Mapping[str, Score], texts: Sequence[str]) -> None:
    """Raise an error if a score, or one of several, cannot rate pictures against some texts.

    Raises
    ------
    ParameterError
        Also if there is no score.
    """
    several = score if isinstance(score, Mapping) else {"": score}
    if not several:
        raise ParameterError("there is no score; give one, or several by name")
    for one in several.values():
        one.check(texts)


@dataclass(frozen=True)
class ClipScore:
    """Cosine between CLIP's embeddings of a picture and of a text.

    Parameters
    ----------
    name : str
    model : transformers.CLIPModel
    processor : transformers.CLIPProcessor
    template : str
        What is said of a text; ``"{}"`` is the text alone, as published.
    least : float
        Cosines have no size from which on a text is shown: they only compare.
    """

    name: str
    model: CLIPModel
    processor: CLIPProcessor
    template: str
    least: float = -1.0

    def check(self, texts: Sequence[str]) -> None:
        """CLIP takes any text."""

    def __call__(self, images: Images, texts: Sequence[str]) -> NDArray[np.float32]:
        """Rate pictures against texts.

        Parameters
        ----------
        images : ndarray of uint8, shape (image, y, x, channel)
        texts : sequence of str
            One for each picture.

        Returns
        -------
        ndarray of float32, shape (image,)
            In [−1, 1].

        Raises
        ------
        ParameterError
            If there are not as many texts as pictures, or a score is not finite.
        """
        if len(images) != len(texts):
            raise ParameterError(f"{len(images)} pictures need as many texts, got {len(texts)}")
        chunks = [
            self._cosines(images[start : start + CHUNK], texts[start : start + CHUNK])
            for start in range(0, len(texts), CHUNK)
        ]
        cosines = np.concatenate(chunks)
        if not np.isfinite(cosines).all():
            raise ParameterError("CLIP gave scores that are not finite; use float32 weights")
        return cosines

    def _cosines(self, images: Images, texts: Sequence[str]) -> NDArray[np.float32]:
        inputs = self.processor(
            text=[self.template.format(text) for text in texts],
            images=list(images),
            return_tensors="pt",
            padding=True,
            truncation=True,
        ).to(self.model.device)
        with torch.no_grad():
            output = self.model(**inputs)
        return (output.image_embeds * output.text_embeds).sum(dim=1).float().cpu().numpy()


@dataclass(frozen=True)
class JudgeScore:
    """How probable the judge of the miniature's world finds that a picture shows a text's answer.

    Parameters
    ----------
    judge : Judge
    name : str
    least : float
    """

    judge: Judge
    name: str
    least: float = 0.5

    def check(self, texts: Sequence[str]) -> None:
        """Raise an error if the judge does not know some of the texts."""
        unknown = sorted({_answer(text) for text in texts} - self._questions().keys())
        if unknown:
            raise ParameterError(f"the judge knows no {', '.join(unknown)}")

    def _questions(self) -> dict[str, str]:
        """Give the question that each answer belongs to."""
        return {
            answer: name
            for name, answers in self.judge.questions.items()
            for answer in answers
            if answer != NONE
        }

    def __call__(self, images: Images, texts: Sequence[str]) -> NDArray[np.float32]:
        """Rate pictures against answers.

        Parameters
        ----------
        images : ndarray of uint8, shape (image, 64, 64, 3)
        texts : sequence of str
            One for each picture: a thing, colour, material, … that the judge knows; of a word
            that names a thing too, the colour is called ``"rose-colored"``.

        Returns
        -------
        ndarray of float32, shape (image,)
            Probabilities.

        Raises
        ------
        ParameterError
            If the judge does not know a text, or there are not as many as pictures.
        """
        if len(images) != len(texts):
            raise ParameterError(f"{len(images)} pictures need as many texts, got {len(texts)}")
        self.check(texts)
        questions = self._questions()
        wanted = [_answer(text) for text in texts]
        seen = self.judge(images)
        return np.array(
            [
                seen[questions[text]].sel({f"{questions[text]}_answer": text}).values[index]
                for index, text in enumerate(wanted)
            ],
            np.float32,
        )


def _answer(text: str) -> str:
    return text.removesuffix("-colored")


def judge_score(folder: str | Path = MINIATURE) -> JudgeScore:
    """Load a judge to score with.

    Parameters
    ----------
    folder : str or Path
        ``"miniature"`` (shipped), or a folder with a judge.

    Raises
    ------
    ModelError
        If there is none.
    """
    judge = load_judge(folder)
    return JudgeScore(judge, f"judge {weights_digest(judge.network)}")


def clip_score(
    model: str | Path = MINIATURE,
    *,
    template: str = "{}",
    device: str | torch.device = "cpu",
) -> ClipScore:
    """Load a CLIP to score with.

    Parameters
    ----------
    model : str or Path
        ``"miniature"`` (shipped), a folder, or a hub id such as
        ``"laion/CLIP-ViT-H-14-laion2B-s32B-b79K"``, which was used for the published scores.
    template : str
        With one ``{}`` for the text.
    device : str or torch.device

    Raises
    ------
    ModelError
        If there is no such model, or it has no safetensors weights.
    ParameterError
        If the template has no place for the text.
    """
    if template.count("{}") != 1:
        raise ParameterError(f"the template {template!r} must hold one {{}} for the text")
    path = data_path(MINIATURE, "clip") if str(model) == MINIATURE else model
    try:
        clip = CLIPModel.from_pretrained(path, use_safetensors=True).eval().to(device)
        processor = CLIPProcessor.from_pretrained(path)
    except OSError as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"cannot load CLIP from {str(model)!r}: {reason}") from error
    name = f"CLIP {Path(model).name} {weights_digest(clip)}, {template!r}"
    return ClipScore(name, clip, processor, template)
