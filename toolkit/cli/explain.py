"""`tiers explain PATH`: what a value is, in which file and line it stands, what it replaced, what it means."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, Table, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of


def explain(
    path: Annotated[
        str, typer.Argument(help="Such as models.us-segmentation.rollout.canary.", show_default="top")
    ] = "",
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Say what a value is, where it comes from and what it means."""
    from toolkit.topology.explain import explain as explain_path
    from toolkit.topology.load import load

    found = explain_path(load(files, variables_of(assignments)), path)
    rows = [
        (
            each.path,
            _short(each.value),
            each.place or "default",
            ", ".join(str(layer.place) for layer in each.replaced),
            each.about,
        )
        for each in found
    ]
    show(found, Table(("path", "value", "from", "replaces", "meaning"), rows), output, as_json=as_json)


def _short(value: object) -> str:
    """Write a value on one line, as it could stand in tiers.yaml."""
    import json

    if value is None:
        return "not set"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
