"""Parameters of chapters: read from a ``parameters`` cell and checked before anything runs."""

from __future__ import annotations

import ast
import json
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from hrvlab.errors import ParameterError
from hrvlab.inputs.texts import read_text
from hrvlab.inputs.yaml_texts import load_yaml
from hrvlab.paths import user_path

TYPES = {t.__name__: t for t in (int, float, str, bool, list, dict, tuple)} | {"Literal": Literal}
STRICT = ConfigDict(strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Parameter:
    """One line ``name: type = value  # help`` of a parameters cell.

    Parameters
    ----------
    name : str
    annotation : str
        The type, as source text.
    type : object
        The type, evaluated.
    default : object
    help : str
        The comment at the end of the line; empty if there is none.
    """

    name: str
    annotation: str
    type: Any
    default: Any
    help: str


def read_parameters(source: str, chapter: str) -> list[Parameter]:
    """Read the parameters from the source of a parameters cell.

    Parameters
    ----------
    source : str
        Lines of the form ``name: type = value  # help``. Types may use ``int``, ``float``, ``str``,
        ``bool``, ``list``, ``dict``, ``tuple``, ``Literal`` and ``None``.
    chapter : str
        Its name, for error messages.

    Returns
    -------
    list of Parameter

    Raises
    ------
    ParameterError
        If a line does not have that form, or a default does not have its type.
    """
    helps = _comments(source)
    parameters = []
    for node in _assignments(source, chapter):
        annotation = ast.unparse(node.annotation)
        try:
            kind = eval(annotation, {"__builtins__": {}, **TYPES})
        except (NameError, TypeError) as error:
            raise ParameterError(
                f"the parameter {node.target.id!r} of chapter {chapter!r} has the type "
                f"{annotation}; types may use only {', '.join(TYPES)} and None"
            ) from error
        default = ast.literal_eval(node.value)
        comment = helps.get(node.end_lineno or node.lineno, "")
        parameters.append(Parameter(node.target.id, annotation, kind, default, comment))
    check_parameters(parameters, {p.name: p.default for p in parameters}, chapter)
    return parameters


def _assignments(source: str, chapter: str) -> list[Any]:
    for node in (nodes := ast.parse(source).body):
        if (
            not isinstance(node, ast.AnnAssign)
            or not isinstance(node.target, ast.Name)
            or not _is_literal(node.value)
        ):
            raise ParameterError(
                f"line {node.lineno} of the parameters cell of chapter {chapter!r} must have the "
                "form 'name: type = value  # help', with a literal value"
            )
    return nodes


def _is_literal(node: ast.expr | None) -> bool:
    try:
        ast.literal_eval(node or ast.Name("missing"))
    except ValueError:
        return False
    return True


def _comments(source: str) -> dict[int, str]:
    """Return the comment of each line that has one, by line number."""
    tokens = tokenize.generate_tokens(StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}


def check_parameters(
    parameters: Sequence[Parameter], given: Mapping[str, Any], chapter: str
) -> dict[str, Any]:
    """Check the names and types of values, and add the defaults of all other parameters.

    Parameters
    ----------
    parameters : sequence of Parameter
    given : mapping of str to object
    chapter : str
        Its name, for error messages.

    Returns
    -------
    dict of str to object
        The value of every parameter.

    Raises
    ------
    ParameterError
        If a name is unknown or a value has the wrong type; its message lists all of them, with the
        valid names or the types expected.
    """
    names = [p.name for p in parameters]
    unknown = [repr(name) for name in given if name not in names]
    if unknown:
        raise ParameterError(
            f"chapter {chapter!r} has no parameter {', '.join(unknown)}; "
            f"valid names: {', '.join(names) or 'none'}"
        )
    values, wrong = {}, []
    for p in parameters:
        value = given.get(p.name, p.default)
        try:
            # Through JSON, so that a list may stand for a tuple while "20" never stands for 20.
            text = json.dumps(value, default=str)
            values[p.name] = TypeAdapter(p.type, config=STRICT).validate_json(text)
        except ValueError:  # of pydantic, or of a value that JSON cannot express
            wrong.append(f"{p.name} must be {p.annotation}, got {value!r}")
    if wrong:
        raise ParameterError(f"chapter {chapter!r}: {'; '.join(wrong)}")
    return values


def parse_assignments(parameters: Sequence[Parameter], texts: Sequence[str]) -> dict[str, Any]:
    """Parse ``name=value`` texts; a value stays text wherever its parameter's type allows text.

    Parameters
    ----------
    parameters : sequence of Parameter
    texts : sequence of str

    Returns
    -------
    dict of str to object
        By name; neither names nor types are checked.

    Raises
    ------
    ParameterError
        If a text has no ``=``.
    """
    types = {p.name: p.type for p in parameters}
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ParameterError(f"cannot read the parameter {text!r}; write name=value")
        values[name.strip()] = _parse(value, types.get(name.strip(), str))
    return values


def _parse(text: str, kind: Any) -> Any:
    adapter = TypeAdapter(kind, config=STRICT)
    try:
        parsed = load_yaml(text)
    except yaml.YAMLError:
        parsed = text
    for candidate in (None, text) if parsed is None else (text,):
        try:
            return adapter.validate_python(candidate)
        except ValidationError:
            continue
    return parsed


def read_parameter_file(path: str | Path) -> dict[str, Any]:
    """Read parameters from a YAML file of ``name: value`` lines.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict of str to object
        By name; neither names nor types are checked.

    Raises
    ------
    ParameterError
        If the file cannot be read, or does not have that form.
    """
    text = read_text(user_path(path), "parameter file")
    try:
        content = load_yaml(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ParameterError(f"the parameter file {path} is not valid YAML: {reason}") from error
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ParameterError(f"the parameter file {path} must have lines of the form name: value")
    return content


def fill(source: str, values: Mapping[str, Any]) -> str:
    """Replace the defaults in the source of a parameters cell, and keep everything else.

    Parameters
    ----------
    source : str
    values : mapping of str to object
        The value of every parameter.
    """
    lines = source.encode().splitlines(keepends=True)
    for node in reversed(ast.parse(source).body):
        assert isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value
        old, value = node.value, values[node.target.id]
        if ast.literal_eval(old) == value:
            continue
        # ast counts column offsets in bytes.
        head = lines[old.lineno - 1][: old.col_offset]
        tail = lines[(old.end_lineno or 0) - 1][old.end_col_offset :]
        lines[old.lineno - 1 : old.end_lineno] = [head + repr(value).encode() + tail]
    return b"".join(lines).decode()
