"""Follow a submitted job on stderr until it has ended: `tiers job submit --wait`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from toolkit.cli.job_site import tell
from toolkit.cli.present import say

if TYPE_CHECKING:
    from toolkit.jobs.where import Where


def follow_job(where: Where) -> None:
    """Show each change; a failed, suspended or vanished job is an error, Ctrl-C leaves the job alone."""
    from toolkit.errors import INTERRUPTED_EXIT_CODE, JobError
    from toolkit.jobs.follow import follow
    from toolkit.jobs.states import JobState

    last = None
    try:
        for last in follow(where):
            tell(where.name, last)
    except KeyboardInterrupt:
        say(f"\njob {where.name} goes on; look at it with: tiers job status {where.name}")
        raise typer.Exit(INTERRUPTED_EXIT_CODE) from None
    if last is not None and last.state is not JobState.COMPLETED:
        raise JobError(f"job {where.name} is {last.state.value}: {last.why}", hint=last.cure)
