"""`tiers model promote NAME@VERSION --to production`: check the gates, roll out, wait; for CI."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.broker import BrokerOption, KeyOption, open_site
from toolkit.cli.environment import ToOption, files_for
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, say, show
from toolkit.cli.registry import RegistryOption, open_registry_of
from toolkit.cli.rollout_report import TimeoutOption, line_of, seconds_of
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of


def promote(
    label: Annotated[
        str, typer.Argument(metavar="NAME[@VERSION]", help="Without a version, the one of tiers.yaml.")
    ],
    to: ToOption,
    key: KeyOption,
    keyring: Annotated[Path, typer.Option("--keyring", help="Whose signatures count.")],
    summary: Annotated[
        Path | None, typer.Option("--summary", metavar="FILE", help="Write the outcome there as Markdown.")
    ] = None,
    timeout: TimeoutOption = "1h",
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    broker: BrokerOption = "",
    registry: RegistryOption = "",
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Check a version's gates, roll it out and wait: exit code 0 when it is there, 7 when it was refused."""
    from toolkit.cli.stopping import stop_on_signals
    from toolkit.errors import INTERRUPTED_EXIT_CODE
    from toolkit.promotion.promote import PromoteRequest
    from toolkit.promotion.promote import promote as promote_version
    from toolkit.promotion.summary import summary_of
    from toolkit.registry.keys import read_key, read_keyring
    from toolkit.sync.whole import write_whole
    from toolkit.topology.load import load

    topology = load(files_for(to, files), variables_of(assignments)).topology
    private, trusted = read_key(key), read_keyring(keyring)
    name, _, version = label.partition("@")
    request = PromoteRequest(name, version, to, seconds_of(timeout))
    with stop_on_signals() as stop:
        done = promote_version(
            topology, open_registry_of(topology, registry),
            lambda: open_site(topology, broker, trusted), private, trusted, request,
            on_change=lambda row: say(line_of(row)), stop=stop.is_set,
        )  # fmt: skip
    if summary is not None:
        write_whole(summary, summary_of(done).encode())
    rows = [(check.gate, "passed" if check.passed else "shut", check.found) for check in done.checks]
    show(done, Table(("gate", "", "found"), rows), output, as_json=as_json)
    if done.outcome == "left":
        say(
            f"rollout {done.rollout} goes on without us; this stops it: tiers rollout abort {done.rollout}"
            if done.rollout
            else "nothing was started"
        )
        raise typer.Exit(INTERRUPTED_EXIT_CODE)
    error = done.error(request.seconds)
    if error is not None:
        raise error
