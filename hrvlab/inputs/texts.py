"""Text files of users, whatever editor saved them."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import TYPE_CHECKING

from hrvlab.errors import ParameterError

if TYPE_CHECKING:
    from hrvlab.errors import HrvlabError

# UTF-32 comes first, because its mark begins with that of UTF-16.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_text(
    path: Path,
    kind: str = "file",
    error: type[HrvlabError] = ParameterError,
    *,
    declared: bool = True,
) -> str:
    """Read a text file in UTF-8, or in the encoding that its first bytes declare.

    Parameters
    ----------
    path : Path
    kind : str
        What it is, for error messages.
    error : type
        The error that is raised.
    declared : bool
        Whether UTF-16 and UTF-32 are read; otherwise they are refused by name.

    Returns
    -------
    str

    Raises
    ------
    HrvlabError
        If the file cannot be read or has another encoding, of the type given.
    """
    try:
        content = path.read_bytes()
    except OSError as reason:
        raise error(f"cannot read the {kind} {path}: {reason.strerror}") from reason
    marked = [encoding for mark, encoding in MARKS.items() if content.startswith(mark)]
    if marked and not declared:
        raise error(
            f"cannot read the {kind} {path}: it begins with the mark of {marked[0].upper()}; save "
            "it as UTF-8"
        )
    encoding = marked[0] if marked else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as reason:
        name = encoding.removesuffix("-sig").upper()
        raise error(
            f"cannot read the {kind} {path}: byte {reason.start} is not {name}; save it as UTF-8"
        ) from reason
    if "\0" in text:  # of UTF-16 without a mark, every other byte is zero
        raise error(f"cannot read the {kind} {path}: it is not UTF-8 text; save it as UTF-8")
    return text
