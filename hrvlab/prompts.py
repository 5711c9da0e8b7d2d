"""Lists of prompts, shipped or in a file."""

from __future__ import annotations

from pathlib import Path

import yaml

from hrvlab.errors import ParameterError
from hrvlab.paths import data_path


def read_prompts(source: str | Path) -> list[str]:
    """Read prompts from a file.

    Parameters
    ----------
    source : str or Path
        A YAML file with a list ``prompts``, a text file with one prompt a line, or the name of a
        shipped list such as ``"miniature"``.

    Returns
    -------
    list of str

    Raises
    ------
    ParameterError
        If there is no such list, or it is not of that form.
    """
    shipped = {path.stem: path for path in data_path("prompts").glob("*.yaml")}
    path = shipped.get(str(source), Path(source))
    if not path.is_file():
        raise ParameterError(
            f"there is no list of prompts {str(source)!r}; give a text or YAML file, or one of the "
            f"shipped lists: {', '.join(sorted(shipped))}"
        )
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix not in (".yaml", ".yml"):
        return [line.strip() for line in text.splitlines() if line.strip()]
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ParameterError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    prompts = content.get("prompts") if isinstance(content, dict) else None
    if not isinstance(prompts, list) or not all(isinstance(prompt, str) for prompt in prompts):
        raise ParameterError(f"{path} must hold a list 'prompts' of texts")
    return prompts
