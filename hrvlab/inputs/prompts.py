"""Lists of prompts: shipped, in a file, or made from ImageNet's classes."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import yaml

from hrvlab.errors import ParameterError
from hrvlab.inputs.sources import find_source
from hrvlab.inputs.texts import read_text
from hrvlab.inputs.yaml_texts import load_yaml

IMAGENET = "imagenet"
CLASSES = "IMAGENET_CLASSNAMES"


def read_prompts(source: str | Path) -> list[str]:
    """Read a list of prompts.

    Parameters
    ----------
    source : str or Path
        A YAML file with a list ``prompts``, a text file with one prompt per line, the name of a
        shipped list such as ``"miniature"``, or ``"imagenet"``: "a photo of a {class}." for each of
        its 1,000 classes, whose names come with open_clip.

    Returns
    -------
    list of str

    Raises
    ------
    ParameterError
        If there is no such list, it has another form, or open_clip is not installed.

    Examples
    --------
    >>> prompts = hl.read_prompts("miniature")
    >>> len(prompts)
    512
    """
    if str(source) == IMAGENET:
        return [f"a photo of a {name}." for name in _imagenet_classes()]
    path = find_source("prompts", source, special=[IMAGENET])
    text = read_text(path)
    if path.suffix not in (".yaml", ".yml"):
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        content = load_yaml(text)
    except yaml.YAMLError as error:
        raise ParameterError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    prompts = content.get("prompts") if isinstance(content, dict) else None
    if not isinstance(prompts, list) or not all(isinstance(prompt, str) for prompt in prompts):
        raise ParameterError(f"{path} must contain a list 'prompts' of texts")
    return prompts


def as_prompts(prompts: str | Iterable[str]) -> list[str]:
    """Return prompts as a list.

    Parameters
    ----------
    prompts : str or iterable of str
        One prompt, or several in a list, an array, or a table's column.

    Returns
    -------
    list of str

    Raises
    ------
    ParameterError
        If there is no prompt, or one is empty.
    """
    if isinstance(prompts, str):
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
