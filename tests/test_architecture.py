import ast
import re
from graphlib import TopologicalSorter
from itertools import combinations
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "hrvlab"
# Bottom to top; a room may import what stands before it, and itself.
FLOORS = [
    ["errors", "libraries", "paths", "progress", "typing"],
    ["options"],
    ["statistics", "models"],
    ["inputs"],
    ["attention", "faults", "forecast", "pictures", "storage", "words"],
    ["keywords", "noise"],
    ["generation"],
    ["provenance", "rehearsal", "watch"],
    ["capture", "cluster"],
    ["relevance"],
    ["reservoir"],
    ["dry_run", "replication", "methods", "scorers"],
    ["experiments"],
    ["results", "figures", "atlas"],
    ["widgets", "publish"],
    ["miniature"],
    ["cli"],
    ["hrvlab"],
]
HEIGHT = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted(p for p in PACKAGE.rglob("*.py*") if p.suffix in (".py", ".pyi"))
# A module that is imported by its name when it is needed, possibly with one of its attributes.
NAMED = re.compile(r"(hrvlab(?:\.\w+)+)(?::(\w+))?")
# Not every platform has them.
UNIX_ONLY = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
LIKE_LINES = 10


def room_of(path):
    """Name the room of a file; what `import hrvlab` runs stands above all rooms."""
    first = path.relative_to(PACKAGE).parts[0].partition(".")[0]
    return "hrvlab" if first.startswith("__") else first


def name_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path) for path in MODULES}


def imported_names(path):
    """List what a file imports, anywhere in it: by statements, or by texts that name modules."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            folders = path.relative_to(PACKAGE.parent).parts[: -node.level] if node.level else ()
            module = ".".join(filter(None, (*folders, node.module)))
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Constant):
            named = NAMED.fullmatch(str(node.value))
            yield from [".".join(filter(None, named.groups()))] if named else []


def imported_modules(path):
    """Name the modules of the package that a file imports."""
    for name in imported_names(path):
        if name.startswith("hrvlab."):
            yield name if name in NAMES else name.rpartition(".")[0]


def imported_rooms(path):
    return {name.split(".")[1] for name in imported_modules(path) if "." in name}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_downwards_only(path):
    own = room_of(path)
    for room in imported_rooms(path) - {own}:
        assert room in HEIGHT, f"{room} is not a room"
        assert HEIGHT[room] < HEIGHT[own], f"{path.name} imports {room}, which stands above it"


def test_no_modules_import_each_other_in_a_circle():
    graph = TopologicalSorter()
    for path in MODULES:
        graph.add(name_of(path), *({*imported_modules(path)} - {name_of(path)}))
    graph.prepare()


def test_only_the_command_line_knows_the_miniature():
    users = {room_of(path) for path in MODULES if "miniature" in imported_rooms(path)}
    assert users <= {"miniature", "cli"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_module_needs_what_only_unix_has(path):
    assert not UNIX_ONLY & {name.partition(".")[0] for name in imported_names(path)}


def test_experiments_do_not_plot():
    assert not any("plotly" in path.read_text() for path in (PACKAGE / "experiments").rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_module_outgrows_three_hundred_lines(path):
    assert len(path.read_text().splitlines()) <= 300


def runs_of_lines(path):
    """List every run of so many lines of code: no imports, docstrings, comments or blanks."""
    tree = ast.parse(path.read_text())
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            skipped |= set(range(node.lineno, node.end_lineno + 1))
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            skipped |= set(range(first.lineno, first.end_lineno + 1))
    lines = [
        line.strip()
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if number not in skipped and line.strip() and not line.strip().startswith("#")
    ]
    return {tuple(lines[at : at + LIKE_LINES]) for at in range(len(lines) - LIKE_LINES + 1)}


def test_no_run_of_ten_lines_stands_twice():
    runs = {path: runs_of_lines(path) for path in MODULES}
    twice = [
        f"{one.relative_to(PACKAGE)} and {other.relative_to(PACKAGE)}:\n" + "\n".join(shared)
        for one, other in combinations(MODULES, 2)
        for shared in list(runs[one] & runs[other])[:1]
    ]
    assert not twice, "\n\n".join(twice)
