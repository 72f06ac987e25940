"""`tiers job submit --local`: run the gang on this machine and wait for its artifact."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.present import Output, Table, say, show
from toolkit.cli.site import variables_of

ROOT = Path(".tiers/jobs")
"""Below it each local job has a folder of its own."""
RootOption = Annotated[Path, typer.Option("--root", help="Folder below which local jobs keep their files.")]


def run_here(
    job: str,
    files: Sequence[Path],
    assignments: Sequence[str],
    *,
    workers: int | None,
    root: Path,
    fresh: bool,
    follow: bool,
    output: Output,
    as_json: bool,
) -> None:
    """Run a job's workers as processes; an interrupt ends them."""
    import os
    import signal

    from toolkit.jobs.local import run, summary
    from toolkit.jobs.plan import plan_local
    from toolkit.topology.load import load

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C: the gang must not outlive us
    topology = load(files, variables_of(assignments)).topology
    plan = plan_local(topology, job, root=root, environ=os.environ, workers=workers)
    listener = (lambda rank, line: say(f"[rank {rank}] {line}")) if follow else None
    finished = run(plan, listener=listener, fresh=fresh)
    show(finished, Table(("what", "value"), summary(finished)), output, as_json=as_json)
