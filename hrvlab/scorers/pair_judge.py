"""Scores of two objects side by side in an image of the miniature.

The judge learned colors from images of one kind of object, and often misses one of two objects. So
it also judges the left and the right part of the image by themselves, each enlarged to an image.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from PIL import Image

from hrvlab.errors import ModelError, ParameterError
from hrvlab.models.load import weights_digest
from hrvlab.paths import MINIATURE, data_path, user_path
from hrvlab.scorers.base import check_counts
from hrvlab.scorers.judge import NONE, OBJECTS, SIDE, load_judge

if TYPE_CHECKING:
    from hrvlab.scorers.judge import Judge
    from hrvlab.typing import Images

FILE = "pairs.json"
COLOR = "color"
AND = " and "
# Left, top, right and bottom of the parts in which the world renders two objects.
PARTS = ((2, 18, 34, 50), (30, 18, 62, 50))

# The judge's answers about the left part, the right part and the whole of some images.
Views = tuple[xr.Dataset, xr.Dataset, xr.Dataset]


def enlarge(images: Images, box: tuple[int, int, int, int]) -> Images:
    """Crop images and enlarge the part to their size.

    Parameters
    ----------
    images : ndarray of uint8, shape (image, 64, 64, 3)
    box : tuple of int
        Left, top, right and bottom of the part, in pixels.

    Returns
    -------
    ndarray of uint8, shape (image, 64, 64, 3)
    """
    parts = [Image.fromarray(image).crop(box) for image in images]
    return np.stack([np.asarray(p.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for p in parts])


def read_phrase(phrase: str) -> tuple[str | None, str]:
    """Split a phrase such as ``"a red cat"`` or ``"cat"`` into its color, if any, and its object.

    Parameters
    ----------
    phrase : str

    Returns
    -------
    color : str or None
    noun : str
    """
    *before, noun = [word for word in phrase.split() if word not in ("a", "an")] or [""]
    return " ".join(before) or None, noun


def look(judge: Judge, images: Images) -> Views:
    """Compute the judge's answers about the left part, the right part and the whole of images.

    Parameters
    ----------
    judge : Judge
    images : ndarray of uint8, shape (image, 64, 64, 3)

    Returns
    -------
    left, right, whole : xarray.Dataset
        See `Judge`.
    """
    left, right = (judge(enlarge(images, box)) for box in PARTS)
    return left, right, judge(images)


def raw_score(views: Views, image: int, text: str) -> float:
    """Compute the judge's probability that an image shows a phrase, before calibration.

    For an object alone, it is the highest probability in any view. For an object of a color, it is
    the product of both probabilities in the part where this product is highest.

    Parameters
    ----------
    views : tuple of xarray.Dataset
        From `look`.
    image : int
        Its number among the views' images.
    text : str
        A phrase such as ``"a cat"`` or ``"a red cat"``.

    Returns
    -------
    float
        In [0, 1].
    """
    color, noun = read_phrase(text)
    if color is None:
        return max(_probability(view, image, OBJECTS, noun) for view in views)
    return max(
        _probability(part, image, OBJECTS, noun) * _probability(part, image, COLOR, color)
        for part in views[:2]
    )


def _probability(seen: xr.Dataset, image: int, question: str, answer: str) -> float:
    answers = seen[question].coords[f"{question}_answer"].values.tolist()
    return float(seen[question].values[image, answers.index(answer)])


@dataclass(frozen=True)
class PairScore:
    """The calibrated probability that an image shows an object, or an object of a color.

    Parameters
    ----------
    judge : Judge
    name : str
    raw_thresholds : tuple of float
        The judge's raw probability of an object, and of an object of a color, at which the image
        is as likely to show it as not; measured on rendered images, whose content is known. The
        log-odds are shifted so that the score there is one half.
    rates : list of dict
        How often the judge is right: ``question``, ``images``, ``correct``, ``of``, ``low`` and
        ``high``.
    threshold : float
        The lowest score at which the image counts as showing it.
    """

    judge: Judge
    name: str
    raw_thresholds: tuple[float, float]
    rates: list[dict[str, Any]]
    threshold: float = 0.5

    def check(self, texts: Sequence[str]) -> None:
        """Raise an error if the judge does not know some of the texts."""
        colors = {None, *self.judge.questions[COLOR]} - {NONE}
        objects = self.judge.questions[OBJECTS]
        phrases = {phrase: read_phrase(phrase) for text in texts for phrase in text.split(AND)}
        unknown = sorted(
            phrase
            for phrase, (color, noun) in phrases.items()
            if color not in colors or noun not in objects
        )
        if unknown:
            raise ParameterError(
                f"the judge does not know {', '.join(map(repr, unknown))}; give an object of the "
                "miniature's world, alone or after a color, such as 'a cat' or 'a red cat'"
            )

    def __call__(self, images: Images, texts: Sequence[str]) -> NDArray[np.float32]:
        """Rate images against phrases.

        Parameters
        ----------
        images : ndarray of uint8, shape (image, 64, 64, 3)
        texts : sequence of str
            One for each image, such as ``"a cat"``, ``"a red cat"``, or several phrases joined by
            ``" and "``, of which the one with the lowest score counts.

        Returns
        -------
        ndarray of float32, shape (image,)
            Calibrated probabilities.

        Raises
        ------
        ParameterError
            If the judge does not know a text, or there are not as many texts as images.
        """
        check_counts(images, texts)
        self.check(texts)
        views = look(self.judge, images)
        worst = [
            min(self._odds(views, index, phrase) for phrase in text.split(AND))
            for index, text in enumerate(texts)
        ]
        return np.array([odds / (1 + odds) for odds in worst], np.float32)

    def _odds(self, views: Views, image: int, phrase: str) -> float:
        """Compute the odds that an image shows a phrase, which are even at the raw threshold."""
        colored = read_phrase(phrase)[0] is not None
        raw, even = raw_score(views, image, phrase), self.raw_thresholds[int(colored)]
        raw = min(max(raw, 1e-9), 1 - 1e-9)  # in float32 the judge can reach 0 and 1
        return raw / (1 - raw) * (1 - even) / even


def pair_score(folder: str | Path = MINIATURE) -> PairScore:
    """Load the judge that scores images of two objects side by side.

    Parameters
    ----------
    folder : str or Path
        ``"miniature"`` (shipped), or the folder of a miniature.

    Returns
    -------
    PairScore
        Takes images, uint8 of shape (image, 64, 64, 3), and as many texts; returns probabilities.

    Raises
    ------
    ModelError
        If there is no judge, or it was not calibrated for two objects.

    Examples
    --------
    >>> score = hl.pair_score()
    >>> images = hl.generate(pipe, "a cat and a car", num_inference_steps=2, progress=False)
    >>> score(images, ["a cat and a car"]).shape
    (1,)
    """
    path = data_path(MINIATURE) if str(folder) == MINIATURE else user_path(folder)
    if not (path / FILE).is_file():
        raise ModelError(f"there is no {FILE} in {path}; give 'miniature' or a measured miniature")
    judge = load_judge(path / "judge")
    measured = json.loads((path / FILE).read_text())
    alone, colored = measured["thresholds"].values()
    name = f"judge {weights_digest(judge.network)} of pairs, {alone} and {colored}"
    return PairScore(judge, name, (alone, colored), measured["rates"])
