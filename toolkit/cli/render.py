"""`tiers render`: tiers.yaml as Kubernetes, KubeEdge and Volcano objects, to a folder or to standard output."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, Table, describe, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of

_FolderOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="Write one file an object below DIR.")
]


def render(
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    folder: _FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the objects that tiers.yaml becomes, in the order in which they are applied."""
    from toolkit.render.lock import LOCK_FILE, read_lock
    from toolkit.render.objects import render as render_topology
    from toolkit.render.stream import to_stream
    from toolkit.render.write import write_folder
    from toolkit.topology.load import load

    loaded = load(files, variables_of(assignments))
    for problem in loaded.warnings:
        say(describe(problem))
    objects = render_topology(loaded.topology, read_lock(files[0].parent / LOCK_FILE))
    if folder is None and as_json:
        show(objects, Table((), ()), Output.JSON)
    elif folder is None:
        print(to_stream(objects), end="")
    else:
        written = write_folder(objects, folder, loaded.topology.name)
        changes = [("written", path) for path in written.written] + [
            ("removed", path) for path in written.removed
        ]
        if as_json or changes:
            show(written, Table(("", "file"), changes), Output.TABLE, as_json=as_json)
        say(
            f"{len(objects)} objects in {folder}, {len(written.unchanged)} of them as before; next: tiers lint {folder}"
        )
