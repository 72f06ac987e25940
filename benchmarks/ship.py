"""Shipping 256 MiB to 1, 4 and 16 devices: the depot and devices of this project against pushing and against HTTP.

    python benchmarks/ship.py [--quick] [--json] [--repeat N] [--folder DIR] [--only CASE]...

Peers in the same run: QoS 1 push in chunks of 256 KiB from paho to paho (the broker's queues without a limit, else it
drops), `mosquitto_pub -f` of the whole file, and nginx with curl. *Transport* drops what arrives; *durable* is the
device's own way to disk: hash, pwrite, fdatasync, then the bitmap; push and curl end in the same sink there, and "disk
and hash" is that sink fed from memory. Every process is measured from the word to begin until its last byte. The table
has medians of what was measured by turns; targets stand beside what they are about. `paho` and `awscrt` are the
device's client; the depot speaks with paho.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.shipping import runs
from benchmarks.shipping.lines import control_round_trip, lossy, order_on_disk
from benchmarks.shipping.place import MIB
from benchmarks.shipping.runs import Used
from benchmarks.shipping.site import Site, make_site

Row = dict[str, Any]
ROADS = ("paho", "awscrt", "push", "curl")
GB = 1e9


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    size: int
    large: int
    repeat: int
    repeat_four: int
    repeat_sixteen: int
    sixteen: int
    """Devices of the largest case."""


FULL = Size(256 * MIB, 4096 * MIB, 5, 3, 1, 16)
QUICK = Size(32 * MIB, 0, 1, 1, 0, 4)


@dataclass
class Bench:
    """What was measured, by case and road."""

    site: Site
    scratch: Path
    quick: bool
    found: dict[tuple[str, str], list[Used]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    def measure(self, case: str, roads: dict[str, Callable[[], Used]], repeat: int) -> None:
        """Go over all roads again and again, so that whatever else the machine does meets them all."""
        for _ in range(repeat):
            for road, run in roads.items():
                used = run()
                self.found.setdefault((case, road), []).append(used)
                progress(f"{case}: {road} {used.rate:.0f} MB/s")

    def median(self, case: str, road: str, value: Callable[[Used], float]) -> float | None:
        """Give the median of a figure; None where nothing was measured."""
        figures = [value(used) for used in self.found.get((case, road), [])]
        return statistics.median(figures) if figures else None

    def row(
        self,
        case: str,
        ours: float | None,
        peer: float | None,
        unit: str,
        target: float | None = None,
        *,
        most: bool = False,
    ) -> None:
        """Make a row; with a peer the ratio must be at least the target, with `most` ours must stay below it."""
        if ours is None:
            return
        ratio = ours / peer if peer else None
        judged = ratio if peer is not None else ours
        met = None
        if target is not None and judged is not None and not self.quick:
            met = judged <= target if most else judged >= target
        self.rows.append(
            {
                "case": case,
                "ours": round(ours, 3),
                "peer": None if peer is None else round(peer, 3),
                "unit": unit,
                "ratio": None if ratio is None else round(ratio, 3),
                "target": None if self.quick else target,
                "met": met,
            }
        )


def progress(text: str) -> None:
    """Say where it stands, to people only."""
    print(text, file=sys.stderr, flush=True)


def rate(used: Used) -> float:
    """MB/s."""
    return used.rate


# ---------------------------------------------------------------- the cases
def transport(bench: Bench, size: Size) -> None:
    """The transport alone, to 1, 4 and 16 devices."""
    for devices, repeat in ((1, size.repeat), (4, size.repeat_four), (size.sixteen, size.repeat_sixteen)):
        if not repeat:
            continue
        case = f"transport, {devices} devices"
        bench.measure(case, _roads(bench, devices), repeat)
        for client in ("paho", "awscrt"):
            ours = bench.median(case, client, rate)
            only = devices == 1
            push, curl = bench.median(case, "push", rate), bench.median(case, "curl", rate)
            bench.row(f"{case}: {client}, push at QoS 1", ours, push, "MB/s", 1.6 if only else None)
            bench.row(f"{case}: {client}, nginx and curl", ours, curl, "MB/s", 0.25 if only else None)
        for road in (*ROADS[:3],):
            cpu = bench.median(case, road, lambda used: used.cpu_per_gb)
            target = {"paho": 1.6, "awscrt": 0.6}.get(road) if devices == 1 else None
            bench.row(f"{case}: {road}, device", cpu, None, "CPU s/GB", target, most=True)
    _memory(bench, "transport, 1 devices")
    _broker_as_it_comes(bench, size)
    one = bench.median("transport, 1 devices", "paho", _depot_cpu)
    many = bench.median(f"transport, {size.sixteen} devices", "paho", _depot_cpu)
    if one and many:
        bench.row(f"depot at {size.sixteen} devices, at one", many, one, "CPU s/GB", 1.2, most=True)


def _depot_cpu(used: Used) -> float:
    return used.depot_cpu / (used.size / GB)


def _broker_as_it_comes(bench: Bench, size: Size) -> None:
    """The same to one device over a Mosquitto that is not told to keep the memory of large messages."""
    site, scratch, case = bench.site, bench.scratch, "transport, a broker as it comes"
    roads = {
        "paho": lambda: runs.ours(site, scratch, "paho", as_it_comes=True),
        "push": lambda: runs.push(site, scratch, as_it_comes=True),
    }
    bench.measure(case, roads, size.repeat)
    ours, push = bench.median(case, "paho", rate), bench.median(case, "push", rate)
    bench.row(f"{case}: paho, push at QoS 1", ours, push, "MB/s")


def _roads(bench: Bench, devices: int) -> dict[str, Callable[[], Used]]:
    site, scratch = bench.site, bench.scratch
    roads = {
        "paho": lambda: runs.ours(site, scratch, "paho", devices),
        "awscrt": lambda: runs.ours(site, scratch, "awscrt", devices),
        "push": lambda: runs.push(site, scratch, devices),
    }
    if runs.nginx():
        roads["curl"] = lambda: runs.curl(site, scratch, devices)
    return roads


def _memory(bench: Bench, case: str) -> None:
    for road in ROADS[:3]:
        for what, value in (
            ("device", lambda used: used.device_rss / MIB),
            ("depot", lambda used: used.depot_rss / MIB),
            ("broker", lambda used: used.broker_rss / MIB),
        ):
            bench.row(f"{case}: {road}, memory of the {what}", bench.median(case, road, value), None, "MiB")


def whole(bench: Bench, size: Size) -> None:
    """The whole file as one message."""
    if not shutil.which("mosquitto_pub"):
        progress(
            "mosquitto_pub is missing, its row is left out; to bring it: apt-get install mosquitto-clients"
        )
        return
    bench.measure(
        "whole file", {"mosquitto_pub": lambda: runs.whole(bench.site, bench.scratch)}, min(size.repeat, 2)
    )
    ours = bench.median("transport, 1 devices", "paho", rate)
    bench.row(
        "transport: paho, mosquitto_pub of the whole file",
        ours,
        bench.median("whole file", "mosquitto_pub", rate),
        "MB/s",
    )
    memory = bench.median("whole file", "mosquitto_pub", lambda used: used.broker_rss / MIB)
    bench.row("whole file: mosquitto_pub, memory of the broker", memory, None, "MiB")


def durable(bench: Bench, size: Size) -> None:
    """Verified and durable, into the same sink."""
    site, scratch, case = bench.site, bench.scratch, "durable"
    roads = {
        "paho": lambda: runs.ours(site, scratch, "paho", durable=True),
        "awscrt": lambda: runs.ours(site, scratch, "awscrt", durable=True),
        "push": lambda: runs.push(site, scratch, durable=True),
        "alone": lambda: runs.alone(site, scratch),
    }
    if runs.nginx():
        roads["curl"] = lambda: runs.curl(site, scratch, durable=True)
    bench.measure(case, roads, size.repeat)
    for client in ("paho", "awscrt"):
        ours = bench.median(case, client, rate)
        for peer, name, target in (
            ("alone", "disk and hash alone", 0.8),
            ("push", "push into the same sink", None),
            ("curl", "curl into the same sink", None),
        ):
            bench.row(f"durable: {client}, {name}", ours, bench.median(case, peer, rate), "MB/s", target)
        cpu = bench.median(case, client, lambda used: used.cpu_per_gb)
        bench.row(f"durable: {client}, device", cpu, None, "CPU s/GB")
    order = order_on_disk(scratch)
    bench.row(
        "durable: bitmaps that were written before their data",
        float(order.early),
        None,
        f"of {order.commits}",
        0.0,
        most=True,
    )


def far(bench: Bench, size: Size) -> None:
    """A round trip of 200 ms between devices and broker, a window of 8 MiB; the operator's word meanwhile."""
    del size
    for client in ("paho", "awscrt"):
        used, seconds = control_round_trip(bench.site, bench.scratch, client, delay=0.1)
        progress(f"200 ms: {client} {used.rate:.1f} MB/s, a word and its answer {seconds * 1000:.0f} ms")
        case = f"round trip of 200 ms: {client}"
        bench.row(f"{case}, 8 MiB on their way", used.rate, None, "MB/s", 20.0)
        bench.row(f"{case}, a word and its answer meanwhile", seconds * 1000, None, "ms", 300.0, most=True)


def loss(bench: Bench, size: Size) -> None:
    """Two packets of a hundred are lost on the device's way in; the bytes are compared with the file."""
    del size
    found = lossy(bench.site, bench.scratch, 0.02)
    if isinstance(found, str):
        progress(f"the case with loss is left out: {found}")
        return
    used, share = found
    bench.row("2 % of packets lost: paho, durable and equal to the file", used.rate, None, "MB/s")
    bench.row("2 % of packets lost: bytes that came, of the artifact", share, None, "times", 1.05, most=True)


def memory(bench: Bench, size: Size) -> None:
    """What a device's memory grows by over 4 GB."""
    if not size.large:
        return
    with tempfile.TemporaryDirectory(dir=bench.scratch) as folder:
        site = make_site(Path(folder, "site"), size.large, endless=True)
        used = runs.ours(site, bench.scratch, "paho", durable=True)
    progress(f"4 GB: {used.rate:.0f} MB/s")
    bench.row(
        "4 GB, durable: paho, growth of the device's memory", used.growth / MIB, None, "MiB", 64.0, most=True
    )
    bench.row("4 GB, durable: paho", used.rate, None, "MB/s")


CASES: dict[str, Callable[[Bench, Size], None]] = {
    "transport": transport,
    "whole": whole,
    "durable": durable,
    "far": far,
    "loss": loss,
    "memory": memory,
}


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small form, one repetition, no targets: for CI")
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    parser.add_argument(
        "--repeat", type=int, default=0, help="repetitions with one device (default 5, quick 1)"
    )
    parser.add_argument("--folder", help="where to work, 10 GB (default: the folder for temporary files)")
    parser.add_argument("--only", action="append", choices=list(CASES), help="only these cases")
    given = parser.parse_args()
    os.environ["PYTHONDONTWRITEBYTECODE"] = ""
    size = QUICK if given.quick else FULL
    if given.repeat:
        size = Size(size.size, size.large, given.repeat, min(given.repeat, 3), 1, size.sixteen)
    if not runs.nginx():
        progress("nginx is missing, its rows are left out; to bring it: apt-get install nginx-light")
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="tiers-ship-") as folder:
        site = make_site(Path(folder, "site"), size.size)
        bench = Bench(site, Path(folder), given.quick)
        for name, case in CASES.items():
            if not given.only or name in given.only:
                case(bench, size)
    show(bench.rows, as_json=given.json)
    return 0


def show(rows: list[Row], *, as_json: bool) -> None:
    """Print the rows."""
    if as_json:
        print(json.dumps({"benchmark": "ship", "rows": rows}, indent=1))
        return
    print(f"{'case':<72} {'unit':>9} {'ours':>9} {'peer':>9} {'ratio':>6} {'target':>6}")
    for row in rows:
        peer = "" if row["peer"] is None else f"{row['peer']:.2f}"
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        target = "" if row["target"] is None else f"{row['target']:g} " + ("met" if row["met"] else "MISSED")
        print(f"{row['case']:<72} {row['unit']:>9} {row['ours']:>9.2f} {peer:>9} {ratio:>6} {target}")


if __name__ == "__main__":
    sys.exit(main())
