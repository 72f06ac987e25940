"""`tiers explain PATH`: what a value is, in which file and line it stands, what it replaced, what it means.

`tiers explain device NAME` prints all that holds for one device and who set it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, Table, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of
from toolkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from toolkit.topology.explain import Layer
    from toolkit.topology.load import Loaded

_PathArgument = Annotated[
    str,
    typer.Argument(
        help="Such as models.us-segmentation.rollout.canary, or device NAME for all of a device.",
        show_default="top",
    ),
]
_NameArgument = Annotated[
    str, typer.Argument(metavar="[NAME]", help="After the word device: its name.", show_default=False)
]
_DEVICE = "device"


def explain(
    path: _PathArgument = "",
    name: _NameArgument = "",
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Say what a value is, where it comes from and what it means."""
    from toolkit.topology.explain import explain as explain_path
    from toolkit.topology.load import load

    if (path == _DEVICE) != bool(name):
        raise UsageError("a name goes with the word device, and no other", hint="tiers explain device NAME")
    loaded = load(files, variables_of(assignments))
    if name:
        _show_device(loaded, name, output, as_json=as_json)
        return
    found = explain_path(loaded, path)
    rows = [
        (each.path, _short(each.value), each.place or "default", _places(each.replaced), each.about)
        for each in found
    ]
    show(found, Table(("path", "value", "from", "replaces", "meaning"), rows), output, as_json=as_json)


def _show_device(loaded: Loaded, name: str, output: Output, *, as_json: bool) -> None:
    from toolkit.topology.explain_device import explain_device

    found = explain_device(loaded, name)
    rows = [
        (each.key, _short(each.value), each.by, each.place or "", _places(each.replaced))
        for each in found.values
    ]
    rows += [
        (
            each.rule,
            _short(each.match),
            f"matches; sets {', '.join(each.decides) or 'nothing here'}",
            each.place,
            "",
        )
        for each in found.rules
    ]
    show(found, Table(("key", "value", "set by", "from", "replaces"), rows), output, as_json=as_json)


def _places(layers: Iterable[Layer]) -> str:
    return ", ".join(str(layer.place) for layer in layers)


def _short(value: object) -> str:
    """Write a value on one line, as it could stand in tiers.yaml."""
    import json

    if value is None:
        return "not set"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
