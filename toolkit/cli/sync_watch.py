"""`tiers sync watch`: keep routes going from this machine until Ctrl-C."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.present import JsonOption, say
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of

if TYPE_CHECKING:
    from toolkit.sync.watch import WatchedRun


def watch(
    routes: Annotated[
        list[str] | None, typer.Argument(help="Names of routes [default: all scheduled].", show_default=False)
    ] = None,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    every: Annotated[
        str, typer.Option("--every", metavar="TIME", help="Time between two runs [default: the route's].")
    ] = "0s",
    as_json: JsonOption = False,
) -> None:
    """Run routes again and again, each in its time, as the agent of a tier does. A line a run that did something."""
    from toolkit.cli.logins import remotes_of
    from toolkit.cli.stopping import stop_on_signals
    from toolkit.cli.sync_report import run_line, seconds_of
    from toolkit.routes import sync_task
    from toolkit.sync.watch import watch as keep_going
    from toolkit.topology.load import load

    topology = load(files, variables_of(assignments)).topology
    named = routes or sorted(name for name, route in topology.routes.items() if route.trigger == "schedule")
    tasks = [sync_task(topology, name) for name in named]

    def tell(run: WatchedRun) -> None:
        if as_json or not run.did_nothing:
            sys.stdout.write(run_line(run, as_json=as_json) + "\n")
            sys.stdout.flush()

    say(f"watching {', '.join(named) or 'nothing'}; Ctrl-C ends it")
    period = seconds_of("--every", every)
    with stop_on_signals() as stop:
        runs = keep_going(tasks, stop, tell, every_seconds=period, remotes=remotes_of(topology))
    say(f"{runs} runs")
