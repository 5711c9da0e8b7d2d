import json
import re

import pytest
from myst_nb.core.render import MimeData

from hrvlab.publish.plotly_pages import PLOTLY, PlotlyRenderer

FIGURE = {"data": [{"x": [1], "name": "</script><b>"}], "layout": {"height": 300}, "frames": []}


def render(mime, content):
    return PlotlyRenderer.handle_mime(None, MimeData(mime, content), inline=False)


@pytest.mark.parametrize("content", [FIGURE, json.dumps(FIGURE)])
def test_a_figure_becomes_inert_data_that_is_read_back_unchanged(content):
    (node,) = render(PLOTLY, content)
    html = node.astext()
    (inside,) = re.findall(r'<script type="application/json">(.*)</script></div>', html)
    assert json.loads(inside) == FIGURE
    assert "</" not in inside
    assert "min-height:300px" in html


def test_other_outputs_are_left_to_other_renderers():
    assert render("text/plain", "x") is None
