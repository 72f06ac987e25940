"""`tiers lint`: what would go wrong with Kubernetes objects, ours or anybody's; exit code 1 when there is an error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, Table, describe, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolkit.lint.document import Document
    from toolkit.topology.topology import Topology

_Objects = Annotated[
    list[Path],
    typer.Argument(
        metavar="[FILE]...", help="YAML or JSON files, or folders of them.", show_default="what is rendered"
    ),
]
CrdsOption = Annotated[
    list[Path],
    typer.Option(
        "--crds",
        metavar="DIR",
        help="A folder of CRDs, beside those of tiers schema pull.",
        show_default=False,
    ),
]
KubernetesOption = Annotated[
    str,
    typer.Option(
        "--kubernetes",
        metavar="VERSION",
        help="Whose kinds to check by.",
        show_default="the pulled one, or 1.35",
    ),
]
ExplainOption = Annotated[
    str,
    typer.Option(
        "--explain", metavar="CODE", help="Say what a code such as L401 means, and end.", show_default=False
    ),
]
_NO_FILES: list[Path] = []


def lint(
    context: typer.Context,
    objects: _Objects = _NO_FILES,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    crds: CrdsOption = _NO_FILES,
    kubernetes: KubernetesOption = "",
    explain: ExplainOption = "",
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Look for what a cluster would refuse, never start, or lose; without FILE in what tiers.yaml becomes.

    What stands around a job decides whether it ever starts. With FILE and --file, tiers.yaml says which machines,
    queues, services and priorities there are; so do objects among the FILEs, such as those that kubectl get
    queues,priorityclasses,nodes,resourcequotas -A -o yaml lists.
    """
    from toolkit.errors import Problem, Severity, TiersError
    from toolkit.lint.check import lint as check
    from toolkit.lint.check import said_once
    from toolkit.lint.document import from_files
    from toolkit.lint.known_from_topology import known_from_topology
    from toolkit.lint.schema import schemas_from, validate
    from toolkit.lint.schema_files import cached_folders
    from toolkit.lint.surroundings import NOTHING_KNOWN
    from toolkit.topology.load import load

    if explain:
        _explain(explain, output, as_json=as_json)
        return
    problems: list[Problem] = []
    unchecked: dict[str, None] = {}
    source = context.get_parameter_source("files")
    topology = load(files, variables_of(assignments)).topology if not objects or _typed(source) else None
    by_cluster = {"": from_files(objects)} if objects or not topology else _rendered(topology, files)
    for cluster, documents in by_cluster.items():
        folders = (*crds, *cached_folders(files[0].parent, cluster))
        known = known_from_topology(topology, cluster or None) if topology else NOTHING_KNOWN
        validated = validate(documents, schemas_from(folders, kubernetes))
        unchecked.update(dict.fromkeys(validated.unchecked))
        problems += said_once((*validated.problems, *check(documents, known)))
    if output is Output.TABLE and not as_json:
        print("".join(f"{describe(problem)}\n" for problem in problems), end="")
    else:
        show(problems, Table((), ()), output, as_json=as_json)
    if unchecked:
        say(f"no schema of {', '.join(unchecked)}: their fields are not checked; next: tiers schema pull")
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    number = sum(map(len, by_cluster.values()))
    say(f"{_count(number, 'object')}: {_count(errors, 'error')}, {_count(len(problems) - errors, 'warning')}")
    if errors:
        raise typer.Exit(TiersError.exit_code)


def _explain(code: str, output: Output, *, as_json: bool) -> None:
    """Write what a code means."""
    from toolkit.lint.codes import explain

    found = explain(code)
    if output is Output.TABLE and not as_json:
        print(
            f"{found.code} ({found.severity.value}): {found.what}\n  why: {found.why}\n  cure: {found.cure}"
        )
    else:
        show(found, Table((), ()), output, as_json=as_json)


def _typed(source: object) -> bool:
    """Whether an option was typed, and did not come from its default."""
    return getattr(source, "name", "") == "COMMANDLINE"


def _rendered(topology: Topology, files: Sequence[Path]) -> dict[str, tuple[Document, ...]]:
    """Give what tiers.yaml becomes, by cluster."""
    from toolkit.lint.document import from_objects
    from toolkit.render.lock import LOCK_FILE, read_lock
    from toolkit.render.objects import render

    objects = render(topology, read_lock(files[0].parent / LOCK_FILE))
    return {
        cluster: from_objects(each.body for each in objects if each.cluster == cluster)
        for cluster in sorted(topology.clusters)
    }


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
