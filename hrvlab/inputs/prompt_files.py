"""Prompts in files: lines, YAML, tables, JSON, JSON lines, parquet, and the captions of COCO."""

from __future__ import annotations

import csv
import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import yaml

from hrvlab.errors import ParameterError
from hrvlab.inputs.texts import read_text
from hrvlab.inputs.yaml_texts import load_yaml

# Columns that hold prompts, in small letters; any other column has to be asked for.
COLUMNS = ("prompt", "prompts", "caption", "captions", "text")
# What people take for a file of prompts, by its first bytes.
SEEN = {
    b"PAR1": "is a parquet file; call it .parquet",
    b"PK\x03\x04": "is a zip archive, as Excel writes; save the sheet as CSV, or unpack it",
    b"\x1f\x8b": "is compressed by gzip; unpack it",
    b"\x93NUMPY": "is an array of NumPy; write its texts as lines",
}
PARQUET = ".parquet"
READERS = ("pyarrow", "fastparquet")


def read_prompt_file(path: Path, column: str | None = None) -> list[str]:
    """Read the prompts of a file, whose name tells its form.

    Parameters
    ----------
    path : Path
        ``.csv``, ``.tsv``, ``.json``, ``.jsonl`` or ``.ndjson``, ``.parquet``, ``.yaml`` or
        ``.yml``; any other name: one prompt per line.
    column : str, optional
        Of a table, or of JSON objects; by default the only one that is called prompt, prompts,
        caption, captions or text.

    Returns
    -------
    list of str

    Raises
    ------
    ParameterError
        If the file has another form, which is told; or the column has to be asked for.
    """
    kind = path.suffix.lower()
    if kind == PARQUET:
        return _choose(path, _parquet_records(path), column)
    try:
        with path.open("rb") as file:
            begin = file.read(8)
    except OSError as error:
        raise ParameterError(f"cannot read the prompt file {path}: {error.strerror}") from error
    for mark, seen in SEEN.items():
        if begin.startswith(mark):
            raise ParameterError(f"the prompt file {path} {seen}")
    text = read_text(path, "prompt file", declared=False)
    return _choose(path, FORMS.get(kind, _lines)(path, text), column)


def _choose(path: Path, records: Sequence[Any], column: str | None) -> list[str]:
    """Return the texts of records that are texts, or that have a column of them."""
    if not records:
        raise ParameterError(f"{path} holds no prompts")
    if all(isinstance(record, str) for record in records):
        if column is not None:
            raise ParameterError(f"{path} has no columns, only prompts; leave out {column!r}")
        return list(records)
    for number, record in enumerate(records, start=1):
        if not isinstance(record, Mapping):
            raise ParameterError(
                f"entry {number} of {path} is {_shown(record)}; all must be texts, or all objects "
                "with a column of texts"
            )
    name = _column(path, list(dict.fromkeys(key for record in records for key in record)), column)
    texts = [record.get(name) for record in records]
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str) or not text.strip():
            raise ParameterError(
                f"entry {number} of {path} has {_shown(text)} in the column {name!r}; give a text "
                "with words, or another column"
            )
    return [text.strip() for text in texts]


def _column(path: Path, there: Sequence[str], asked: str | None) -> str:
    """Return the column of prompts: the one asked for, or the only one whose name says so."""
    listed = ", ".join(map(repr, there))
    if asked is not None:
        if asked in there:
            return asked
        near = difflib.get_close_matches(asked, there, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ParameterError(f"{path} has no column {asked!r}; {hint}its columns are {listed}")
    named = [name for name in there if str(name).strip().lower() in COLUMNS]
    if len(named) == 1:
        return named[0]
    seen = f"{len(named)} columns called like prompts" if named else "no column called 'prompt'"
    raise ParameterError(
        f"{path} has {seen}; its columns are {listed}: say which one holds the prompts, by "
        "column= or --column"
    )


def _lines(path: Path, text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and all("\t" in line for line in lines):
        raise ParameterError(f"every line of {path} has a tab, as in a table; call it .tsv")
    if lines and lines[0][0] in "[{":
        try:
            json.loads(text if len(lines) > 1 and len(lines[0]) == 1 else lines[0])
        except ValueError:
            return lines
        raise ParameterError(f"{path} begins as JSON does; call it .json or, by lines, .jsonl")
    return lines


def _yaml_records(path: Path, text: str) -> list[str]:
    try:
        content = load_yaml(text)
    except yaml.YAMLError as error:
        raise ParameterError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    prompts = content.get("prompts") if isinstance(content, dict) else None
    if not isinstance(prompts, list) or not all(isinstance(prompt, str) for prompt in prompts):
        raise ParameterError(f"{path} must contain a list 'prompts' of texts")
    return prompts


def _table(delimiter: str) -> Callable[[Path, str], list[dict[str, str]]]:
    """Return a reader of tables whose first line names the columns."""

    def read(path: Path, text: str) -> list[dict[str, str]]:
        # Line ends are part of quoted texts, so they must reach the reader as they are.
        reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            header = next(reader, [])
            if twice := sorted({name for name in header if header.count(name) > 1}):
                raise ParameterError(f"{path} has two columns {twice[0]!r}; rename one of them")
            rows = []
            for row in reader:
                if row and len(row) != len(header):
                    raise ParameterError(
                        f"line {reader.line_num} of {path} has {len(row)} columns, the first line "
                        f"has {len(header)} ({', '.join(map(repr, header))}); quote texts that "
                        f"contain {delimiter!r}"
                    )
                if row:
                    rows.append(dict(zip(header, row, strict=True)))
        except csv.Error as error:
            raise ParameterError(f"line {reader.line_num} of {path}: {error}") from error
        return rows

    return read


def _json_records(path: Path, text: str) -> list[Any]:
    """Return the records of a list, or of what commonly stands around one."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ParameterError(f"{path} is not valid JSON: {error}") from error
    if isinstance(content, list):
        return content
    if not isinstance(content, dict):
        raise ParameterError(f"{path} holds {_shown(content)}; it must hold a list of prompts")
    for name in ("annotations", *COLUMNS):  # the first is where COCO has its captions
        if isinstance(content.get(name), list):
            return list(content[name])
    if content and all(isinstance(value, dict) for value in content.values()):
        return list(content.values())
    keys = ", ".join(map(repr, list(content)[:8]))
    raise ParameterError(
        f"{path} is an object with the keys {keys}; it must hold a list of texts or objects, alone "
        "or as 'prompts', or COCO's 'annotations'"
    )


def _json_lines(path: Path, text: str) -> list[Any]:
    records = []
    # Not splitlines, which also splits at characters that JSON allows within a text.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                records.append(json.loads(line))
            except ValueError as error:
                raise ParameterError(f"line {number} of {path} is not JSON: {error}") from error
    return records


def _parquet_records(path: Path) -> list[dict[str, Any]]:
    if not any(map(find_spec, READERS)):
        raise ParameterError(
            f"to read {path}, pyarrow is needed, which is not installed; pip install pyarrow, or "
            "save the table as CSV"
        )
    # Imported here because few runs need it.
    import pandas as pd

    try:
        return pd.read_parquet(path).to_dict("records")
    except Exception as error:  # a damaged file fails in many ways
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ParameterError(f"{path} is not a readable parquet file: {reason}") from error


def _shown(value: object) -> str:
    """Return a value as an error shows it, not too long."""
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) < 40 else f'{text[:36]} …'}"


FORMS: Mapping[str, Callable[[Path, str], Sequence[Any]]] = {
    ".csv": _table(","),
    ".tsv": _table("\t"),
    ".json": _json_records,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".yaml": _yaml_records,
    ".yml": _yaml_records,
}
