"""Rendering of scenes: emoji, textures and filters composed into images, with exact masks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from hrvlab.errors import StoreError
from hrvlab.miniature import textures, world
from hrvlab.miniature.backdrops import UNITS, backdrop, foreground

if TYPE_CHECKING:
    from hrvlab.miniature.backdrops import Mask
    from hrvlab.miniature.scenes import Figure, Scene

SIDE = 64
FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
STRIKE = 109  # the only size of the font's bitmaps

Pixels = NDArray[np.floating[Any]]


def check_font() -> None:
    """Check that the emoji font is installed.

    Raises
    ------
    StoreError
        If the Noto Color Emoji font is not installed.
    """
    if not FONT.exists():
        raise StoreError(
            f"rendering needs {FONT.name}: install Debian's package fonts-noto-color-emoji"
        )


@dataclass(frozen=True)
class Rendering:
    """An image of a scene, and which pixels show what.

    Parameters
    ----------
    image : ndarray of uint8, shape (side, side, 3)
    figures : ndarray of bool, shape (figure, side, side)
        For each figure of the scene, the pixels where it, or a copy of it, is seen: those that it
        covers at least half, without drops and flakes in front of it.
    weather : ndarray of bool, shape (side, side)
        The weather's sky and ground, drops and flakes; empty without weather.
    background : ndarray of bool, shape (side, side)
        The pixels that no figure covers half.
    """

    image: NDArray[np.uint8]
    figures: Mask
    weather: Mask
    background: Mask


def render(scene: Scene, side: int = SIDE) -> NDArray[np.uint8]:
    """Render a scene; the same scene always has the same pixels.

    Parameters
    ----------
    scene : Scene
    side : int
        Pixels, a multiple of 64.

    Returns
    -------
    ndarray of uint8, shape (side, side, 3)

    Raises
    ------
    StoreError
        If the Noto Color Emoji font is not installed.
    """
    return render_with_masks(scene, side).image


def render_with_masks(scene: Scene, side: int = SIDE) -> Rendering:
    """Render a scene, and compute the masks of its figures, of its weather and of its background.

    Parameters
    ----------
    scene : Scene
    side : int
        Pixels, a multiple of 64.

    Returns
    -------
    Rendering

    Raises
    ------
    StoreError
        If the Noto Color Emoji font is not installed.
    """
    rng = np.random.Generator(np.random.Philox(key=scene.seed))
    scale = side // UNITS
    canvas = backdrop(scene.weather, scene.landscape, rng, side)
    seen = np.zeros((len(scene.figures), side, side), bool)
    for copy, (figure, x, y, size) in enumerate(_placements(scene, rng)):
        sprite = _sprite(figure, size * scale, scale)
        shown = _paste(canvas, sprite, x * scale, y * scale)
        seen &= ~shown
        seen[copy % len(scene.figures)] |= shown
    background = np.logical_not(seen.any(0))
    canvas, falling = foreground(canvas, scene.weather, rng)
    if scene.style:
        canvas = textures.STYLES[scene.style](canvas)
    return Rendering(
        image=np.clip(canvas * 255 + 0.5, 0, 255).astype(np.uint8),
        figures=seen & ~falling,
        weather=(background | falling) & (scene.weather is not None),
        background=background,
    )


def _placements(scene: Scene, rng: np.random.Generator) -> list[tuple[Figure, float, float, int]]:
    """Compute the center and size of every figure: one in the middle, several on a small grid."""
    spots = {
        1: [(32, 33)],
        2: [(18, 34), (46, 34)],
        3: [(18, 45), (46, 45), (32, 18)],
        4: [(18, 18), (46, 18), (18, 46), (46, 46)],
    }
    figures = scene.figures if len(scene.figures) == 2 else scene.figures * scene.count
    jitter = rng.uniform(-2, 2, size=(len(figures), 2))
    placed = []
    for figure, (x, y), (dx, dy) in zip(figures, spots[len(figures)], jitter, strict=True):
        size = world.SIZES[figure.size] if figure.size else world.DEFAULT_SIZE
        size = size if len(figures) == 1 else 27
        free = (UNITS - size) / 2 if len(figures) == 1 else 3
        placed.append((figure, x + np.clip(dx, -free, free), y + np.clip(dy, -free, free), size))
    return placed


@lru_cache(maxsize=4096)
def _glyph(glyph: str, size: int) -> Pixels:
    """Rasterize an emoji or a shape to RGBA in [0, 1], its longer side ``size`` pixels."""
    if glyph in ("circle", "square", "triangle", "star", "heart"):
        image = _shape(glyph)
    else:
        check_font()
        image = Image.new("RGBA", (136, 128), (0, 0, 0, 0))
        font = ImageFont.truetype(str(FONT), STRIKE)
        ImageDraw.Draw(image).text((0, 0), glyph, font=font, embedded_color=True)
    image = image.crop(image.getchannel("A").getbbox())
    scale = size / max(image.size)
    shape = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return np.asarray(image.resize(shape, Image.Resampling.LANCZOS), np.float32) / 255


def _shape(name: str) -> Image.Image:
    image = Image.new("RGBA", (120, 120), (0, 0, 0, 0))
    pen = ImageDraw.Draw(image)
    fill = (70, 130, 180, 255)
    if name == "circle":
        pen.ellipse((4, 4, 116, 116), fill)
    elif name == "square":
        pen.rectangle((8, 8, 112, 112), fill)
    elif name == "triangle":
        pen.polygon([(60, 4), (116, 112), (4, 112)], fill)
    elif name == "star":
        turns = np.arange(10) * np.pi / 5 - np.pi / 2
        radii = np.where(np.arange(10) % 2 == 0, 58, 24)
        pen.polygon(
            [(60 + r * np.cos(a), 62 + r * np.sin(a)) for a, r in zip(turns, radii, strict=True)],
            fill,
        )
    else:
        turn = np.linspace(0, 2 * np.pi, 80)
        x = 16 * np.sin(turn) ** 3
        y = 13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)
        pen.polygon([(60 + 3.4 * a, 54 - 3.4 * b) for a, b in zip(x, y, strict=True)], fill)
    return image


@lru_cache(maxsize=8192)
def _sprite(figure: Figure, size: int, scale: int) -> Pixels:
    """Build the RGBA sprite of a figure with its color, pattern and material."""
    sprite = _glyph(figure.object.glyph, size).copy()
    rgb, alpha = sprite[..., :3], sprite[..., 3:]
    if figure.color:
        rgb = textures.recolor(rgb, alpha, world.COLORS[figure.color])
    if figure.material:
        rgb, alpha = textures.MATERIALS[figure.material](rgb, alpha, scale)
    if figure.pattern:
        rgb = textures.pattern(rgb, alpha, figure.pattern, scale)
    return np.concatenate([rgb, alpha], axis=-1)


def _paste(canvas: Pixels, sprite: Pixels, x: float, y: float) -> Mask:
    """Blend a sprite into the canvas in place, centered at (x, y); return what it covers half."""
    side = len(canvas)
    height, width = sprite.shape[:2]
    top, left = round(y - height / 2), round(x - width / 2)
    rows = slice(max(top, 0), min(top + height, side))
    columns = slice(max(left, 0), min(left + width, side))
    part = sprite[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    alpha = part[..., 3:]
    canvas[rows, columns] = canvas[rows, columns] * (1 - alpha) + part[..., :3] * alpha
    covered = np.zeros((side, side), bool)
    covered[rows, columns] = alpha[..., 0] >= 0.5
    return covered
