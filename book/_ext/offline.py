"""A Sphinx extension that makes pages self-contained: they request nothing from other hosts."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

FIGURE = 'class="hrvlab-figure"'
ATLAS = 'class="hrvlab-atlas"'
PROVENANCE = "hrvlab-provenance"
HERE = Path(__file__).parent


def copy_scripts(app: Sphinx) -> None:
    """Copy plotly and MathJax from the installed wheels to where pages load them from."""
    if app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    static.mkdir(parents=True, exist_ok=True)
    for source in (
        Path(str(files("plotly"))) / "package_data" / "plotly.min.js",
        Path(str(files("sphinx-mathjax-offline"))) / "static" / "mathjax" / "tex-svg.js",
        Path(str(files("hrvlab"))) / "atlas" / "built" / "explorer.js",
        HERE / "figures.js",
        HERE / "provenance.js",
    ):
        target = static / source.name
        if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
            shutil.copy2(source, target)


def add_scripts(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Load the scripts of figures and of the provenance, only on pages that have them."""
    body = context.get("body", "")
    if PROVENANCE in body:
        app.add_js_file("provenance.js", loading_method="defer")
    if ATLAS in body:
        app.add_js_file("explorer.js", loading_method="defer")
    if FIGURE in body:
        app.add_js_file("plotly.min.js", loading_method="defer")
        app.add_js_file("figures.js", loading_method="defer")


def silence_thebe(app: Sphinx) -> None:
    """Disconnect sphinx-thebe, which Jupyter Book always loads and which links to a CDN."""
    for event in ("env-before-read-docs", "doctree-resolved"):
        for listener in list(app.events.listeners[event]):
            if listener.handler.__module__ == "sphinx_thebe":
                app.disconnect(listener.id)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    silence_thebe(app)
    app.connect("builder-inited", copy_scripts)
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
