"""`tiers rollout start MODEL`: write down that a version shall go to a model's devices; with --wait, see it there."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from toolkit.cli.broker import BrokerOption, KeyOption, KeyringOption, open_site
from toolkit.cli.present import JsonOption, Output, OutputOption, say, show
from toolkit.cli.registry import open_registry_of
from toolkit.cli.rollout_report import TimeoutOption, answer, follow_aloud, table_of
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of

NO_DEVICES: list[str] = []


def start(
    model: Annotated[str, typer.Argument(help="A model of tiers.yaml.")],
    key: KeyOption,
    version: Annotated[str, typer.Option("--version", help="Another version than tiers.yaml says.")] = "",
    name: Annotated[str, typer.Option("--name", help="Of the rollout [default: MODEL-VERSION-NUMBER].")] = "",
    devices: Annotated[
        list[str], typer.Option("--device", help="Only this device; may be repeated.", show_default="all")
    ] = NO_DEVICES,
    max_failed: Annotated[
        int | None,
        typer.Option(
            "--max-failed", min=0, help="Devices that may refuse it.", show_default="abort_if.refused"
        ),
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="Do not wait for install windows; holds hold.")] = False,
    keyring: KeyringOption = None,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    broker: BrokerOption = "",
    registry: Annotated[str, typer.Option("--registry", metavar="URL", help="Another registry.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it has succeeded or failed.")] = False,
    timeout: TimeoutOption = "10m",
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Bring a version of a model to its devices, wave by wave. A driver does it; this only writes it down."""
    from toolkit.cli.rollout_report import seconds_of, trust
    from toolkit.fleet.rollout import StartRequest
    from toolkit.fleet.rollout import start as start_rollout
    from toolkit.registry.keys import read_key
    from toolkit.topology.load import load

    topology = load(files, variables_of(assignments)).topology
    seconds, private = seconds_of(timeout), read_key(key)
    trusted = trust(private, keyring)
    store = open_registry_of(topology, registry)
    request = StartRequest(model, version, name, tuple(devices), max_failed, now)
    with open_site(topology, broker, trusted) as watch:
        checked = trusted if keyring else None
        started = start_rollout(watch, topology, store, private, request, keyring=checked)
        for note in started.notes:
            say(note)
        result = answer(watch, started)
        if wait:
            result = replace(result, status=follow_aloud(watch, started.rollout.name, seconds))
    show(result, table_of([result.status]), output, as_json=as_json)
    if wait:
        result.check(seconds)
