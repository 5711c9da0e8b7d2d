import subprocess
import sys
from pathlib import Path

import pytest

from hrvlab.paths import checkout_around, own_path, user_path
from tests.publish.chapters import checkout

ROOT = Path(__file__).parent.parent


def test_a_checkout_is_recognized_by_its_project(tmp_path):
    below = checkout(tmp_path / "mine") / "notebooks" / "a"
    below.mkdir()
    assert checkout_around(below) == tmp_path / "mine"
    assert checkout_around(tmp_path) is None


@pytest.mark.parametrize(
    "project", [None, '[project]\nname = "thesis"\n', "not [ TOML", "project = 3"]
)
def test_another_book_is_no_checkout(tmp_path, project):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "_config.yml").write_text("title: My thesis\n")
    if project is not None:
        (tmp_path / "pyproject.toml").write_text(project)
    assert checkout_around(tmp_path) is None


def test_the_home_folder_is_meant_by_its_sign(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/runs") == tmp_path / "runs"
    assert user_path("~nobody-of-that-name/runs") == Path("~nobody-of-that-name/runs")
    assert user_path("/runs") == Path("/runs")


def test_relative_paths_start_where_one_is_but_never_in_notebooks(tmp_path, monkeypatch):
    root = checkout(tmp_path / "mine")
    for folder in (tmp_path, root):
        monkeypatch.chdir(folder)
        assert user_path("runs").absolute() == folder / "runs"
    # Where JupyterLab starts kernels.
    monkeypatch.chdir(root / "notebooks")
    assert user_path("runs") == root / "runs"
    assert user_path("/runs") == Path("/runs")


def test_another_interpreter_finds_this_package_even_beside_another_one(tmp_path, monkeypatch):
    (tmp_path / "hrvlab").mkdir()
    (tmp_path / "hrvlab" / "__init__.py").write_text("raise SystemExit('another hrvlab')")
    for name, value in own_path().items():
        monkeypatch.setenv(name, value)
    program = "import hrvlab; print(hrvlab.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).parents[1] == ROOT
