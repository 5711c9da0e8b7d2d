"""Lists of prompts: shipped, in a file, or made from ImageNet's classes."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from hrvlab.errors import ParameterError
from hrvlab.inputs.prompt_files import FORMS, PARQUET, read_prompt_file
from hrvlab.inputs.sources import find_source

if TYPE_CHECKING:
    from hrvlab.typing import Prompts

IMAGENET = "imagenet"
CLASSES = "IMAGENET_CLASSNAMES"


def read_prompts(source: str | Path, column: str | None = None) -> list[str]:
    """Read a list of prompts.

    Parameters
    ----------
    source : str or Path
        The name of a shipped list such as ``"miniature"``; or ``"imagenet"``: "a photo of a
        {class}." for each of its 1,000 classes, whose names come with open_clip; or a file, in
        UTF-8, whose name tells its form: a table (``.csv``, ``.tsv``, ``.parquet``) whose columns
        have names; JSON (``.json``) with a list of texts or of objects, or COCO's captions; JSON
        lines (``.jsonl``, ``.ndjson``); YAML with a list ``prompts``; others: a prompt per line.
    column : str, optional
        Of a table, or of JSON objects; by default the only one that is called prompt, prompts,
        caption, captions or text.

    Returns
    -------
    list of str

    Raises
    ------
    ParameterError
        If there is no such list, it has another form, the column has to be asked for, or what is
        needed to read it (open_clip, pyarrow) is not installed.

    Examples
    --------
    >>> prompts = hl.read_prompts("miniature")
    >>> len(prompts)
    512
    """
    if str(source) == IMAGENET:
        prompts = [f"a photo of a {name}." for name in _imagenet_classes()]
        if column is not None:
            raise ParameterError(f"{IMAGENET!r} has no columns; leave out {column!r}")
        return prompts
    return read_prompt_file(find_source("prompts", source, special=[IMAGENET]), column)


def as_prompts(prompts: Prompts) -> list[str]:
    """Return prompts as a list.

    Parameters
    ----------
    prompts : str, Path, or iterable of str
        One prompt, several in a list, an array, or a table's column, or the path of a file; see
        `read_prompts`.

    Returns
    -------
    list of str

    Raises
    ------
    ParameterError
        If there is no prompt, one is empty, or a file cannot be read.
    """
    if isinstance(prompts, Path):
        texts = read_prompts(prompts)
    elif isinstance(prompts, str):
        if Path(prompts).suffix.lower() in (*FORMS, PARQUET) and not prompts.count(" "):
            raise ParameterError(
                f"the prompt is {prompts!r}, which looks like a file; give Path({prompts!r}), or "
                "read_prompts of it"
            )
        texts = [prompts]
    elif isinstance(prompts, Iterable) and not isinstance(prompts, Mapping):
        texts = list(prompts)
    else:
        raise ParameterError(f"the prompts are {prompts!r}; give a text, or a list of texts")
    check_prompts(texts)
    return [str(text) for text in texts]


def check_prompts(prompts: Sequence[str]) -> None:
    """Check that there are prompts, and that each has words.

    Parameters
    ----------
    prompts : sequence of str

    Raises
    ------
    ParameterError
        If there is no prompt, or one is empty.
    """
    if not prompts:
        raise ParameterError("the list of prompts is empty; give at least one prompt")
    for index, prompt in enumerate(prompts):
        if not isinstance(prompt, str) or not prompt.strip():
            raise ParameterError(f"prompt {index} is {prompt!r}; give a text with words")


def _imagenet_classes() -> list[str]:
    """Read the names of ImageNet's classes from open_clip's source; importing needs torchvision."""
    spec = find_spec("open_clip")
    if spec is None or spec.origin is None:
        raise ParameterError(
            "the names of ImageNet's classes come with open_clip, which is not installed; "
            "pip install --no-deps open_clip_torch, or give a text file of prompts"
        )
    source = Path(spec.origin).with_name("zero_shot_metadata.py")
    if source.is_file():
        for node in ast.parse(source.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == CLASSES:
                return [str(name) for name in ast.literal_eval(node.value)]
    raise ParameterError(f"{source} has no list {CLASSES}; give a text file of prompts instead")
