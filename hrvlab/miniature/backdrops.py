"""Backgrounds (plain tints, weather, landscapes), and the weather in front of the figures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

UNITS = 64  # the backgrounds are described on a grid of 64 × 64, whatever the side of the image
Pixels = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

TINTS = ["#f4f1ea", "#e9f0f4", "#eef4e6", "#f6ebe9", "#efeaf5", "#f7f3dc"]
FALLING = {"rainy": "#7fa6d8", "snowy": "#ffffff", "stormy": "#8c93b8"}


class Pen:
    """Draw on an image in units of a 64th of its side; boxes and lines include their last unit."""

    def __init__(self, image: Image.Image) -> None:
        self.scale = image.width // UNITS
        self._draw = ImageDraw.Draw(image)

    def _box(self, box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        left, top, right, bottom = box
        k = self.scale
        return left * k, top * k, (right + 1) * k - 1, (bottom + 1) * k - 1

    def rectangle(self, box: tuple[int, int, int, int], fill: str) -> None:
        """Fill a rectangle."""
        self._draw.rectangle(self._box(box), fill)

    def ellipse(self, box: tuple[int, int, int, int], fill: str) -> None:
        """Fill an ellipse."""
        self._draw.ellipse(self._box(box), fill)

    def polygon(self, points: list[tuple[int, int]], fill: str) -> None:
        """Fill a polygon."""
        self._draw.polygon([(x * self.scale, y * self.scale) for x, y in points], fill)

    def line(self, ends: tuple[int, int, int, int], fill: str) -> None:
        """Draw a line of one unit's width."""
        self._draw.line([value * self.scale for value in ends], fill, width=self.scale)

    def arc(self, box: tuple[int, int, int, int], fill: str) -> None:
        """Draw the lower half of an ellipse, two units wide."""
        self._draw.arc(self._box(box), 180, 360, fill, width=2 * self.scale)


def backdrop(
    weather: str | None, landscape: str | None, rng: np.random.Generator, side: int
) -> Pixels:
    """Paint the background of a scene.

    Parameters
    ----------
    weather, landscape : str or None
        Of `world.WEATHERS` and `world.LANDSCAPES`; without either, a plain tint.
    rng : numpy.random.Generator
        Draws the tint and a small shift of the scenery.
    side : int
        Pixels, a multiple of 64.

    Returns
    -------
    ndarray of float32, shape (side, side, 3), in [0, 1]
    """
    image = Image.new("RGB", (side, side), TINTS[rng.integers(len(TINTS))])
    pen = Pen(image)
    shift = int(rng.integers(-3, 4))
    if weather:
        _WEATHERS[weather](pen, shift)
    if landscape:
        _LANDSCAPES[landscape](pen, shift)
    return np.array(image, np.float32) / 255


def foreground(
    canvas: Pixels, weather: str | None, rng: np.random.Generator
) -> tuple[Pixels, Mask]:
    """Paint rain, snow or fog over the figures.

    Parameters
    ----------
    canvas : ndarray of float32, shape (side, side, 3)
        In [0, 1].
    weather : str or None
    rng : numpy.random.Generator
        Draws the positions of drops and flakes.

    Returns
    -------
    canvas : ndarray of float32, shape (side, side, 3)
    covered : ndarray of bool, shape (side, side)
        The pixels of drops and flakes; fog covers none, because the figures show through it.
    """
    side = len(canvas)
    if weather == "foggy":
        depth = np.linspace(0.62, 0.38, side, dtype=np.float32)[:, None, None]
        return canvas * (1 - depth) + 0.86 * depth, np.zeros((side, side), bool)
    if weather not in FALLING:
        return canvas, np.zeros((side, side), bool)
    drops = Image.new("L", (side, side))
    pen = Pen(drops)
    for x, y in rng.integers(0, UNITS, size=(26 if weather == "snowy" else 22, 2)).tolist():
        if weather == "snowy":
            pen.ellipse((x, y, x + 2, y + 2), "#ffffff")
        else:
            pen.line((x, y, x - 2, y + 6), "#ffffff")
    covered = np.asarray(drops) > 0
    color = np.array(ImageColor.getrgb(FALLING[weather]), np.float32) / 255
    return np.where(covered[..., None], color, canvas), covered


def _bands(pen: Pen, *bands: tuple[int, str]) -> None:
    """Fill horizontal bands, each from its upper edge to the bottom of the image."""
    for top, color in bands:
        pen.rectangle((0, top, UNITS, UNITS), color)


def _sunny(pen: Pen, shift: int) -> None:
    _bands(pen, (0, "#5db8f5"), (52 + shift, "#8fd06a"))
    pen.ellipse((46, -6 + shift, 68, 16 + shift), "#ffd92e")


def _cloud(pen: Pen, x: int, y: int, color: str) -> None:
    for dx, dy, r in ((0, 2, 6), (8, 0, 8), (17, 2, 6)):
        pen.ellipse((x + dx - r, y + dy - r, x + dx + r, y + dy + r), color)


def _rainy(pen: Pen, shift: int) -> None:
    _bands(pen, (0, "#a9b7c6"), (54 + shift, "#7d9a86"))
    _cloud(pen, 8 + shift, 7, "#76839a")
    _cloud(pen, 40 + shift, 6, "#808da3")


def _snowy(pen: Pen, shift: int) -> None:
    _bands(pen, (0, "#b5cbe3"), (46 + shift, "#f8fbff"))


def _foggy(pen: Pen, shift: int) -> None:
    _bands(pen, (0, "#cfd3d4"), (48 + shift, "#b9bfbe"))


def _stormy(pen: Pen, shift: int) -> None:
    _bands(pen, (0, "#39405c"), (54 + shift, "#2b3640"))
    _cloud(pen, 8, 6, "#262b40")
    _cloud(pen, 40, 6, "#262b40")
    x = 50 + shift
    bolt = [(x + 4, 8), (x - 3, 24), (x + 2, 24), (x - 4, 42), (x + 9, 20), (x + 4, 20)]
    pen.polygon([*bolt, (x + 10, 8)], "#ffe94d")


def _beach(pen: Pen, shift: int) -> None:
    _bands(pen, (0, "#9be0f7"), (24 + shift, "#2c9fd6"), (38 + shift, "#f3dca0"))


def _forest(pen: Pen, shift: int) -> None:
    _bands(pen, (0, "#bfe3c0"), (50, "#4a6b35"))
    for x in range(-8 + shift, UNITS + 8, 13):
        pen.rectangle((x + 5, 30, x + 8, 54), "#5a3d22")
        pen.polygon([(x - 2, 44), (x + 6, 4), (x + 15, 44)], "#1f6b33")


def _desert(pen: Pen, shift: int) -> None:
    _bands(pen, (0, "#fbd58e"), (34, "#e3a857"))
    pen.polygon([(-10, 48), (18 + shift, 26), (46, 48)], "#d9964a")
    pen.polygon([(22, 56), (54 + shift, 30), (84, 56)], "#cf8b42")
    _bands(pen, (47, "#dd9d50"))


def _mountain(pen: Pen, shift: int) -> None:
    _bands(pen, (0, "#cfe4f7"), (54, "#7c9a6e"))
    for x, top, width in ((14 + shift, 8, 26), (48 + shift, 14, 24)):
        pen.polygon([(x - width, 56), (x, top), (x + width, 56)], "#6f7b8c")
        pen.polygon([(x - 7, top + 13), (x, top), (x + 7, top + 13)], "#ffffff")


def _meadow(pen: Pen, shift: int) -> None:
    _bands(pen, (0, "#c9efff"), (26 + shift, "#86cf58"))
    for i, color in enumerate(["#ff5d8f", "#ffe14d", "#ffffff"] * 5):
        x, y = (i * 23 + shift) % UNITS, 32 + (i * 17) % 30
        pen.ellipse((x, y, x + 3, y + 3), color)


def _ocean(pen: Pen, shift: int) -> None:
    _bands(pen, (0, "#d6f0ff"), (14 + shift, "#1c5fae"))
    for row, y in enumerate(range(22 + shift, UNITS, 9)):
        for x in range(-6 + 7 * (row % 2), UNITS, 14):
            pen.arc((x, y, x + 10, y + 6), "#8cc4ee")


_WEATHERS = {
    "sunny": _sunny,
    "rainy": _rainy,
    "snowy": _snowy,
    "foggy": _foggy,
    "stormy": _stormy,
}
_LANDSCAPES = {
    "beach": _beach,
    "forest": _forest,
    "desert": _desert,
    "mountain": _mountain,
    "meadow": _meadow,
    "ocean": _ocean,
}
