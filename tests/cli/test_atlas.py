import errno

import pytest
from typer.testing import CliRunner

from hrvlab.cli import app
from hrvlab.errors import ParameterError
from hrvlab.relevance.io import save_relevance
from hrvlab.relevance.vectors import relevance
from hrvlab.results import read_result
from tests.cli.disks import disk
from tests.cli.test_wrong_values import check_line
from tests.test_cli import run as run_hrvlab


def run(*arguments):
    return CliRunner().invoke(
        app, ["atlas", *map(str, arguments)], catch_exceptions=False, standalone_mode=False
    )


def test_the_miniatures_results_become_a_page(tmp_path):
    page = tmp_path / "atlas.html"
    done = run("miniature", "-o", page)
    assert "128 heads and 17 concepts" in done.output
    text = page.read_text()
    assert 'data-record="heads/up_7_7"' in text and "http" not in text.split("<script>")[0]


def test_vectors_alone_become_a_page_under_a_name(tmp_path):
    save_relevance(relevance(read_result("votes").data), tmp_path / "hrv.zarr")
    page = tmp_path / "atlas.html"
    run(tmp_path / "hrv.zarr", "-o", page, "--name", "mine")
    assert "<title>Head atlas of mine</title>" in page.read_text()


@pytest.mark.parametrize(
    ("runs", "output", "said"),
    [
        (["miniature"], "atlas.zip", "ends in .html"),
        (["nowhere"], "atlas.html", "no run at nowhere"),
        (["miniature", "miniature"], "atlas.html", "second votes"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_anything_is_written(tmp_path, runs, output, said):
    with pytest.raises(ParameterError, match=said):
        run(*runs, "-o", tmp_path / output)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.ESTALE])
def test_a_disk_that_cannot_be_written_is_told_in_one_line(tmp_path, monkeypatch, capsys, number):
    page = tmp_path / "atlas.html"
    with disk.failing(tmp_path, 1, number):
        code, _, err = run_hrvlab(monkeypatch, capsys, "atlas", "miniature", "-o", page)
        assert disk.passed
    check_line(code, err, 1)
    assert not list(tmp_path.iterdir())
