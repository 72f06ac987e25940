"""`tiers validate`: is tiers.yaml right? Every problem at once; exit code 3 when there is an error."""

from __future__ import annotations

import typer

from toolkit.cli.present import JsonOption, Output, OutputOption, Table, describe, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of


def validate(
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Check tiers.yaml and name every problem with its line and its cure."""
    from toolkit.errors import Severity, TopologyError
    from toolkit.topology.load import examine

    examined = examine(files, variables_of(assignments))
    for_people = output is Output.TABLE and not as_json
    if for_people:
        for problem in examined.problems:
            say(describe(problem))
    if examined.valid and for_people:
        counts = (
            f"{count} {what[:-1] if count == 1 else what}" for what, count in examined.counts.items() if count
        )
        print(f"{files[0]} is valid: {', '.join(counts)}")
    elif for_people:
        errors = sum(problem.severity is Severity.ERROR for problem in examined.problems)
        say(f"error: {errors} {'error' if errors == 1 else 'errors'}, nothing was changed")
    else:
        show(examined, Table((), ()), output, as_json=as_json)
    if not examined.valid:
        raise typer.Exit(TopologyError.exit_code)
