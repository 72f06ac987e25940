"""`make cluster`: the cluster of the tests for a person, until Ctrl-C. The machines of a tiers.yaml are its nodes."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

from tests.cluster import crds, programs
from tests.cluster.nodes import nodes_of
from tests.cluster.plane import Plane
from toolkit.topology.load import load


def main() -> int:
    """Start everything, say how to use it, and wait for Ctrl-C (or SIGTERM)."""
    options = argparse.ArgumentParser(prog="make cluster", description=__doc__)
    options.add_argument("--file", type=Path, default=crds.REPOSITORY / "tiers.yaml", help="whose machines")
    topology = load([options.parse_args().file]).topology
    found, kubectl = crds.find_crds(), programs.find("kubectl")
    if found is None or kubectl is None or not programs.all_here():
        bring = [crds.BRING] if found is None else []
        bring += [] if programs.all_here() else [programs.BRING]
        print("error: parts of the cluster are missing\n  try: " + "; ".join(bring), file=sys.stderr)
        return 1

    asked_to_end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked_to_end.set())
    with tempfile.TemporaryDirectory(prefix="tiers-cluster-", ignore_cleanup_errors=True) as folder:
        plane = Plane(Path(folder), found)
        contexts = {cluster.context for cluster in topology.clusters.values()}
        plane.context = min(contexts)
        plane.start()
        try:
            nodes = list(nodes_of(topology))
            plane.create_all("/api/v1/nodes", nodes)
            kubeconfig = plane.write_kubeconfig("admin")
            pools = Counter(str(each["metadata"]["labels"]["tiers.dev/pool"]) for each in nodes)
            print(f"# a Kubernetes with Volcano on {plane.url}, started in {plane.took['all']:.0f} s")
            print(
                f"# {len(nodes)} machines that KWOK plays:", ", ".join(f"{n} {p}" for p, n in pools.items())
            )
            print("# in another terminal:")
            print(f"export KUBECONFIG={shlex.quote(str(kubeconfig))}")
            print(f"alias kubectl={shlex.quote(str(kubectl))}")
            print("# then, for instance: tiers apply; kubectl get nodes. Ctrl-C here ends it.", flush=True)
            if len(contexts) > 1:
                print("# only the context", plane.context, "of tiers.yaml is here", flush=True)
            asked_to_end.wait()
        finally:
            plane.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
