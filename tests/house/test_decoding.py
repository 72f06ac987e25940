"""Nobody decodes a struct that msgspec may not know yet: two threads that do so at once end the process (`learn`)."""

from __future__ import annotations

import ast
import builtins
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = sorted(
    path for part in ("toolkit", "edge_runtime", "cloud_jobs") for path in (REPOSITORY / part).rglob("*.py")
)


def unlearnt(text: str) -> list[int]:
    """Give the lines on which msgspec decodes into a class by its name alone."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        of_msgspec = ast.unparse(node.func).startswith("msgspec.") and node.func.attr in {"decode", "convert"}
        wanted = [each.value for each in node.keywords if each.arg == "type"]
        wanted += node.args[1:] if node.func.attr == "convert" else []
        for each in wanted if of_msgspec else ():
            names = [part.id for part in ast.walk(each) if isinstance(part, ast.Name)]
            if "learn" not in names and not all(
                name == "msgspec" or hasattr(builtins, name) for name in names
            ):
                found.append(node.lineno)
    return found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("msgspec.json.decode(data, type=Note)", [1]),
        ("msgspec.convert(data, Note)", [1]),
        ("msgspec.msgpack.decode(data, type=list[Note])", [1]),
        ("msgspec.json.decode(data, type=learn(Note))", []),
        ("msgspec.json.decode(data, type=dict[str, msgspec.Raw])", []),
        ("msgspec.json.decode(data)", []),
    ],
)
def test_what_is_found(line: str, found: list[int]) -> None:
    assert unlearnt(line) == found


def test_nobody_decodes_what_is_not_learnt() -> None:
    found = {str(path.relative_to(REPOSITORY)): unlearnt(path.read_text()) for path in FILES}
    assert {path: lines for path, lines in found.items() if lines} == {}
