"""`tiers apply` of 1,000 objects on a real API server, against kubectl and the server's own ceiling in the same run.

    python benchmarks/apply.py [--quick] [--json] [--repeat N]

Starts etcd and kube-apiserver of tests/cluster (scripts/bring-cluster) with the CRDs of Volcano and KubeEdge and no
controllers, so that nothing else writes. The objects are what `tiers render` makes of a generated tiers.yaml with
hundreds of device pools: NodeGroups, ConfigMaps, DaemonSets, PriorityClasses, Queues, a Namespace. Every round takes
new names: each tool applies from empty, by turns, then once more with nothing to do. Ours is the command as a person
types it, with its start, the reading of tiers.yaml and the rendering; kubectl gets the rendered file. The ceiling is
the same PATCHes, made beforehand, sent by bare TLS connections, the fastest of three numbers of them; against it stands
the library's call of apply, with objects that are rendered already. The last case is a no-op over 5,000 objects.

Server and clients share the machine, so look at processor seconds as well as at wall time. The quick form has 200
objects and no targets.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.client
import json
import os
import pickle
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import yaml

from toolkit.cluster.connect import connect
from toolkit.cluster.diff import MANAGER
from toolkit.cluster.kinds import Kinds
from toolkit.cluster.request import APPLY_PATCH
from toolkit.render.objects import render
from toolkit.render.rendered import RenderedObject
from toolkit.render.stream import to_stream
from toolkit.topology.load import load_texts
from toolkit.topology.topology import Topology

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))  # the control plane is the tests'

if TYPE_CHECKING:
    from tests.cluster.plane import Plane

OBJECTS, QUICK_OBJECTS, MANY = 1000, 200, 5000
CONNECTIONS = (4, 8, 16)
FIRST, NO_OP, AGAIN = "first apply", "no-op", "no-op over 5,000"
OURS, LIBRARY = "tiers apply", "toolkit.cluster"
KUBECTL, KUBECTL_DIFF, CEILING = "kubectl apply", "kubectl diff", "ceiling"

# Wall time as a multiple of the peer's; frozen before the first run. A first apply meets one of its two: three times as
# fast as kubectl, or 80 % of the rate that the server can do.
TARGETS = {
    (FIRST, KUBECTL): 1 / 3,
    (FIRST, CEILING): 1 / 0.8,
    (NO_OP, KUBECTL): 1 / 20,
    (NO_OP, KUBECTL_DIFF): 1 / 20,
}
MANY_CPU_SECONDS = 3.0

Row = dict[str, object]


# ---------------------------------------------------------------- what is applied
@dataclass(frozen=True)
class Site:
    """A tiers.yaml and what it becomes."""

    text: str
    topology: Topology
    objects: tuple[RenderedObject, ...]


def site(name: str, number: int) -> Site:
    """Generate a site that has this many objects for `tiers apply` to keep."""
    document: dict[str, Any] = yaml.safe_load((REPOSITORY / "tiers.yaml").read_text())
    pools = {
        f"room-{each:04}": {
            "hardware": "jetson-orin-nx",
            "nodes": {"names": [f"room-{each:04}-box"]},
            "settings": {"upload": f"{each % 20 + 1}MiB/s"},
        }
        for each in range(number * 3 // 10)
    }
    document["name"] = name
    document["tiers"]["edge"]["pools"] = pools
    for model in document["models"].values():
        model.pop("offload", None)
        model["pools"] = list(pools)
    del document["jobs"], document["services"]
    queue = {"tier": "hot", "capability": {"gpus": 8}}
    document["queues"] = {f"ward-{each:03}": queue for each in range(number // 20)}
    priorities = 1
    while True:  # what is missing becomes priorities
        document["priorities"] = {f"step-{each:03}": 1000 + each for each in range(priorities)}
        text = json.dumps(document, indent=1)
        topology = load_texts({"tiers.yaml": text}).topology
        objects = tuple(each for each in render(topology) if not each.submitted)
        if len(objects) == number:
            return Site(text, topology, objects)
        priorities += number - len(objects)


# ---------------------------------------------------------------- measuring
@dataclass
class Measured:
    """Figures of one tool in one case, one entry a repetition."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """Processor seconds of the client."""
    server: list[float] = field(default_factory=list)
    """Processor seconds of API server and etcd."""


@dataclass
class Bench:
    """One API server and the figures so far."""

    plane: Plane
    folder: Path
    found: dict[tuple[str, str], Measured] = field(default_factory=dict)

    @contextlib.contextmanager
    def measured(self, case: str, who: str) -> Iterator[Measured]:
        """Take wall time and the server's processor time of what happens inside."""
        into = self.found.setdefault((case, who), Measured())
        server, begin = self._server_seconds(), time.perf_counter()
        yield into
        into.wall.append(time.perf_counter() - begin)
        into.server.append(self._server_seconds() - server)

    def _server_seconds(self) -> float:
        """Read the processor time of all threads, from each process's own Linux clock (clock_getcpuclockid(3))."""
        return sum(time.clock_gettime((~each.process.pid << 3) | 2) for each in self.plane.processes)

    def run(self, case: str, who: str, *command: str | Path) -> str:
        """Run a command to its end and give what it printed."""
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.plane.kubeconfig),
            "KUBECACHEDIR": str(self.folder / "kubectl"),
            "PYTHONDONTWRITEBYTECODE": "",
        }
        printed = self.folder / "printed"
        with printed.open("wb") as output, self.measured(case, who) as into:
            process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            into.cpu.append(used.ru_utime + used.ru_stime)
        said = printed.read_text(errors="replace")
        assert process.returncode == 0, f"{command} ended with {process.returncode}: {said[-2000:]}"
        return said

    def library(self, case: str, made: Site) -> None:
        """Call apply in a process of its own; wall time is that of the call, the rest is of the whole process."""
        rendered = self.folder / f"{made.topology.name}.rendered"
        rendered.write_bytes(pickle.dumps((made.topology, made.objects)))
        said = self.run(case, LIBRARY, sys.executable, __file__, "--apply", rendered)
        self.found[case, LIBRARY].wall[-1] = float(said)

    def ceiling(self, connections: int, made: Site) -> None:
        """Send the PATCHes of all objects by bare connections; the Namespace goes before the clock starts."""
        kinds = Kinds(connect(made.topology, "main", self.plane.kubeconfig))
        ready = [(_url(kinds, each), json.dumps(each.body).encode()) for each in made.objects]
        self._send(_queue(ready[:1]))
        waiting = _queue(ready[1:])
        threads = [threading.Thread(target=self._send, args=(waiting,)) for _ in range(connections)]
        with self.measured(FIRST, f"{CEILING}, {connections} connections") as into:
            begin = time.process_time()
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            into.cpu.append(time.process_time() - begin)

    def _send(self, waiting: SimpleQueue[tuple[str, bytes]]) -> None:
        """Take requests until there are none."""
        context = ssl.create_default_context(cafile=str(self.plane.authority.ca))
        connection = http.client.HTTPSConnection(self.plane.url.partition("://")[2], context=context)
        headers = {"Authorization": f"Bearer {self.plane.tokens['tiers']}", "Content-Type": APPLY_PATCH}
        with contextlib.suppress(Empty):
            while True:
                url, body = waiting.get_nowait()
                connection.request("PATCH", url, body, headers)
                answer = connection.getresponse()
                data = answer.read()
                assert answer.status == 201, data[:500]
        connection.close()


def _url(kinds: Kinds, rendered: RenderedObject) -> str:
    path = kinds.resource(rendered.api_version, rendered.kind).path(rendered.namespace, rendered.name)
    return f"{path}?fieldManager={MANAGER}&fieldValidation=Strict"


def _queue(requests: Sequence[tuple[str, bytes]]) -> SimpleQueue[tuple[str, bytes]]:
    filled: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
    for each in requests:
        filled.put(each)
    return filled


# ---------------------------------------------------------------- the run
def one_round(bench: Bench, kubectl: Path, turn: int, number: int) -> None:
    """Apply under new names with every tool, then again with nothing to do."""
    ours, theirs = (site(f"{who}-{turn}", number) for who in ("ours", "theirs"))
    tiers = (*_tiers("apply", _written(bench, ours, ours.text)), "--yes")
    applied = _written(bench, theirs, to_stream(theirs.objects))
    apply = (kubectl, "apply", "--server-side", "--filename", applied)
    steps = [
        functools.partial(bench.run, FIRST, OURS, *tiers),
        functools.partial(bench.run, FIRST, KUBECTL, *apply),
        functools.partial(bench.library, FIRST, site(f"library-{turn}", number)),
        *(
            functools.partial(bench.ceiling, each, site(f"bare-{each}-{turn}", number))
            for each in CONNECTIONS
        ),
    ]
    start = turn % len(steps)
    for step in (*steps[start:], *steps[:start]):
        step()
    bench.run(NO_OP, OURS, *tiers)
    bench.run(NO_OP, KUBECTL, *apply)
    bench.run(NO_OP, KUBECTL_DIFF, kubectl, "diff", "--server-side", "--filename", applied)


def again_over_many(bench: Bench, repeat: int) -> None:
    """Apply 5,000 objects, then measure what it costs to see that nothing is to do."""
    many = site("many", MANY)
    tiers = (*_tiers("apply", _written(bench, many, many.text)), "--yes")
    bench.run("first apply of 5,000", OURS, *tiers)
    for _ in range(repeat):
        bench.run(AGAIN, OURS, *tiers)
        bench.library(AGAIN, many)


def apply_rendered(rendered: Path) -> int:
    """Do what the command does after rendering, in a process of its own, and print how many seconds that took."""
    from toolkit.cluster.apply import apply

    topology, objects = pickle.loads(rendered.read_bytes())  # noqa: S301 - written by this program a moment ago
    begin = time.perf_counter()
    applied = apply(connect(topology, "main"), topology.name, objects)
    print(time.perf_counter() - begin)
    return 1 if applied.failed else 0


def _tiers(command: str, file: Path) -> tuple[str | Path, ...]:
    return (Path(sys.executable).with_name("tiers"), command, "--file", file)


def _written(bench: Bench, made: Site, text: str) -> Path:
    path = bench.folder / f"{made.topology.name}.yaml"
    path.write_text(text)
    return path


# ---------------------------------------------------------------- the report
def rows_of(found: dict[tuple[str, str], Measured], *, targets: bool) -> list[Row]:
    """Make the rows of the report; a ratio is ours divided by the peer's."""
    ceilings = [key for key in found if key[1].startswith(CEILING)]
    best = min(ceilings, key=lambda key: statistics.median(found[key].wall))
    rows: list[Row] = []
    for mine, peer, name in (
        ((FIRST, OURS), (FIRST, KUBECTL), KUBECTL),
        ((FIRST, LIBRARY), best, CEILING),
        ((NO_OP, OURS), (NO_OP, KUBECTL), KUBECTL),
        ((NO_OP, OURS), (NO_OP, KUBECTL_DIFF), KUBECTL_DIFF),
    ):
        for what, unit in (("wall", "s"), ("cpu", "s CPU"), ("server", "s CPU server")):
            ours, theirs = (statistics.median(getattr(found[key], what)) for key in (mine, peer))
            target = TARGETS[mine[0], name] if targets and what == "wall" else None
            rows.append(_row(f"{mine[0]}, {peer[1]}", ours, theirs, unit, target))
    for who in (OURS, LIBRARY):
        if (AGAIN, who) in found:
            cpu, allowed = statistics.median(found[AGAIN, who].cpu), MANY_CPU_SECONDS
            rows.append(_row(f"{AGAIN}, {who}, allowed", cpu, allowed, "s CPU", 1.0))
    return rows


def _row(case: str, ours: float, peer: float, unit: str, target: float | None) -> Row:
    return {
        "case": case,
        "ours": round(ours, 3),
        "peer": round(peer, 3),
        "unit": unit,
        "ratio": round(ours / peer, 3),
        "target": None if target is None else round(target, 3),
        "met": None if target is None else ours / peer <= target,
    }


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="200 objects, one repetition: for CI")
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    parser.add_argument("--repeat", type=int, default=0, help="repetitions (default 5, quick 1)")
    parser.add_argument("--apply", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.apply:
        return apply_rendered(given.apply)
    from tests.cluster.crds import find_crds
    from tests.cluster.plane import Plane
    from tests.cluster.programs import BRING, all_here, find

    crds, kubectl = find_crds(), find("kubectl")
    if crds is None or kubectl is None or not all_here():
        print(f"no control plane to measure on; to bring it: make crds; {BRING}", file=sys.stderr)
        return 0
    number, repeat = (QUICK_OBJECTS, 1) if given.quick else (OBJECTS, 5)
    with tempfile.TemporaryDirectory(prefix="tiers-apply-") as folder:
        bench = Bench(Plane(Path(folder) / "plane", crds), Path(folder))
        bench.plane.start(alone=True)
        try:
            for turn in range(given.repeat or repeat):
                one_round(bench, kubectl, turn, number)
            if not given.quick:
                again_over_many(bench, given.repeat or repeat)
        finally:
            bench.plane.stop()
    rows = rows_of(bench.found, targets=not given.quick)
    mix = Counter(each.kind for each in site("mix", number).objects)
    if given.json:
        print(json.dumps({"benchmark": "apply", "objects": mix, "rows": rows}, indent=2))
        return 0
    print(f"{number} objects: " + ", ".join(f"{count} {kind}" for kind, count in mix.most_common()))
    print(f"{'case':<44} {'ours':>9} {'peer':>9} {'unit':<13} {'ratio':>7}  target")
    for row in rows:
        target = "" if row["target"] is None else f"{row['target']} {'met' if row['met'] else 'MISSED'}"
        print(
            f"{row['case']:<44} {row['ours']:>9} {row['peer']:>9} {row['unit']:<13} {row['ratio']:>7}  {target}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
