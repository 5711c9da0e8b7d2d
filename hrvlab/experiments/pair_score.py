"""See each of two things that lie side by side in a picture of the miniature's world.

The judge learned colours from pictures of one kind of thing, and misses one of two things often. So
it also looks at the two halves by themselves, each enlarged to a picture.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from PIL import Image

from hrvlab.errors import ModelError, ParameterError
from hrvlab.experiments.judge import NONE, OBJECTS, SIDE, Judge, load_judge
from hrvlab.experiments.pairs import AND
from hrvlab.models.load import MINIATURE, weights_digest
from hrvlab.paths import data_path
from hrvlab.typing import Images

FILE = "pairs.json"
COLOR = "color"
# Left, top, right and bottom of where the world draws two things.
HALVES = ((2, 18, 34, 50), (30, 18, 62, 50))


def enlarge(images: Images, box: tuple[int, int, int, int]) -> Images:
    """Cut a part out of pictures and bring it to their size."""
    parts = [Image.fromarray(image).crop(box) for image in images]
    return np.stack([np.asarray(p.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for p in parts])


def read_phrase(phrase: str) -> tuple[str | None, str]:
    """Take "a red cat" or "cat" apart into its colour, if it says one, and its thing."""
    *before, thing = [word for word in phrase.split() if word not in ("a", "an")] or [""]
    return " ".join(before) or None, thing


Views = tuple[xr.Dataset, xr.Dataset, xr.Dataset]


def look(judge: Judge, images: Images) -> Views:
    """Let the judge see the left and the right half of pictures, and the whole."""
    left, right = (judge(enlarge(images, box)) for box in HALVES)
    return left, right, judge(images)


def raw_score(views: Views, picture: int, text: str) -> float:
    """Give how probable the judge finds that a picture shows a text, not calibrated.

    A thing is where the judge is surest of it: in a half or in the whole picture. A colour is the
    thing's own in the half where the judge is surest of both.
    """
    color, thing = read_phrase(text)
    if color is None:
        return max(_probability(view, picture, OBJECTS, thing) for view in views)
    return max(
        _probability(half, picture, OBJECTS, thing) * _probability(half, picture, COLOR, color)
        for half in views[:2]
    )


def _probability(seen: xr.Dataset, picture: int, question: str, answer: str) -> float:
    answers = seen[question].coords[f"{question}_answer"].values.tolist()
    return float(seen[question].values[picture, answers.index(answer)])


@dataclass(frozen=True)
class PairScore:
    """How probable it is that a picture shows a thing, or a thing of a colour, beside another.

    Parameters
    ----------
    judge : Judge
    name : str
    thresholds : tuple of float
        The judge's probability at which a thing, and a thing of a colour, is as well called there
        as not, from drawn pictures whose truth is known; its log-odds are shifted so that this is
        one half.
    rates : list of dict
        How often it is right about drawn pictures: ``question``, ``pictures``, ``correct``, ``of``,
        ``low`` and ``high``.
    least : float
    """

    judge: Judge
    name: str
    thresholds: tuple[float, float]
    rates: list[dict[str, Any]]
    least: float = 0.5

    def check(self, texts: Sequence[str]) -> None:
        """Raise an error if the judge does not know some of the texts."""
        colors = {None, *self.judge.questions[COLOR]} - {NONE}
        things = self.judge.questions[OBJECTS]
        phrases = {phrase: read_phrase(phrase) for text in texts for phrase in text.split(AND)}
        unknown = sorted(
            phrase
            for phrase, (color, thing) in phrases.items()
            if color not in colors or thing not in things
        )
        if unknown:
            raise ParameterError(
                f"the judge knows no {', '.join(map(repr, unknown))}; give 'a thing' or 'a color "
                "thing' of the miniature's world"
            )

    def __call__(self, images: Images, texts: Sequence[str]) -> NDArray[np.float32]:
        """Rate pictures against phrases.

        Parameters
        ----------
        images : ndarray of uint8, shape (image, 64, 64, 3)
        texts : sequence of str
            One for each picture, such as ``"a cat"``, ``"a red cat"``, or several with ``" and "``
            between them, of which the one that is shown worst counts.

        Returns
        -------
        ndarray of float32, shape (image,)
            Calibrated probabilities: from one half on, the picture shows it.

        Raises
        ------
        ParameterError
            If the judge does not know a text, or there are not as many as pictures.
        """
        if len(images) != len(texts):
            raise ParameterError(f"{len(images)} pictures need as many texts, got {len(texts)}")
        self.check(texts)
        views = look(self.judge, images)
        worst = [
            min(self._odds(views, index, phrase) for phrase in text.split(AND))
            for index, text in enumerate(texts)
        ]
        return np.array([odds / (1 + odds) for odds in worst], np.float32)

    def _odds(self, views: Views, picture: int, phrase: str) -> float:
        """Give the odds that a picture shows a phrase, which at the threshold are even."""
        colored = read_phrase(phrase)[0] is not None
        raw, even = raw_score(views, picture, phrase), self.thresholds[int(colored)]
        raw = min(max(raw, 1e-9), 1 - 1e-9)  # the judge may be as sure as float32 can be
        return raw / (1 - raw) * (1 - even) / even


def pair_score(folder: str | Path = MINIATURE) -> PairScore:
    """Load the judge with its thresholds for two things side by side.

    Parameters
    ----------
    folder : str or Path
        ``"miniature"`` (shipped), or a miniature's folder.

    Raises
    ------
    ModelError
        If there is no judge, or it was never measured on pairs.
    """
    path = data_path(MINIATURE) if str(folder) == MINIATURE else Path(folder)
    if not (path / FILE).is_file():
        raise ModelError(f"there is no {FILE} in {path}; measure the miniature first")
    judge = load_judge(path / "judge")
    measured = json.loads((path / FILE).read_text())
    thing, colored = measured["thresholds"].values()
    name = f"judge {weights_digest(judge.network)} of pairs, {thing} and {colored}"
    return PairScore(judge, name, (thing, colored), measured["rates"])
