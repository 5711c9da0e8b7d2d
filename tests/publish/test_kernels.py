import nbformat
import papermill
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError

from hrvlab.publish import kernels
from hrvlab.publish.kernels import PreloadedKernelManager, kernel_manager


def execute(folder, *sources, manager=PreloadedKernelManager):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    done = papermill.execute_notebook(
        nbformat.v4.new_notebook(cells=cells),
        str(folder / "done.ipynb"),
        kernel_name="python3",
        progress_bar=False,
        kernel_manager_class=manager,
    )
    return [cell.outputs[0]["text"].strip() if cell.outputs else "" for cell in done.cells]


def test_a_kernel_starts_with_its_libraries_and_this_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HRVLAB_TEST", "seen")
    monkeypatch.chdir(tmp_path)
    loaded, seen, folder, mine = execute(
        tmp_path,
        "import sys; print('diffusers' in sys.modules)",
        "import os; print(os.environ['HRVLAB_TEST'])",
        "print(os.getcwd())",
        "print(sys.executable)",
    )
    assert (loaded, seen, folder) == ("True", "seen", str(tmp_path))
    assert mine == kernels.multiprocessing.sys.executable


def test_kernels_do_not_share_what_they_define(tmp_path):
    first = execute(tmp_path, "import torch; torch.defined = 1", "print(torch.rand(2).sum() > 0)")
    assert first[1] == "tensor(True)"
    assert execute(tmp_path, "import torch; print(hasattr(torch, 'defined'))") == ["False"]


def test_a_dying_kernel_is_an_error_and_the_next_one_starts(tmp_path):
    with pytest.raises(DeadKernelError):
        execute(tmp_path, "import os; os._exit(3)")
    assert execute(tmp_path, "print(1)") == ["1"]


def test_where_processes_cannot_fork_kernels_start_as_usual(monkeypatch):
    monkeypatch.setattr(kernels.multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    assert kernel_manager() is AsyncKernelManager
