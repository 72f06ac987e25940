"""`tiers render`: tiers.yaml as Kubernetes, KubeEdge and Volcano objects, to a folder or to standard output."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.locked import refuse_unlocked
from toolkit.cli.present import JsonOption, Output, Table, describe, say, show
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of

if TYPE_CHECKING:
    from toolkit.topology.topology import Topology

_FolderOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="Write one file an object below DIR.")
]


_CloudOption = Annotated[
    str | None,
    typer.Option("--cloud-config", metavar="CLUSTER", help="Print KubeEdge's cloudcore.yaml instead."),
]
_ConfigMapOption = Annotated[
    bool, typer.Option("--as-config-map", help="With --cloud-config: print the ConfigMap kubeedge/cloudcore.")
]
_EdgeOption = Annotated[
    str | None,
    typer.Option("--edge-config", metavar="POOL[/DEVICE]", help="Print edgecore.yaml of devices instead."),
]
_JoinOption = Annotated[
    str | None,
    typer.Option("--join", metavar="POOL[/DEVICE]", help="Print the script that joins a device instead."),
]
_UpgradeOption = Annotated[
    str | None,
    typer.Option("--upgrade", metavar="POOL", help="Print the job that upgrades EdgeCore instead."),
]
_SchedulerOption = Annotated[
    bool, typer.Option("--scheduler-config", help="Print volcano-scheduler.conf instead.")
]
_DashboardsOption = Annotated[
    Path | None,
    typer.Option("--dashboards", metavar="DIR", help="Write Grafana's dashboards instead."),
]
_MonitoringOption = Annotated[
    Path | None,
    typer.Option("--monitoring", metavar="DIR", help="Write Prometheus' and Alertmanager's files instead."),
]
_BrokerOption = Annotated[
    Path | None,
    typer.Option("--broker-config", metavar="DIR", help="Write the files of a Mosquitto in DIR instead."),
]
_CheckOption = Annotated[
    bool,
    typer.Option("--check", help="Write nothing unless every field fits the schemas (tiers schema pull)."),
]


def render(
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
    folder: _FolderOption = None,
    cloud: _CloudOption = None,
    as_config_map: _ConfigMapOption = False,
    edge: _EdgeOption = None,
    join: _JoinOption = None,
    upgrade: _UpgradeOption = None,
    scheduler: _SchedulerOption = False,
    monitoring: _MonitoringOption = None,
    boards: _DashboardsOption = None,
    broker: _BrokerOption = None,
    check: _CheckOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write the objects that tiers.yaml becomes, in the order in which they are applied."""
    from toolkit.render.lock import LOCK_FILE, read_lock
    from toolkit.render.objects import render as render_topology
    from toolkit.render.stream import to_stream
    from toolkit.render.write import write_folder
    from toolkit.topology.load import load

    loaded = load(files, variables_of(assignments))
    for problem in loaded.warnings:
        say(describe(problem))
    if as_config_map or any(each is not None for each in (cloud, edge, join, upgrade)):
        from toolkit.cli.kubeedge_files import print_files

        print_files(
            loaded.topology, cloud=cloud, as_config_map=as_config_map, edge=edge, join=join, upgrade=upgrade
        )
        return
    if scheduler:
        from toolkit.render.scheduler import scheduler_config

        print(scheduler_config(loaded.topology), end="")
        return
    if _wrote_files(loaded.topology, boards, broker, monitoring, as_json=as_json):
        return
    objects = render_topology(loaded.topology, read_lock(files[0].parent / LOCK_FILE))
    refuse_unlocked(loaded.topology, objects)
    if check:
        from toolkit.cli.schema_check import refuse_wrong

        refuse_wrong(objects, files[0].parent)
    if folder is None and as_json:
        show(objects, Table((), ()), Output.JSON)
    elif folder is None:
        print(to_stream(objects), end="")
    else:
        written = write_folder(objects, folder, loaded.topology.name)
        changes = [("written", path) for path in written.written] + [
            ("removed", path) for path in written.removed
        ]
        if as_json or changes:
            show(written, Table(("", "file"), changes), Output.TABLE, as_json=as_json)
        say(
            f"{len(objects)} objects in {folder}, {len(written.unchanged)} of them as before; next: tiers lint {folder}"
        )


def _wrote_files(
    topology: Topology, boards: Path | None, broker: Path | None, monitoring: Path | None, *, as_json: bool
) -> bool:
    """Write the files that are no objects, if some were asked for; tell whether they were."""
    if boards is not None:
        from toolkit.cli.dashboard_files import write_boards

        write_boards(topology, boards, as_json=as_json)
    elif broker is not None:
        from toolkit.cli.broker_files import write_broker

        write_broker(topology, broker, as_json=as_json)
    elif monitoring is not None:
        from toolkit.cli.monitoring_files import write_monitoring

        write_monitoring(topology, monitoring, as_json=as_json)
    else:
        return False
    return True
