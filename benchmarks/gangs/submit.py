"""Our side of `submitting`, as a program: render the jobs of a tiers.yaml and send them, several at a time.

    python submit.py TIERS_YAML KUBECONFIG

It imports what a command of tiers would and nothing of the benchmark, because its start is on the clock.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from toolkit.cluster.connect import connect
from toolkit.cluster.diff import put
from toolkit.cluster.kinds import Kinds
from toolkit.render.gang import gang
from toolkit.render.lock import Lock
from toolkit.topology.load import load

AT_ONCE = 8
"""Requests at a time; more only wait in the server."""


def submit(tiers_yaml: Path, kubeconfig: Path) -> None:
    """Send every job as `tiers job submit` sends one."""
    topology = load([tiers_yaml]).topology
    kinds = Kinds(connect(topology, "main", kubeconfig))
    with ThreadPoolExecutor(AT_ONCE) as threads:
        sent = [
            threads.submit(put, kinds, gang(topology, Lock(), each), dry_run=False) for each in topology.jobs
        ]
        for each in sent:
            each.result()


if __name__ == "__main__":
    submit(Path(sys.argv[1]), Path(sys.argv[2]))
