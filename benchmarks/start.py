"""From the start of the process to the first answer, and what the idle server keeps, beside LitServe and Ray Serve.

    python benchmarks/start.py [--quick] [--json] [--repeat N]

Ours is `tiers-edge run` with a signed model that it installed before, so what it does at a start is what it does after
a power cut: check and open its state, load the model, warm it up, connect. Time counts from the start of the process to
the first answer with status 200. Memory is what an idle server keeps five seconds later: the resident memory of our one
process, which must stay below 120 MB; of the peers' several processes the sum in which shared pages count by shares
(Pss), so that the figures are hardest on ours. The peers have the same model: scripts/bring-serving-peers.
"""

from __future__ import annotations

import argparse
import http.client
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.asking import contest
from benchmarks.asking.bodies import oip
from benchmarks.asking.contest import PEERS, name_of, open_house, peers_python
from benchmarks.asking.models import SHAPES, image_of
from benchmarks.asking.process import Running, cpu_seconds, family, pss_bytes, rss_bytes
from benchmarks.housing.house import House
from benchmarks.housing.waiting import leave_nobody_behind, wait_for

OURS = "tiers-edge"
SHAPE = SHAPES["tiny, 4 kB"]
IDLE_SECONDS = 5.0
IDLE_BYTES = 120e6
BESIDE = ("LitServe", "Ray Serve")


@dataclass
class Started:
    """One figure a repetition."""

    seconds: list[float] = field(default_factory=list)
    """To the first answer."""
    cpu: list[float] = field(default_factory=list)
    """Processor seconds until then."""
    idle: list[float] = field(default_factory=list)
    """Bytes."""


def answers(address: str, request: bytes) -> bool:
    """Send a request of `asking.bodies` and tell whether it is answered."""
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        connection.request("POST", first.split()[1], body, headers)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def memory_of(pids: list[int]) -> float:
    """Give the resident memory of one process; of several the sum of their shares."""
    return float(rss_bytes(pids[0]) if len(pids) == 1 else sum(map(pss_bytes, pids)))


def watch(started: Started, pid: Callable[[], int], answered: Callable[[], bool], began: float) -> None:
    """Write down when it answers, what that took, and what it keeps when nobody asks."""
    wait_for(answered, "it answers")
    started.seconds.append(time.monotonic() - began)
    started.cpu.append(sum(map(cpu_seconds, family(pid()))))
    time.sleep(IDLE_SECONDS)
    started.idle.append(memory_of(family(pid())))


def start_ours(house: House, started: Started) -> None:
    """Start our daemon again, on what it has installed."""
    house.daemon.stop()
    began = time.monotonic()
    house.daemon.start()
    request = oip(name_of(SHAPE))(image_of(SHAPE))
    address = f"127.0.0.1:{house.daemon.port}"
    watch(started, lambda: house.daemon.process.pid, lambda: answers(address, request), began)


def start_peer(peer: contest.Peer, house: House, python: Path, started: Started) -> None:
    """Start a peer."""
    model = house.folder / "models" / f"{name_of(SHAPE)}-1.onnx"
    command = contest.command_of(peer.module, python, model, SHAPE)
    began = time.monotonic()
    with Running(command, log=house.folder / f"{peer.module}.log") as running:
        request = peer.body(image_of(SHAPE))
        watch(started, lambda: running.process.pid, lambda: answers(running.address, request), began)


def rows_of(found: dict[str, Started]) -> list[dict[str, object]]:
    """Judge; a ratio is ours divided by the peer's."""
    rows: list[dict[str, object]] = []
    medians = {
        name: [statistics.median(each) for each in (started.seconds, started.cpu, started.idle)]
        for name, started in found.items()
    }
    ours = medians[OURS]
    for name, theirs in medians.items():
        if name == OURS:
            continue
        for what, scale, unit, digits, index in (
            ("to the first answer", 1.0, "s", 2, 0),
            ("to the first answer", 1.0, "s CPU", 2, 1),
            ("idle", 1e6, "MB", 1, 2),
        ):
            rows.append(
                {
                    "case": f"{what}, {name}",
                    "ours": round(ours[index] / scale, digits),
                    "peer": round(theirs[index] / scale, digits),
                    "unit": unit,
                    "ratio": round(ours[index] / theirs[index], 3),
                    "target": None,
                    "met": None,
                }
            )
    idle = {"case": "idle with ONNX Runtime", "ours": round(ours[2] / 1e6, 1), "peer": None, "unit": "MB"}
    rows.append({**idle, "ratio": None, "target": IDLE_BYTES / 1e6, "met": ours[2] < IDLE_BYTES})
    if len(medians) == 1:
        rows.append(
            {**idle, "case": "to the first answer", "ours": round(ours[0], 2), "unit": "s", "ratio": None}
        )
    return rows


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one repetition: for CI")
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    parser.add_argument("--repeat", type=int, default=0, help="repetitions (default 5, quick 1)")
    given = parser.parse_args()
    leave_nobody_behind()
    logging.basicConfig(level=logging.ERROR)
    python = peers_python()
    if python is None:
        print("no peers are here; to bring them: scripts/bring-serving-peers", file=sys.stderr)
    peers = [peer for peer in PEERS if peer.name in BESIDE] if python else []
    found = {name: Started() for name in (OURS, *(peer.name for peer in peers))}
    with tempfile.TemporaryDirectory(prefix="tiers-start-") as folder:
        house = open_house(Path(folder), [SHAPE])
        try:
            for _ in range(given.repeat or (1 if given.quick else 5)):
                start_ours(house, found[OURS])
                for peer in peers:
                    assert python is not None
                    start_peer(peer, house, python, found[peer.name])
        finally:
            house.close()
    rows = rows_of(found)
    if given.json:
        print(json.dumps({"benchmark": "start", "rows": rows}, indent=2))
        return 0
    for each in rows:
        target = (
            "" if each.get("target") is None else f"{each['target']} {'met' if each['met'] else 'MISSED'}"
        )
        print(
            f"{each['case']:<36} {each['ours']:>9} {each['peer'] or '':>9} {each['unit']:<6}"
            f" {each['ratio'] or '':>7}  {target}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
