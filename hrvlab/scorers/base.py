"""The protocol of scores, and what is done with one score or with several by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrvlab.errors import ParameterError

if TYPE_CHECKING:
    from hrvlab.typing import Images


class Score(Protocol):
    """A rating of each image against its own text; higher means a better match."""

    @property
    def name(self) -> str:
        """The name that identifies the score in plans and datasets."""

    @property
    def threshold(self) -> float:
        """The lowest score of an image that shows its text."""

    def check(self, texts: Sequence[str]) -> None:
        """Raise an error if images cannot be rated against some of the texts."""

    def __call__(self, images: Images, texts: Sequence[str]) -> NDArray[np.float32]:
        """Rate images (image, y, x, channel) against texts, one for each image."""


def rate(
    score: Score | Mapping[str, Score], images: Images, texts: Sequence[str]
) -> NDArray[np.float32]:
    """Rate images by one score, or by several.

    Parameters
    ----------
    score : Score, or mapping of str to Score
    images : ndarray of uint8, shape (image, y, x, channel)
    texts : sequence of str
        One for each image.

    Returns
    -------
    ndarray of float32, shape (image,), or (score, image) for several scores

    Raises
    ------
    ParameterError
        If a score cannot rate the images against the texts.
    """
    if isinstance(score, Mapping):
        return np.stack([one(images, texts) for one in score.values()])
    return score(images, texts)


def score_names(score: Score | Mapping[str, Score]) -> str | dict[str, str]:
    """Return the name that identifies a score in plans; for several, one for each key.

    Parameters
    ----------
    score : Score, or mapping of str to Score

    Returns
    -------
    str, or dict of str to str
    """
    if isinstance(score, Mapping):
        return {name: one.name for name, one in score.items()}
    return score.name


def score_thresholds(score: Score | Mapping[str, Score]) -> float | dict[str, float]:
    """Return the lowest score of an image that shows its text; for several, one for each key.

    Parameters
    ----------
    score : Score, or mapping of str to Score

    Returns
    -------
    float, or dict of str to float
    """
    if isinstance(score, Mapping):
        return {name: one.threshold for name, one in score.items()}
    return score.threshold


def thresholds_of(score: Score | Mapping[str, Score]) -> float | xr.DataArray:
    """Label the lowest score of an image that shows its text by its evaluator.

    Parameters
    ----------
    score : Score, or mapping of str to Score

    Returns
    -------
    float, or xarray.DataArray with dim ``evaluator`` for several scores
    """
    thresholds = score_thresholds(score)
    if isinstance(thresholds, dict):
        names = list(thresholds)
        return xr.DataArray(list(thresholds.values()), {"evaluator": names}, ("evaluator",))
    return thresholds


def check_texts(score: Score | Mapping[str, Score], texts: Sequence[str]) -> None:
    """Raise an error if a score, or one of several, cannot rate images against some of the texts.

    Parameters
    ----------
    score : Score, or mapping of str to Score
    texts : sequence of str

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


def check_counts(images: Images, texts: Sequence[str]) -> None:
    """Raise an error unless there is one text for each image.

    Parameters
    ----------
    images : ndarray of uint8, shape (image, y, x, channel)
    texts : sequence of str

    Raises
    ------
    ParameterError
    """
    if len(images) != len(texts):
        raise ParameterError(f"{len(images)} images need as many texts, got {len(texts)}")
