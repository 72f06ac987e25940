"""`tiers device list`: who is enrolled, who is not yet, and whose certificate ends soon."""

from __future__ import annotations

from toolkit.cli.authority import DEFAULT_AUTHORITY, AuthorityOption, day_of, utc_now
from toolkit.cli.present import JsonOption, Output, OutputOption, Table, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of


def list_(
    folder: AuthorityOption = DEFAULT_AUTHORITY,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """List the devices of tiers.yaml and everybody else who was enrolled."""
    from toolkit.fleet.standing import standings
    from toolkit.topology.load import load

    topology = load(files, variables_of(assignments)).topology
    found = standings(topology, folder, utc_now())
    rows = [
        (each.name, each.state, day_of(each.not_after) if each.not_after else "", each.serial, each.remark)
        for each in found
    ]
    show(found, Table(("name", "state", "until", "serial", "remark"), rows), output, as_json=as_json)
