import json
import sys

import nbformat
import pytest

from hrvlab.publish import kernels
from hrvlab.publish.execution import RunError, execute_cells
from hrvlab.publish.kernels import OwnKernelManager, kernel_manager


def execute(folder, *sources, **options):
    """Return what each cell prints."""
    notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, sources)))
    executed = execute_cells(notebook, folder, **options)
    return [cell.outputs[0]["text"].strip() if cell.outputs else "" for cell in executed.cells]


def test_a_kernel_starts_with_its_libraries_and_this_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HRVLAB_TEST", "seen")
    loaded, seen, folder, mine = execute(
        tmp_path,
        "import sys; print('diffusers' in sys.modules)",
        "import os; print(os.environ['HRVLAB_TEST'])",
        "print(os.getcwd())",
        "print(sys.executable)",
    )
    assert (loaded, seen, folder, mine) == ("True", "seen", str(tmp_path), sys.executable)


def test_kernels_do_not_share_what_they_define(tmp_path):
    first = execute(tmp_path, "import torch; torch.defined = 1", "print(torch.rand(2).sum() > 0)")
    assert first[1] == "tensor(True)"
    assert execute(tmp_path, "import torch; print(hasattr(torch, 'defined'))") == ["False"]


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("import os; os._exit(3)", "was ended with exit code 3, by exit"),
        ("import os; os.kill(os.getpid(), 9)", "was killed by signal 9, perhaps because memory"),
    ],
)
def test_the_death_of_a_kernel_is_told_with_its_reason_and_the_next_one_starts(
    tmp_path, end, reason
):
    with pytest.raises(RunError, match=reason):
        execute(tmp_path, end)
    assert execute(tmp_path, "print(1)") == ["1"]


def test_a_cell_that_leaves_the_notebook_does_not_finish_it(tmp_path):
    with pytest.raises(RunError, match=r"left it by sys.exit\(0\), so it is not finished"):
        execute(tmp_path, "import sys; sys.exit(0)", "print(1)")


def test_a_kernel_that_starts_slowly_is_an_error_that_says_how_to_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(kernels, "_serve", never_serve)
    with pytest.raises(RunError, match="did not start within 1 seconds; .* --start-timeout SECON"):
        execute(tmp_path, "print(1)", start_timeout=1)


def never_serve(*_):
    import time

    time.sleep(60)


@pytest.fixture
def another_package(tmp_path, monkeypatch):
    """A folder whose hrvlab is another one, on the paths of which kernels and users are told."""
    folder = tmp_path / "another"
    (folder / "hrvlab").mkdir(parents=True)
    (folder / "hrvlab" / "__init__.py").write_text("raise SystemExit('another hrvlab')")
    specification = folder / "share" / "kernels" / "python3" / "kernel.json"
    specification.parent.mkdir(parents=True)
    command = ["/bin/false", "-f", "{connection_file}"]
    environment = {"PYTHONPATH": str(folder), "ANOTHER": "yes"}
    specification.write_text(
        json.dumps({"argv": command, "display_name": "x", "language": "python", "env": environment})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(folder / "share"))
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "mine.py").write_text("import builtins; builtins.ANOTHER = 'yes'")
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    return folder


@pytest.mark.parametrize("manager", [None, OwnKernelManager])
def test_chapters_run_on_this_hrvlab_whatever_kernels_the_machine_has(
    another_package, monkeypatch, manager
):
    if manager:
        monkeypatch.setattr("hrvlab.publish.execution.kernel_manager", lambda: manager)
    found = execute(
        another_package,
        "import hrvlab, os; print(hrvlab.__file__)",
        "print(os.environ.get('ANOTHER'), 'ANOTHER' in dir(__builtins__))",
    )
    assert found == [str(kernels.Path(kernels.__file__).parents[1] / "__init__.py"), "None False"]


def test_a_chapter_may_start_processes_of_its_own(tmp_path):
    start = "from multiprocessing import get_context\nwith get_context('fork').Pool(1) as pool:\n"
    assert execute(tmp_path, f"{start}    print(pool.map(abs, [-1]))") == ["[1]"]


def test_where_processes_cannot_fork_kernels_start_as_usual(monkeypatch):
    monkeypatch.setattr(kernels.multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    assert kernel_manager() is OwnKernelManager
