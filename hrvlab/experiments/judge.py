"""The judge: says what is in a picture of the miniature's world, with known error."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from safetensors.torch import load_file
from torch import Tensor, nn

from hrvlab.errors import ModelError, ParameterError
from hrvlab.models.load import MINIATURE
from hrvlab.paths import data_path
from hrvlab.typing import Images

WEIGHTS, CONFIG = "model.safetensors", "config.json"
OBJECTS = "object"
NONE = "none"
SIDE = 64
CHUNK = 256


class Residual(nn.Module):
    """Two convolutions around which the input passes unchanged."""

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
        """Map (n, channels, y, x) to the same shape."""
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
        """Give the logits (n, answer) of every question for pixels (n, 3, 64, 64) in [−1, 1]."""
        grid = self.body(pixels)
        features = torch.cat([grid.mean((2, 3)), grid.amax((2, 3))], dim=1)
        return {name: head(features) for name, head in self.heads.items()}


@dataclass(frozen=True)
class Judge:
    """A trained network and the words for what it sees.

    Parameters
    ----------
    network : JudgeNetwork
    questions : dict of str to list of str
        The answers to each question; ``"none"`` among them is a refusal.
    """

    network: JudgeNetwork
    questions: dict[str, list[str]]

    def __call__(self, images: Images) -> xr.Dataset:
        """Say what is in pictures.

        Parameters
        ----------
        images : ndarray of uint8, shape (image, 64, 64, 3)

        Returns
        -------
        xarray.Dataset
            For each question its probabilities, dims ``(image, {question}_answer)``. Those of a
            question sum to 1, except of ``object``, where every thing has its own.

        Raises
        ------
        ParameterError
            If the pictures are not the miniature's.
        """
        if images.ndim != 4 or images.shape[1:] != (SIDE, SIDE, 3):
            raise ParameterError(
                f"the judge knows the miniature's pictures, shape (image, {SIDE}, {SIDE}, 3); "
                f"got {images.shape}"
            )
        pixels = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.no_grad():
            chunks = [self.network(chunk) for chunk in pixels.split(CHUNK)]
        found = {}
        for name, answers in self.questions.items():
            logits = torch.cat([chunk[name] for chunk in chunks])
            shares = logits.sigmoid() if name == OBJECTS else logits.softmax(1)
            dim = f"{name}_answer"
            found[name] = xr.DataArray(
                shares.numpy(), dims=("image", dim), coords={dim: answers}, name=name
            )
        return xr.Dataset(found)

    def answers(self, images: Images) -> dict[str, list[str]]:
        """Give the most probable answer to every question, for each picture."""
        seen = self(images)
        return {
            name: [self.questions[name][index] for index in seen[name].values.argmax(1)]
            for name in self.questions
        }

    def things(self, images: Images) -> list[list[str]]:
        """Name the things that are more likely than not in each picture."""
        likely = self(images)[OBJECTS].values > 0.5
        names = np.array(self.questions[OBJECTS])
        return [names[row].tolist() for row in likely]


def load_judge(folder: str | Path = MINIATURE) -> Judge:
    """Load a judge.

    Parameters
    ----------
    folder : str or Path
        ``"miniature"`` (shipped), or a folder that a judge was saved to.

    Raises
    ------
    ModelError
        If there is none.
    """
    path = data_path(MINIATURE, "judge") if str(folder) == MINIATURE else Path(folder)
    if not (path / WEIGHTS).is_file():
        raise ModelError(f"there is no judge in {path}; give 'miniature' or a folder with one")
    questions = json.loads((path / CONFIG).read_text())["questions"]
    network = JudgeNetwork(questions)
    weights = load_file(path / WEIGHTS)
    network.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
    return Judge(network.eval(), questions)
