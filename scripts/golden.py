"""Write tests/golden again from what is rendered now; `make golden` runs it. Read the difference before committing it.

Each folder of tests/golden holds `objects.yaml`, rendered from its own `tiers.yaml` or else from the worked example,
the configuration of Volcano's scheduler, the drop-in of a Mosquitto outside, and the configurations of KubeEdge's two
programs where a cluster has one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from toolkit.errors import TiersError
from toolkit.render.broker import SERVICE_FILE, service_settings
from toolkit.render.join import join_script
from toolkit.render.kubeedge_config import cloud_config, edge_config
from toolkit.render.monitoring.plain import monitoring_files
from toolkit.render.objects import render
from toolkit.render.scheduler import scheduler_config
from toolkit.render.stream import to_stream
from toolkit.topology.load import load
from toolkit.topology.topology import Topology

REPOSITORY = Path(__file__).resolve().parents[1]


def main() -> int:
    """Render every case and write what has changed; return the exit code."""
    for case in sorted(path for path in (REPOSITORY / "tests" / "golden").iterdir() if path.is_dir()):
        own = case / "tiers.yaml"
        source = own if own.is_file() else REPOSITORY / "tiers.yaml"
        try:
            texts = dict(goldens(load([source]).topology))
        except TiersError as error:
            print(f"{source}: {error.message}", file=sys.stderr)
            return error.exit_code
        for name, text in texts.items():
            golden = case / name
            before = golden.read_text(encoding="utf-8") if golden.is_file() else ""
            if text != before:
                golden.write_text(text, encoding="utf-8")
            print(f"{golden.relative_to(REPOSITORY)}: {'unchanged' if text == before else 'written'}")
    return 0


def goldens(topology: Topology) -> Iterator[tuple[str, str]]:
    """Give name and text of every golden of a topology."""
    yield "objects.yaml", to_stream(render(topology))
    yield "volcano-scheduler.conf", scheduler_config(topology)
    if topology.broker.deploy is not None:  # the same for every topology, so it need not lie in each folder
        yield SERVICE_FILE, service_settings()
    for name, cluster in topology.clusters.items():
        if cluster.kubeedge is None:
            continue
        yield f"cloudcore-{name}.yaml", cloud_config(topology, name)
        for placed in topology.pools_in(name):
            if placed.tier_name == "edge":
                yield f"edgecore-{placed.name}.yaml", edge_config(topology, placed.name)
                yield f"join-{placed.name}.sh", join_script(topology, placed.name)
    if topology.monitoring is not None:
        yield from monitoring_files(topology).items()


if __name__ == "__main__":
    sys.exit(main())
