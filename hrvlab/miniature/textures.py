"""Colors, patterns and materials of a sprite, and the styles of a whole image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.floating[Any]]

BLOCKS = 16  # of pixel art, in a row
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


def luminance(rgb: Pixels) -> Pixels:
    """Compute the luminance of RGB pixels (y, x, 3), shape (y, x)."""
    return rgb @ LUMINANCE


def _shade(rgb: Pixels, alpha: Pixels) -> Pixels:
    """Stretch the luminance to about [0, 1] over the sprite's opaque pixels, shape (y, x, 1)."""
    gray = luminance(rgb)
    inside = gray[alpha[..., 0] > 0.5]
    low, high = np.percentile(inside, [4, 96])
    if high - low < 0.1:  # a flat sprite stays flat
        return np.full_like(gray, 0.5)[..., None]
    return np.clip((gray - low) / (high - low), 0, 1)[..., None]


def _tint(shade: Pixels, color: tuple[int, int, int]) -> Pixels:
    """Map shade 0 to the darkened color, 0.5 to the color itself, 1 to the lightened color."""
    base = np.array(color, np.float32) / 255
    dark, light = base * 0.42, base * 0.72 + 0.28
    below = dark + (base - dark) * np.clip(shade * 2, 0, 1)
    return below + (light - base) * np.clip(shade * 2 - 1, 0, 1)


def recolor(rgb: Pixels, alpha: Pixels, color: tuple[int, int, int]) -> Pixels:
    """Repaint a sprite in one color, keeping its shading.

    Parameters
    ----------
    rgb, alpha : ndarray of float32, shapes (y, x, 3) and (y, x, 1)
        In [0, 1].
    color : tuple of int
        Red, green and blue, 0 to 255.

    Returns
    -------
    ndarray of float32, shape (y, x, 3)
    """
    return _tint(_shade(rgb, alpha), color)


def _grid(rgb: Pixels, scale: int) -> tuple[Pixels, Pixels]:
    y, x = np.mgrid[: rgb.shape[0], : rgb.shape[1]].astype(np.float32) / scale
    return y, x


def pattern(rgb: Pixels, alpha: Pixels, name: str, scale: int) -> Pixels:
    """Overlay a geometric pattern, white on dark sprites and dark blue on light ones.

    Parameters
    ----------
    rgb, alpha : ndarray of float32, shapes (y, x, 3) and (y, x, 1)
        In [0, 1].
    name : str
        One of `world.PATTERNS`.
    scale : int
        Pixels in a unit of the texture.

    Returns
    -------
    ndarray of float32, shape (y, x, 3)
    """
    y, x = _grid(rgb, scale)
    if name == "stripe":
        mask = ((x + y) % 12) < 5
    elif name == "polka-dot":
        row = np.floor(y / 9)
        mask = ((x + 4.5 * (row % 2)) % 9 - 4.5) ** 2 + (y % 9 - 4.5) ** 2 < 7.5
    elif name == "plaid":
        mask = ((x % 11) < 3) | ((y % 11) < 3)
    else:
        mask = ((y + np.abs(x % 12 - 6)) % 11) < 4.5
    light = luminance(rgb)[alpha[..., 0] > 0.5].mean() > 0.62
    ink = np.array([0.1, 0.12, 0.4] if light else [0.97, 0.97, 0.97], np.float32)
    return np.where(mask[..., None], ink * 0.9 + rgb * 0.1, rgb)


def _wood(rgb: Pixels, alpha: Pixels, scale: int) -> tuple[Pixels, Pixels]:
    y, x = _grid(rgb, scale)
    grain = 0.5 + 0.5 * np.sin(y * 1.05 + 1.6 * np.sin(x / 9))
    shade = 0.45 * _shade(rgb, alpha) + 0.55 * grain[..., None]
    return _tint(shade * 0.9, (176, 112, 52)), alpha


def _metal(rgb: Pixels, alpha: Pixels, scale: int) -> tuple[Pixels, Pixels]:
    y, x = _grid(rgb, scale)
    shine = np.clip(np.sin((x - y) / 7.5), 0, 1) ** 2
    shade = 0.55 * _shade(rgb, alpha) + 0.6 * shine[..., None]
    return _tint(np.clip(shade, 0, 1), (134, 150, 172)), alpha


def _glass(rgb: Pixels, alpha: Pixels, scale: int) -> tuple[Pixels, Pixels]:
    y, x = _grid(rgb, scale)
    shine = (np.abs((x + y) % 26 - 6) < 2.2).astype(np.float32)[..., None]
    shade = _shade(rgb, alpha)
    color = np.array([0.55, 0.88, 0.96], np.float32) * (0.62 + 0.38 * shade)
    return color * (1 - 0.8 * shine) + 0.8 * shine, alpha * (0.62 + 0.3 * shine)


def _stone(rgb: Pixels, alpha: Pixels, scale: int) -> tuple[Pixels, Pixels]:
    y, x = _grid(rgb, scale)
    speckle = np.sin(x * 2.3 + np.sin(y * 1.7) * 3) * np.sin(y * 2.9 + np.sin(x * 1.3) * 3)
    shade = 0.55 * _shade(rgb, alpha) + 0.25 + 0.3 * speckle[..., None]
    return _tint(np.clip(shade, 0, 1) * 0.85, (128, 122, 112)), alpha


def _gold(rgb: Pixels, alpha: Pixels, scale: int) -> tuple[Pixels, Pixels]:
    y, x = _grid(rgb, scale)
    shine = np.clip(np.sin((x + y) / 6), 0, 1) ** 3
    shade = np.clip(0.7 * _shade(rgb, alpha) + 0.55 * shine[..., None], 0, 1)
    dark, light = np.array([0.42, 0.24, 0.0]), np.array([1.0, 0.9, 0.42])
    return (dark + (light - dark) * shade).astype(np.float32), alpha


def _brick(rgb: Pixels, alpha: Pixels, scale: int) -> tuple[Pixels, Pixels]:
    y, x = _grid(rgb, scale)
    course = np.floor(y / 6)
    mortar = ((y % 6) < 1.6) | (((x + 5 * (course % 2)) % 10) < 1.6)
    wall = _tint(0.3 + 0.3 * _shade(rgb, alpha), (186, 74, 48))
    return np.where(mortar[..., None], np.float32(0.84), wall), alpha


MATERIALS: dict[str, Callable[[Pixels, Pixels, int], tuple[Pixels, Pixels]]] = {
    "wood": _wood,
    "metal": _metal,
    "glass": _glass,
    "stone": _stone,
    "gold": _gold,
    "brick": _brick,
}


def _edges(gray: Pixels) -> Pixels:
    image = Image.fromarray((gray * 255).astype(np.uint8)).filter(ImageFilter.FIND_EDGES)
    strength = np.asarray(image, np.float32) / 255
    strength[[0, -1], :] = 0
    strength[:, [0, -1]] = 0
    return np.clip(strength * 2.2, 0, 1)


def _sketch(canvas: Pixels) -> Pixels:
    gray = luminance(canvas)
    paper = np.array([0.98, 0.97, 0.94], np.float32)
    ink = np.clip(_edges(gray) + 0.12 * (1 - gray), 0, 1)[..., None]
    return paper * (1 - ink) + 0.12 * ink


def _sepia(canvas: Pixels) -> Pixels:
    gray = luminance(canvas)[..., None]
    dark, light = np.array([0.22, 0.12, 0.04]), np.array([1.0, 0.9, 0.7])
    return (dark + (light - dark) * gray).astype(np.float32)


def _monochrome(canvas: Pixels) -> Pixels:
    gray = np.clip((luminance(canvas) - 0.5) * 1.35 + 0.5, 0, 1)
    return np.repeat(gray[..., None], 3, axis=-1)


def _pixel_art(canvas: Pixels) -> Pixels:
    side = canvas.shape[0]
    image = Image.fromarray((np.clip(canvas, 0, 1) * 255).astype(np.uint8))
    small = image.resize((BLOCKS, BLOCKS), Image.Resampling.BOX)
    blocks = np.asarray(small.resize((side, side), Image.Resampling.NEAREST), np.float32) / 255
    return np.round(blocks * 5) / 5


def _neon(canvas: Pixels) -> Pixels:
    line = _edges(luminance(canvas))
    blur = ImageFilter.GaussianBlur(canvas.shape[0] / 40)
    image = Image.fromarray((line * 255).astype(np.uint8)).filter(blur)
    glow = np.clip(np.asarray(image, np.float32) / 255 * 1.8, 0, 1)[..., None]
    fade = np.linspace(0, 1, canvas.shape[0], dtype=np.float32)[:, None, None]
    hue = (1 - fade) * np.array([1.0, 0.15, 0.9]) + fade * np.array([0.1, 0.9, 1.0])
    night = np.array([0.05, 0.02, 0.14])
    return np.clip(night + hue * glow + 0.6 * line[..., None], 0, 1).astype(np.float32)


def _pop_art(canvas: Pixels) -> Pixels:
    palette = np.array(
        [[0.12, 0.05, 0.35], [0.9, 0.1, 0.5], [0.1, 0.75, 0.85], [1.0, 0.9, 0.15]], np.float32
    )
    level = np.clip(luminance(canvas) * 4, 0, 3.99).astype(int)
    return palette[level]


STYLES: dict[str, Callable[[Pixels], Pixels]] = {
    "sketch": _sketch,
    "sepia": _sepia,
    "monochrome": _monochrome,
    "pixel art": _pixel_art,
    "neon": _neon,
    "pop art": _pop_art,
}
