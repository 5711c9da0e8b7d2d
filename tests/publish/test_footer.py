from hrvlab.models.load import fingerprint
from hrvlab.publish.footer import footer


def test_the_footer_lists_model_parameters_and_libraries(tiny_pipe):
    rows = footer(tiny_pipe, "capture, default", {"steps": 3}).rows
    assert rows["parameter steps"] == "3"
    assert rows["model fingerprint"] == fingerprint(tiny_pipe)
    assert "torch" in rows["libraries"]


def test_text_from_users_is_escaped(tiny_pipe):
    html = footer(tiny_pipe, "<i>", {"prompt": "<script>alert(1)</script>"})._repr_html_()
    assert "<script>" not in html
    assert "<i>" not in html
    assert "&lt;script&gt;" in html
