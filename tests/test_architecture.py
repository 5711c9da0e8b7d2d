import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "hrvlab"
# Bottom to top; a room may import what stands before it, and itself.
FLOORS = [
    ["errors", "paths", "typing"],
    ["models"],
    ["attention", "forecast", "store"],
    ["generation", "ledger"],
    ["capture", "cluster", "concepts", "prompts"],
    ["relevance"],
    ["experiments"],
    ["results", "figures"],
    ["widgets", "publish"],
    ["miniature"],
    ["cli"],
]
HEIGHT = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p.parent != PACKAGE or p.name[0] != "_")


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "hrvlab" and len(parts) > 1:
                yield parts[1]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_downwards_only(path):
    own = room_of(path)
    for room in imported_rooms(path):
        if room == own:
            continue
        assert room in HEIGHT, f"{room} is not a room"
        assert HEIGHT[room] < HEIGHT[own], f"{path.name} imports {room}, which stands above it"


def test_only_the_command_line_knows_the_miniature():
    users = {room_of(path) for path in MODULES if "miniature" in imported_rooms(path)}
    assert users <= {"miniature", "cli"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_module_outgrows_three_hundred_lines(path):
    assert len(path.read_text().splitlines()) <= 300
