"""`tiers job submit`: start a job's gang in its cluster, once; with --local on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.clusters import KubeconfigOption
from toolkit.cli.job_here import ROOT, RootOption
from toolkit.cli.present import JsonOption, Output, OutputOption, YesOption
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption


def submit(
    job: Annotated[str, typer.Argument(help="A job or a flow of tiers.yaml.")],
    local: Annotated[bool, typer.Option("--local", help="Run the workers here, as processes.")] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Another number of workers.", min=1)
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it until it has ended.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Run it anew when it has ended.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Stop it when it runs otherwise, and start it anew.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Ask the server, change nothing.")] = False,
    yes: YesOption = False,
    kubeconfig: KubeconfigOption = None,
    root: RootOption = ROOT,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="With --local: forget checkpoints and output of earlier runs.")
    ] = False,
    follow: Annotated[bool, typer.Option(help="With --local: show what the workers write.")] = True,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Run a job of tiers.yaml: all its workers start or none; the same job a second time is left alone."""
    from toolkit.errors import UsageError

    asked = {"--wait": wait, "--again": again, "--replace": replace, "--dry-run": dry_run}
    if local and any(asked.values()):
        flag = next(each for each, on in asked.items() if on)
        raise UsageError(f"--local runs here and knows no {flag}", hint=f"tiers job submit {job} --local")
    if fresh and not local:
        raise UsageError("--fresh is for --local", hint=f"tiers job submit {job} --again")
    if local:
        from toolkit.cli.job_here import run_here

        run_here(
            job, files, assignments, workers=workers, root=root, fresh=fresh, follow=follow,
            output=output, as_json=as_json,
        )  # fmt: skip
        return
    from toolkit.cli.job_there import submit_there

    submit_there(
        job, files, assignments, kubeconfig, workers=workers, wait=wait, again=again, replace=replace,
        dry_run=dry_run, yes=yes, output=output, as_json=as_json,
    )  # fmt: skip
