"""Pages that hold an atlas: an element of HTML, one file, or a file with records beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from hrvlab.atlas.arrays import as_json
from hrvlab.paths import user_path
from hrvlab.storage.atomic import storing, write_whole

if TYPE_CHECKING:
    from hrvlab.atlas.data import AtlasData

SCRIPT, MODULE = "explorer.js", "explorer.mjs"
INLINE_BYTES = 8_000_000  # of a file that holds everything; larger atlases keep records beside it
FALLBACK = (
    "The head atlas of {model}: {heads} heads, {concepts} concepts. To look around in it, open "
    "this page in a browser with JavaScript, or run its cell again in JupyterLab."
)
CARRIER = "hrvlab-atlas"
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>body{{margin:0}}.hrvlab-atlas>p{{margin:2rem;font:1rem/1.5 system-ui,sans-serif}}</style>
</head>
<body>
{body}
<script>{script}</script>
</body>
</html>
"""


def built(name: str) -> str:
    """Return the explorer as it was built from its source.

    Parameters
    ----------
    name : {"explorer.js", "explorer.mjs"}
        The script of pages, or the module of the widget.
    """
    return files("hrvlab").joinpath("atlas", "built", name).read_text(encoding="utf-8")


def as_element(data: AtlasData, *, limit: int = INLINE_BYTES) -> str:
    """Return an atlas as an element of HTML, which the explorer's script brings to life.

    Parameters
    ----------
    data : AtlasData
    limit : int
        Bytes of the records that the element may hold; if they take more they are left out, and
        the explorer shows numbers only.

    Returns
    -------
    str
        With inert JSON: nothing is executed until the script is loaded.
    """
    inline = _inline(data, limit)
    return _element(data, inline, {"records": "none" if inline is None else "inline"})


def write_atlas(data: AtlasData, path: str | Path, *, limit: int = INLINE_BYTES) -> list[Path]:
    """Write an atlas as a page that needs no network.

    Parameters
    ----------
    data : AtlasData
    path : str or Path
        Of the page.
    limit : int
        Bytes of records that the page may hold. Beyond, they are written to a folder beside it,
        whose name is the page's with ``-files``, and loaded when they are needed.

    Returns
    -------
    list of Path
        The page, and the folder if there is one.

    Raises
    ------
    StoreError
        If it cannot be written.

    Examples
    --------
    >>> from hrvlab.atlas import explorer_data, write_atlas
    >>> [path.name for path in write_atlas(explorer_data(hrv), store / "atlas.html")]
    ['atlas.html']
    """
    page = user_path(path)
    folder = page.with_name(f"{page.stem}-files")
    inline = _inline(data, limit)
    where = {"records": "inline"} if inline is not None else {"records": folder.name}
    title = f"Head atlas of {data.first['model']}"
    body = _element(data, inline, where)
    with storing(page):
        for name, text in _records(data) if inline is None else ():
            target = folder / f"{name}.js"
            target.parent.mkdir(parents=True, exist_ok=True)
            named = as_json({"name": name})
            write_whole(target, f"hrvlabAtlas.receive({named},{text});\n".encode())
        whole = PAGE.format(title=escape(title), body=body, script=built(SCRIPT))
        write_whole(page, whole.encode())
    return [page] if inline is not None else [page, folder]


def _element(data: AtlasData, inline: Mapping[str, str] | None, where: Mapping[str, str]) -> str:
    """Return the element with the first record and some of the others."""
    said = FALLBACK.format(
        model=data.first["model"],
        heads=sum(data.first["layers"]["heads"]),
        concepts=len(data.first["concepts"]),
    )
    texts = {"first": as_json({**data.first, **where, "live": False}), **(inline or {})}
    scripts = "".join(
        f'<script type="application/json" data-record="{escape(name)}">{text}</script>'
        for name, text in texts.items()
    )
    return f'<div class="{CARRIER}"><p>{escape(said)}</p>{scripts}</div>'


def _records(data: AtlasData) -> Iterator[tuple[str, str]]:
    """Make every record, as JSON."""
    for name in data.makers:
        yield name, as_json(data.record(name))


def _inline(data: AtlasData, limit: int) -> dict[str, str] | None:
    """Return all records as JSON; None if they are too large."""
    kept, size = {}, 0
    for name, text in _records(data):
        size += len(text.encode())
        if size > limit:
            return None
        kept[name] = text
    return kept
