"""A folder of images, with the settings that they were generated with and a contact sheet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw, ImageFont

from hrvlab.storage.atomic import storing, write_whole

if TYPE_CHECKING:
    from hrvlab.typing import Images

SETTINGS, SHEET = "settings.json", "contact-sheet.png"
KEPT = "the images that were finished are kept"
SIDE = 256  # of an image on a contact sheet, in pixels, at most
MARGIN, CAPTION = 8, 16  # pixels between images, and below each for its caption


class Gallery:
    """A folder to which images are written as they are finished.

    Parameters
    ----------
    folder : Path
        An existing folder.
    columns : int
        Of the contact sheet.
    settings : mapping of str to object
        As JSON; written at once, so that no image is ever without them.

    Raises
    ------
    StoreError
        If they cannot be written.
    """

    def __init__(self, folder: Path, columns: int, settings: Mapping[str, Any]) -> None:
        self._folder, self._columns = folder, columns
        self._small: dict[str, Image.Image] = {}
        with storing(folder, "nothing was computed yet"):
            text = json.dumps(settings, ensure_ascii=False, indent=2)
            write_whole(folder / SETTINGS, f"{text}\n".encode())

    def add(self, names: Sequence[str], images: Images) -> None:
        """Write images as PNG files of these names.

        Raises
        ------
        StoreError
            If they cannot be written.
        """
        for name, pixels in zip(names, images, strict=True):
            image = Image.fromarray(pixels)
            with storing(self._folder, KEPT):
                image.save(self._folder / name)
            image.thumbnail((SIDE, SIDE))
            self._small[name] = image

    def finish(self) -> None:
        """Write the contact sheet.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        names = [Path(name).stem for name in self._small]
        sheet = contact_sheet(list(self._small.values()), names, self._columns)
        with storing(self._folder, KEPT):
            sheet.save(self._folder / SHEET)


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
