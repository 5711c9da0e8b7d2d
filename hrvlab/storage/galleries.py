"""A folder of images, with the settings that they were generated with and a contact sheet."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hrvlab.errors import StoreError
from hrvlab.progress import track
from hrvlab.storage.atomic import SCRATCH, check_writable, storing, write_whole
from hrvlab.storage.locks import LOCK, MARKER, writing
from hrvlab.storage.plans import PLAN
from hrvlab.storage.units import VERSIONS, Ledger, complete

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hrvlab.storage.units import Unit

SETTINGS, SHEET = "settings.json", "contact-sheet.png"
BEGUN = {LOCK, MARKER, PLAN, SETTINGS, VERSIONS}  # what a folder may hold before its first image
KEPT = "the images that were finished are kept"
SIDE = 256  # of an image on a contact sheet, in pixels, at most
MARGIN, CAPTION = 8, 16  # pixels between images, and below each for its caption


class Gallery(Ledger):
    """A ledger whose units are images, as PNG files in a folder that the user has named.

    Parameters
    ----------
    folder : Path
        New, empty, or of the same plan; see `check_folder`.
    plan : dict
        See `Ledger`. It takes the place of another only if that has no image yet.
    names : sequence of sequence of str
        File names of the images of each unit.
    settings : mapping of str to object
        As JSON; written before the first image, so that none is ever without them.

    Raises
    ------
    StoreError
        If the folder cannot be written, or holds images of another plan.
    """

    called = "folder"

    def __init__(
        self,
        folder: Path,
        plan: dict[str, Any],
        names: Sequence[Sequence[str]],
        settings: Mapping[str, Any],
    ) -> None:
        self._names, self._settings = names, settings
        super().__init__(folder, plan)

    def _places(self, store: Path) -> tuple[Path, Path]:
        return store, store

    def _claim(self) -> None:
        """Check that the images are the plan's; it is written once the folder is locked."""
        if self._count() and not self._holds_plan():
            raise StoreError(_foreign(self.folder))

    def _count(self) -> int:
        return len([path for path in self.units.glob("*.png") if path.name != SHEET])

    def begin(self) -> None:
        """Note the plan, the settings and the versions that images are computed under.

        Raises
        ------
        StoreError
            If there are images of another plan or of other versions, or the folder cannot be
            written.
        """
        with storing(self.folder, KEPT):
            self._claim()
            for path in self.folder.glob(f"{SCRATCH}*"):
                path.unlink()
            if not self._count():
                write_whole(self.folder / PLAN, self._plan)
            if not self._count() or not (self.folder / SETTINGS).exists():
                text = json.dumps(self._settings, ensure_ascii=False, indent=2)
                write_whole(self.folder / SETTINGS, f"{text}\n".encode())
        super().begin()

    def read(self, unit: int) -> Unit | None:
        """Return a finished unit's images by their names, or None if one is missing or damaged."""
        contents = {name: self._content(self.units / name) for name in self._names[unit]}
        images = {name: _decode(content) for name, content in contents.items() if content}
        found = {name: image for name, image in images.items() if image is not None}
        return found if len(found) == len(contents) else None

    def finish(self, unit: int, **arrays: NDArray[Any]) -> None:
        """Write a unit's images, by their names.

        Raises
        ------
        StoreError
            If the disk is full or read-only; images finished before are kept.
        """
        with storing(self.folder, KEPT):
            for name, image in arrays.items():
                write_whole(self.units / name, _encode(Image.fromarray(image)))

    def fill(self, draw: Callable[[list[int]], Iterable[tuple[int, Unit]]], columns: int) -> bool:
        """Complete the images and their contact sheet, unless all is there.

        Looking at what is finished requires neither a lock nor write permission.

        Parameters
        ----------
        draw : callable (list of int) -> iterable of (int, dict of str to ndarray)
            Generates the units of these numbers: images by their names.
        columns : int
            Of the contact sheet.

        Returns
        -------
        bool
            Whether anything was missing.

        Raises
        ------
        StoreError
            If another process is writing there, images were finished under other versions of the
            libraries, or something cannot be written.
        """
        count = len(self._names)
        sheet = self.folder / SHEET
        if sheet.exists() and all(self.read(number) is not None for number in range(count)):
            return False
        small: dict[str, Image.Image] = {}
        with writing(self.folder):
            units = complete(self, count, draw)
            for _, unit in track(units, "images", count, disable=count == 1):
                for name, pixels in unit.items():
                    small[name] = Image.fromarray(pixels)
                    small[name].thumbnail((SIDE, SIDE))
            names = [name for unit in self._names for name in unit]
            drawn = contact_sheet(
                [small[name] for name in names], [Path(name).stem for name in names], columns
            )
            with storing(self.folder, KEPT):
                write_whole(sheet, _encode(drawn))
        return True


def check_folder(folder: Path) -> None:
    """Check that a folder may become a gallery: that it is one, is empty, or can be made.

    Raises
    ------
    StoreError
        If it holds something else, or cannot be made.
    """
    with storing(folder, KEPT):
        there = (
            {one.name for one in folder.iterdir() if one.name[0] != "."}
            if folder.exists()
            else set()
        )
        if not (there <= BEGUN or {PLAN, SETTINGS} <= there):
            raise StoreError(_foreign(folder))
    if not folder.exists():
        check_writable(folder.parent)


def _foreign(folder: Path) -> str:
    return f"{folder} already exists, and holds something else; remove it, or use another folder"


def _encode(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


def _decode(content: bytes) -> NDArray[np.uint8] | None:
    """Return the pixels of a PNG file, or None if it is damaged."""
    try:
        Image.open(io.BytesIO(content)).verify()  # its checksums, which reading does not compare
        return np.asarray(Image.open(io.BytesIO(content)))
    except Exception:
        # A damaged file fails in many ways.
        return None


def contact_sheet(
    images: Sequence[Image.Image], captions: Sequence[str], columns: int
) -> Image.Image:
    """Lay images out on a white sheet, row by row, each with its caption below.

    Parameters
    ----------
    images : sequence of PIL.Image.Image
        At least one.
    captions : sequence of str
        One for each; cut off where they are wider than their image.
    columns : int
        Images of a row.

    Returns
    -------
    PIL.Image.Image
    """
    width = max(image.width for image in images)
    height = max(image.height for image in images)
    rows = -(-len(images) // columns)
    columns = min(columns, len(images))
    pitch = width + MARGIN, height + CAPTION + MARGIN
    sheet = Image.new("RGB", (columns * pitch[0] + MARGIN, rows * pitch[1] + MARGIN), "white")
    font = ImageFont.load_default(CAPTION * 3 // 4)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(number, columns)
        left, top = MARGIN + column * pitch[0], MARGIN + row * pitch[1]
        sheet.paste(image, (left, top))
        line = Image.new("RGB", (width, CAPTION), "white")
        ImageDraw.Draw(line).text((0, 0), caption, "black", font)
        sheet.paste(line, (left, top + height))
    return sheet
