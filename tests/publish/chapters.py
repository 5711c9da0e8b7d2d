"""A tiny source checkout with one chapter."""

import nbformat

STORY = "# Title\n\nA story."
PARAMETERS = 'name: str = "x"  # who\ncount: int = 2  # how many\n'
BODY = """
from hrvlab.errors import ParameterError
from tests.pipelines import tiny_sd

if name == "fail":
    raise ParameterError("there is no such name")
pipe = tiny_sd()
name * count
"""


def checkout(root, cells=None):
    """Write a checkout whose only chapter is ``notebooks/story.ipynb``."""
    new = nbformat.v4
    parameters = new.new_code_cell(PARAMETERS.strip(), metadata={"tags": ["parameters"]})
    cells = cells or [new.new_markdown_cell(STORY), parameters, new.new_code_cell(BODY.strip())]
    (root / "notebooks").mkdir(parents=True, exist_ok=True)
    (root / "_config.yml").write_text("title: x")
    (root / "pyproject.toml").write_text('[project]\nname = "hrvlab"\n')
    nbformat.write(new.new_notebook(cells=cells), root / "notebooks" / "story.ipynb")
    return root
