"""Files are named after what is in them, stay short, and their public parts say what they are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("toolkit", "templates", "edge_runtime", "cloud_jobs")
DRAWERS = {
    "util",
    "utils",
    "common",
    "helper",
    "helpers",
    "misc",
    "manager",
    "managers",
    "handler",
    "handlers",
}
LONGEST = 400
REASON = "Longer than 400 lines because"
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX)\b|raise NotImplementedError")
LUCK = re.compile(r"mock\.patch|MagicMock|monkeypatch\.setattr|time\.sleep\(")
SOMEBODYS_FOLDER = re.compile(r"(?<![\w.])/(?:home|Users)/(?!me/)\w+/|(?<![\w.])/root/")


def files(*folders: str, suffix: str = ".py") -> list[Path]:
    found = [path for folder in folders for path in sorted((REPOSITORY / folder).rglob(f"*{suffix}"))]
    return [path for path in found if "__pycache__" not in path.parts]


def relative(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


SOURCES = files(*PACKAGES)
OURS = [*SOURCES, *files("scripts", "benchmarks")]
TESTS = [path for path in files("tests") if path.name != Path(__file__).name]


def public_parts(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Yield public functions and classes, and the public methods of public classes; not what a function hides."""
    bodies = [tree.body]
    while bodies:
        for node in bodies.pop():
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if node.name.startswith("_") or "overload" in {
                getattr(each, "id", "") for each in node.decorator_list
            }:
                continue
            yield node
            if isinstance(node, ast.ClassDef):
                bodies.append(node.body)


def gaps(source: str, name: str = "a.py") -> list[str]:
    """Name each public part without a docstring, and each public function with an untyped argument or result."""
    tree = ast.parse(source)
    found = [] if ast.get_docstring(tree) else [f"{name}: no docstring"]
    for part in public_parts(tree):
        place = f"{name}:{part.lineno} {part.name}"
        if not ast.get_docstring(part):
            found.append(f"{place}: no docstring")
        if isinstance(part, ast.ClassDef):
            continue
        arguments = [
            *part.args.posonlyargs,
            *part.args.args,
            *part.args.kwonlyargs,
            part.args.vararg,
            part.args.kwarg,
        ]
        untyped = [
            each.arg for each in arguments if each and not each.annotation and each.arg not in {"self", "cls"}
        ]
        if untyped or not part.returns:
            found.append(f"{place}: untyped {', '.join(untyped) or 'result'}")
    return found


def matches(pattern: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [
        f"{relative(path)}:{number} {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]


def test_there_are_files_to_look_at():
    assert len(SOURCES) > 50
    assert len(TESTS) > 10


def test_no_drawers():
    names = [path for path in OURS + TESTS if {*path.relative_to(REPOSITORY).with_suffix("").parts} & DRAWERS]
    assert [relative(path) for path in names] == []


def test_a_long_file_gives_its_reason():
    texts = {relative(path): path.read_text(encoding="utf-8") for path in OURS}
    assert [name for name, text in texts.items() if text.count("\n") > LONGEST and REASON not in text] == []


def test_public_parts_are_typed_and_described():
    assert [gap for path in SOURCES for gap in gaps(path.read_text(encoding="utf-8"), relative(path))] == []


def test_nothing_is_left_unfinished():
    assert matches(UNFINISHED, OURS) == []


def test_no_test_patches_or_sleeps_for_luck():
    assert matches(LUCK, TESTS) == []


def test_no_path_of_somebodys_machine():
    texts = [*files("docs", suffix=".md"), *REPOSITORY.glob("*.md"), *files(*PACKAGES, suffix=".j2")]
    assert matches(SOMEBODYS_FOLDER, OURS + TESTS + texts) == []


def test_no_package_under_tests():
    assert [relative(path) for path in files("tests") if path.name == "__init__.py"] == []


@pytest.mark.parametrize(
    ("source", "gap"),
    [
        ("x = 1", "no docstring"),
        ('"""M."""\ndef f(): ...', "f: no docstring"),
        ('"""M."""\ndef f(a) -> int:\n    """F."""', "f: untyped a"),
        ('"""M."""\ndef f(a: int):\n    """F."""', "f: untyped result"),
        (
            '"""M."""\nclass C:\n    """C."""\n    async def m(self, *rest) -> None:\n        """M."""',
            "m: untyped rest",
        ),
    ],
)
def test_a_gap_is_seen(source, gap):
    assert gap in gaps(source)[0]
