"""`tiers model show NAME@VERSION`: what its manifest says."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.model_list import KeyringOption
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, show
from toolkit.cli.registry import RegistryOption, open_registry
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption


def show_(
    model: Annotated[str, typer.Argument(metavar="NAME@VERSION", help="A version of a model.")],
    keyring: KeyringOption = None,
    registry: RegistryOption = "",
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Show one version: what it needs, how devices check it, what is done before and after its engine."""
    import msgspec

    from toolkit.errors import UsageError
    from toolkit.registry.keys import read_keyring
    from toolkit.registry.show import describe_stages, show_model

    name, at, version = model.partition("@")
    if not at:
        raise UsageError(f"{model!r} is not NAME@VERSION", hint=f"versions: tiers model list {name}")
    trusted = read_keyring(keyring) if keyring is not None else None
    store = open_registry(registry, files, assignments)
    shown = show_model(store, name, version, keyring=trusted)
    said = msgspec.to_builtins(shown.manifest)
    value = {"artifact": shown.artifact, "signed_by": shown.signed_by, "problem": shown.problem, **said}
    value["plans"] = [{**msgspec.to_builtins(each), "key": each.machine.key} for each in shown.plans]
    short = ("artifact", "signed_by", "problem", "counter", "total_bytes", "chunks")
    rows = [(each.replace("_", " "), _text(value[each])) for each in short if value[each]]
    for part in ("requires", "golden", "lineage"):
        rows += [
            (part, f"{key.replace('_', ' ')} {_text(each)}") for key, each in (said.get(part) or {}).items()
        ]
    for each in (plan.machine for plan in shown.plans):
        rows.append(("plan for", f"{each.gpu}, TensorRT {each.tensorrt}, machines {each.key}"))
    show(value, Table(("model", model), [*rows, *describe_stages(shown.manifest)]), output, as_json=as_json)


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(each)}" for key, each in value.items()) or "none"
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
