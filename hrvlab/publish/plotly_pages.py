"""Plotly figures in pages, rendered by a script of the book itself: no page needs a network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

from docutils import nodes

if TYPE_CHECKING:
    from myst_nb.core.render import MimeData, NbElementRenderer

PLOTLY = "application/vnd.plotly.v1+json"


class PlotlyRenderer:
    """A renderer of plotly's notebook output, which myst-nb finds through its entry point."""

    mime_priority_overrides: ClassVar = [("*", PLOTLY, 1)]

    @staticmethod
    def handle_mime(
        renderer: NbElementRenderer, data: MimeData, inline: bool
    ) -> list[nodes.Element] | None:
        """Render a figure as an element that holds its data.

        Parameters
        ----------
        renderer : myst_nb.core.render.NbElementRenderer
        data : myst_nb.core.render.MimeData
            An output of a notebook cell.
        inline : bool

        Returns
        -------
        list of docutils nodes
            None if the output is not a plotly figure, which leaves it to other renderers.
        """
        if data.mime_type != PLOTLY:
            return None
        figure = data.content if isinstance(data.content, dict) else json.loads(data.content)
        shown = {name: figure[name] for name in ("data", "layout", "frames") if name in figure}
        # A "</" inside would close the script element early.
        content = json.dumps(shown, separators=(",", ":")).replace("</", "<\\/")
        height = shown.get("layout", {}).get("height", 450)
        html = (
            f'<div class="hrvlab-scroll"><div class="hrvlab-figure" style="min-height:{height}px">'
            f'<script type="application/json">{content}</script></div></div>'
        )
        return [nodes.raw(text=html, format="html")]
