"""The protocol of scores, and what is done with one score or with several by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
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
    def threshold(self) -> float | None:
        """The lowest score of an image that shows its text; None if the score cannot tell."""

    def check(self, texts: Sequence[str]) -> None:
        """Raise an error if images cannot be rated against some of the texts."""

    def __call__(self, images: Images, texts: Sequence[str]) -> NDArray[np.float32]:
        """Rate images (image, y, x, channel) against texts, one for each image."""


def rate(
    score: Score | Mapping[str, Score],
    images: Images,
    texts: Sequence[str],
    withheld: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Rate images by one score, or by several.

    Parameters
    ----------
    score : Score, or mapping of str to Score
    images : ndarray of uint8, shape (image, y, x, channel)
    texts : sequence of str
        One for each image.
    withheld : ndarray of bool, shape (image,), optional
        Which images a safety checker replaced by black ones. They are not rated.

    Returns
    -------
    ndarray of float32, shape (image,), or (score, image) for several scores
        NaN for images that were withheld.

    Raises
    ------
    ParameterError
        If a score cannot rate the images against the texts, or does not give one finite number for
        each image.
    """
    rates = [_rate(one, images, texts, withheld) for one in by_evaluator(score).values()]
    return np.stack(rates) if isinstance(score, Mapping) else rates[0]


def by_evaluator(score: Score | Mapping[str, Score]) -> Mapping[str, Score]:
    """Return scores by the names of their evaluators; a single score has the name ``""``.

    Parameters
    ----------
    score : Score, or mapping of str to Score

    Returns
    -------
    mapping of str to Score

    Raises
    ------
    ParameterError
        If there is no score, or one of them is not of the form of `Score`.
    """
    several = score if isinstance(score, Mapping) else {"": score}
    if not several:
        raise ParameterError("there is no score; give one, or several by name")
    for one in several.values():
        _check_form(one)
    return several


def score_names(score: Score | Mapping[str, Score]) -> str | dict[str, str]:
    """Return the name that identifies a score in plans; for several, one for each key.

    Parameters
    ----------
    score : Score, or mapping of str to Score

    Returns
    -------
    str, or dict of str to str
    """
    names = {name: one.name for name, one in by_evaluator(score).items()}
    return names if isinstance(score, Mapping) else names[""]


def score_thresholds(
    score: Score | Mapping[str, Score],
) -> float | dict[str, float | None] | None:
    """Return the lowest score of an image that shows its text; for several, one for each key.

    Parameters
    ----------
    score : Score, or mapping of str to Score

    Returns
    -------
    float or None, or dict of str to float or None
        None for a score that cannot tell.
    """
    thresholds = {name: one.threshold for name, one in by_evaluator(score).items()}
    return thresholds if isinstance(score, Mapping) else thresholds[""]


def thresholds_of(score: Score | Mapping[str, Score]) -> xr.DataArray:
    """Label the lowest score of an image that shows its text by its evaluator.

    Parameters
    ----------
    score : Score, or mapping of str to Score

    Returns
    -------
    xarray.DataArray of float64
        Without dims, or with the dim ``evaluator`` for several scores; NaN for a score that cannot
        tell.
    """
    thresholds = score_thresholds(score)
    if isinstance(thresholds, dict):
        values = np.array(list(thresholds.values()), np.float64)
        return xr.DataArray(values, {"evaluator": list(thresholds)}, ("evaluator",))
    return xr.DataArray(np.array(thresholds, np.float64))


def reaches(scores: xr.DataArray, thresholds: xr.DataArray | float | None) -> xr.DataArray:
    """Compute which images show their texts.

    Parameters
    ----------
    scores : xarray.DataArray
        NaN for images that were withheld.
    thresholds : xarray.DataArray, float or None
        The lowest scores of images that show their texts; NaN or None: the score cannot tell.

    Returns
    -------
    xarray.DataArray of bool, or of float64 with NaN where it is not known
    """
    lowest = np.nan if thresholds is None else thresholds
    return where_known(scores >= lowest, (scores - lowest).notnull())


def where_known(outcome: xr.DataArray, known: xr.DataArray) -> xr.DataArray:
    """Keep an outcome where it is known.

    Parameters
    ----------
    outcome, known : xarray.DataArray of bool

    Returns
    -------
    xarray.DataArray of bool, or of float64 with NaN where it is not known
    """
    return outcome if bool(known.all()) else outcome.astype(np.float64).where(known)


def check_texts(score: Score | Mapping[str, Score], texts: Sequence[str]) -> None:
    """Raise an error if a score, or one of several, cannot rate images against some of the texts.

    Parameters
    ----------
    score : Score, or mapping of str to Score
    texts : sequence of str

    Raises
    ------
    ParameterError
        Also if there is no score, or one of them is not of the form of `Score`.
    """
    for one in by_evaluator(score).values():
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


def _check_form(score: Score) -> None:
    """Raise an error unless a score has all that the protocol asks for."""
    name = getattr(score, "name", None)
    if (
        not isinstance(name, str)
        or not callable(score)
        or not callable(getattr(score, "check", None))
    ):
        raise ParameterError(
            f"{type(score).__name__} is not a score: it needs a text as its name, a threshold, a "
            "method check(texts), and to be called with images and texts"
        )
    if not hasattr(score, "threshold"):
        raise ParameterError(
            f"the score {name!r} has no threshold (called least in hrvlab 0.1.0); set it to the "
            "lowest score of an image that shows its text, or to None if the score cannot tell"
        )
    if score.threshold is not None and not isinstance(score.threshold, Real):
        raise ParameterError(
            f"the threshold of the score {name!r} is {score.threshold!r}; give a number or None"
        )


def _rate(
    score: Score, images: Images, texts: Sequence[str], withheld: NDArray[np.bool_] | None
) -> NDArray[np.float32]:
    """Rate the images that were not withheld by one score; NaN for the others."""
    if withheld is None or not np.any(withheld):
        return _as_rates(score, images, texts)
    shown = np.flatnonzero(~np.asarray(withheld, bool)).tolist()
    rates = np.full(len(images), np.nan, np.float32)
    if shown:
        rates[shown] = _as_rates(score, images[shown], [texts[image] for image in shown])
    return rates


def _as_rates(score: Score, images: Images, texts: Sequence[str]) -> NDArray[np.float32]:
    """Rate images, and raise an error unless every one gets a finite number."""
    given = score(images, texts)
    try:
        rates = np.asarray(given)
        dtype, shape = rates.dtype, rates.shape
        rates = rates.astype(np.float32)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ParameterError(
            f"the score {score.name!r} gave something other than numbers: {error}"
        ) from error
    if dtype.kind not in "fiub" or shape != (len(images),):
        raise ParameterError(
            f"the score {score.name!r} gave {dtype} of shape {shape} for {len(images)} images; it "
            "must give one number for each"
        )
    if not np.isfinite(rates).all():
        first = int(np.isfinite(rates).argmin())
        raise ParameterError(
            f"the score {score.name!r} of {texts[first]!r} is {rates[first]} for an image; it must "
            "be a finite number"
        )
    return rates
