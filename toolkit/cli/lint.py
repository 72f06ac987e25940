"""`tiers lint`: what would go wrong with Kubernetes objects, ours or anybody's; exit code 1 when there is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, Table, describe, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of

_Objects = Annotated[
    list[Path],
    typer.Argument(
        metavar="[FILE]...", help="YAML or JSON files, or folders of them.", show_default="what is rendered"
    ),
]
_NO_FILES: list[Path] = []


def lint(
    objects: _Objects = _NO_FILES,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Look for what a cluster would refuse, never start, or lose; without FILE in what tiers.yaml becomes."""
    from toolkit.errors import Severity, TiersError
    from toolkit.lint.check import lint as check
    from toolkit.lint.document import from_files, from_objects
    from toolkit.render.lock import LOCK_FILE, read_lock
    from toolkit.render.objects import render
    from toolkit.topology.load import load

    if objects:
        documents = from_files(objects)
    else:
        topology = load(files, variables_of(assignments)).topology
        rendered = render(topology, read_lock(files[0].parent / LOCK_FILE))
        documents = from_objects(each.body for each in rendered)
    problems = check(documents)
    if output is Output.TABLE and not as_json:
        print("".join(f"{describe(problem)}\n" for problem in problems), end="")
    else:
        show(problems, Table((), ()), output, as_json=as_json)
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    warnings = len(problems) - errors
    say(f"{_count(len(documents), 'object')}: {_count(errors, 'error')}, {_count(warnings, 'warning')}")
    if errors:
        raise typer.Exit(TiersError.exit_code)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
