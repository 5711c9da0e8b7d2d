"""The judge: a network that recognizes what an image of the miniature shows, with known error."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import nn

from hrvlab.errors import ModelError, ParameterError
from hrvlab.models.load import weights_digest
from hrvlab.paths import MINIATURE, data_path, user_path
from hrvlab.scorers.base import check_counts

if TYPE_CHECKING:
    from torch import Tensor

    from hrvlab.typing import Images

WEIGHTS, CONFIG = "model.safetensors", "config.json"
OBJECTS = "object"
NONE = "none"
SIDE = 64
# Images that go through the network together.
CHUNK = 256


class Residual(nn.Module):
    """Two convolutions whose output is added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map features (n, channels, y, x) to features of the same shape."""
        return nn.functional.silu(x + self.inner(x))


class JudgeNetwork(nn.Module):
    """A small convolutional network with one output for every answer to every question.

    Parameters
    ----------
    questions : dict of str to list of str
        The answers to each question. ``"object"`` may have several right answers at once, every
        other question has one.
    """

    def __init__(self, questions: dict[str, list[str]]) -> None:
        super().__init__()
        widths = (3, 32, 64, 128, 192)
        layers: list[nn.Module] = []
        for number, (before, after) in enumerate(itertools.pairwise(widths)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after)]
            layers += [nn.SiLU()] + [Residual(after)] * (number > 0)
        self.body = nn.Sequential(*layers)
        features = 2 * widths[-1]
        self.heads = nn.ModuleDict(
            {name: nn.Linear(features, len(answers)) for name, answers in questions.items()}
        )

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Compute every question's logits (n, answer) from pixels (n, 3, 64, 64) in [−1, 1]."""
        grid = self.body(pixels)
        features = torch.cat([grid.mean((2, 3)), grid.amax((2, 3))], dim=1)
        return {name: head(features) for name, head in self.heads.items()}


@dataclass(frozen=True)
class Judge:
    """A trained network, with the words of its answers.

    Parameters
    ----------
    network : JudgeNetwork
    questions : dict of str to list of str
        The answers to each question; ``"none"`` among them means that no other answer is right.
    """

    network: JudgeNetwork
    questions: dict[str, list[str]]

    def __call__(self, images: Images) -> xr.Dataset:
        """Compute the probability of every answer to every question.

        Parameters
        ----------
        images : ndarray of uint8, shape (image, 64, 64, 3)

        Returns
        -------
        xarray.Dataset
            The probabilities of each question, dims ``(image, {question}_answer)``. They sum to 1
            over answers, except for the question ``object``, where every object has a probability
            of its own.

        Raises
        ------
        ParameterError
            If the images do not have the miniature's size.
        """
        if images.ndim != 4 or images.shape[1:] != (SIDE, SIDE, 3):
            raise ParameterError(
                f"the judge knows images of the miniature, shape (image, {SIDE}, {SIDE}, 3); "
                f"got {images.shape}"
            )
        pixels = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.no_grad():
            chunks = [self.network(chunk) for chunk in pixels.split(CHUNK)]
        found = {}
        for name, answers in self.questions.items():
            logits = torch.cat([chunk[name] for chunk in chunks])
            probabilities = logits.sigmoid() if name == OBJECTS else logits.softmax(1)
            dim = f"{name}_answer"
            found[name] = xr.DataArray(
                probabilities.numpy(), dims=("image", dim), coords={dim: answers}, name=name
            )
        return xr.Dataset(found)

    def answers(self, images: Images) -> dict[str, list[str]]:
        """Return the most probable answer to every question.

        Parameters
        ----------
        images : ndarray of uint8, shape (image, 64, 64, 3)

        Returns
        -------
        dict of str to list of str
            For each question, one answer for each image.
        """
        seen = self(images)
        return {
            name: [self.questions[name][index] for index in seen[name].values.argmax(1)]
            for name in self.questions
        }

    def objects(self, images: Images) -> list[list[str]]:
        """List the objects that an image shows with a probability above one half.

        Parameters
        ----------
        images : ndarray of uint8, shape (image, 64, 64, 3)

        Returns
        -------
        list of list of str
            The objects of each image.
        """
        likely = self(images)[OBJECTS].values > 0.5
        names = np.array(self.questions[OBJECTS])
        return [names[row].tolist() for row in likely]


def load_judge(folder: str | Path = MINIATURE) -> Judge:
    """Load a judge.

    Parameters
    ----------
    folder : str or Path
        ``"miniature"`` (shipped), or a folder that a judge was saved to.

    Returns
    -------
    Judge

    Raises
    ------
    ModelError
        If there is none.
    """
    path = data_path(MINIATURE, "judge") if str(folder) == MINIATURE else user_path(folder)
    if not (path / WEIGHTS).is_file():
        raise ModelError(f"there is no judge in {path}; give 'miniature' or a folder with one")
    questions = json.loads((path / CONFIG).read_text())["questions"]
    network = JudgeNetwork(questions)
    weights = load_file(path / WEIGHTS)
    network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return Judge(network.eval(), questions)


@dataclass(frozen=True)
class JudgeScore:
    """The probability, according to the judge, that an image shows what a text names.

    Parameters
    ----------
    judge : Judge
    name : str
    threshold : float
        The lowest probability at which the image counts as showing it.
    """

    judge: Judge
    name: str
    threshold: float = 0.5

    def check(self, texts: Sequence[str]) -> None:
        """Raise an error if the judge does not know some of the texts."""
        unknown = sorted({_answer(text) for text in texts} - self._questions().keys())
        if unknown:
            raise ParameterError(
                f"the judge does not know {', '.join(map(repr, unknown))}; give answers to one of "
                f"its questions: {', '.join(self.judge.questions)}"
            )

    def _questions(self) -> dict[str, str]:
        """Map each answer to its question."""
        return {
            answer: name
            for name, answers in self.judge.questions.items()
            for answer in answers
            if answer != NONE
        }

    def __call__(self, images: Images, texts: Sequence[str]) -> NDArray[np.float32]:
        """Rate images against answers.

        Parameters
        ----------
        images : ndarray of uint8, shape (image, 64, 64, 3)
        texts : sequence of str
            One for each image: an object, color, material or any other answer that the judge
            knows. If a word names an object and a color, ``"rose-colored"`` means the color.

        Returns
        -------
        ndarray of float32, shape (image,)
            Probabilities.

        Raises
        ------
        ParameterError
            If the judge does not know a text, or there are not as many texts as images.
        """
        check_counts(images, texts)
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
    """Load a judge that scores images of the miniature against texts.

    Parameters
    ----------
    folder : str or Path
        ``"miniature"`` (shipped), or a folder that a judge was saved to.

    Returns
    -------
    JudgeScore
        Takes images, uint8 of shape (image, 64, 64, 3), and as many texts; returns probabilities.

    Raises
    ------
    ModelError
        If there is none.

    Examples
    --------
    >>> score = hl.judge_score()
    >>> images = hl.generate(pipe, "a red car", num_inference_steps=2, progress=False)
    >>> score(images, ["red"]).shape
    (1,)
    >>> score.threshold
    0.5
    """
    judge = load_judge(folder)
    return JudgeScore(judge, f"judge {weights_digest(judge.network)}")
