"""`tiers job submit`: run a job's gang; with --local on this machine, and wait for its artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, Table, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of

ROOT = Path(".tiers/jobs")
"""Below it each local job has a folder of its own."""
RootOption = Annotated[Path, typer.Option("--root", help="Folder below which local jobs keep their files.")]


def submit(
    job: Annotated[str, typer.Argument(help="A job of tiers.yaml.")],
    local: Annotated[bool, typer.Option("--local", help="Run the workers here, as processes.")] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Another number of workers.", min=1)
    ] = None,
    root: RootOption = ROOT,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget checkpoints and output of earlier runs.")
    ] = False,
    follow: Annotated[bool, typer.Option(help="Show what the workers write.")] = True,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Run a job of tiers.yaml: all its workers start or none, and it goes on from its checkpoints."""
    import os
    import signal

    from toolkit.errors import UsageError
    from toolkit.jobs.local import run, summary
    from toolkit.jobs.plan import plan_local
    from toolkit.topology.load import load

    if not local:
        raise UsageError("jobs run only here in this version", hint=f"tiers job submit {job} --local")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C: the gang must not outlive us
    topology = load(files, variables_of(assignments)).topology
    plan = plan_local(topology, job, root=root, environ=os.environ, workers=workers)
    listener = (lambda rank, line: say(f"[rank {rank}] {line}")) if follow else None
    finished = run(plan, listener=listener, fresh=fresh)
    show(finished, Table(("what", "value"), summary(finished)), output, as_json=as_json)
