#!/bin/sh
# Library: papermill 2.7.0, `execute_notebook(parameters=...)`.
# Guess: a Python notebook receives the Python values that it is given, or an error.
# Behavior: keys of a dict become strings, and a tuple becomes one string that shows it, inside of
#   lists too. Nothing is said; a cell that loops over the tuple gets "(", "4", ",", ...
# Exit status: 0 if it still behaves so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -qq --no-compile papermill==2.7.0 ipykernel==6.29.5
"$folder/venv/bin/python" -W ignore - "$folder/chapter.ipynb" <<'PY'
import sys

import nbformat
import papermill

given = {"sizes": (4, 8), "pairs": [(1, 2)], "weights": {0: 0.5, 7: 1.5}, "plain": [4, 8]}
notebook = nbformat.v4.new_notebook(
    cells=[
        nbformat.v4.new_code_cell("\n".join(f"{name} = None" for name in given)),
        nbformat.v4.new_code_cell("print(repr([sizes, pairs, weights, plain]))"),
    ],
    metadata={"kernelspec": {"name": "python3", "display_name": "Python", "language": "python"}},
)
notebook.cells[0].metadata["tags"] = ["parameters"]
nbformat.write(notebook, sys.argv[1])
executed = papermill.execute_notebook(sys.argv[1], sys.argv[1], given, progress_bar=False)
seen = executed.cells[-1].outputs[0].text.strip()
print(f"versions: papermill {papermill.__version__}")
print(f"guess:    the notebook sees {list(given.values())}")
print("behavior: tuples arrive as strings, keys of a dict too")
print(f"seen:     {seen}")
raise SystemExit(seen != "['(4, 8)', ['(1, 2)'], {'0': 0.5, '7': 1.5}, [4, 8]]")
PY
