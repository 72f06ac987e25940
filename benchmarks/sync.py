"""Moving changed data, against rsync, rclone, restic and borg on the same work in the same run.

    python benchmarks/sync.py [--quick] [--json] [--repeat N] [--place local|reflink|ssh|s3|moto]
                              [--walk large|small|text] [--record FILE] [--budget MINUTES] [--others N]
                              [--folder FOLDER]
    python benchmarks/sync.py --report FILE... [--json]      tables and targets in Markdown

A walk is a source and what happens to it (`syncing/walks.py`); after each step every tool brings its own place up to
date, by turns that rotate from repetition to repetition, and the medians are shown: seconds, processor's seconds,
bytes moved, largest resident set. Ours runs as a pod runs it, its start included; as a mirror (files as they are, what
rsync and rclone do) and as packs (what restic and borg do), with and without encryption. Repositories, ours too, count
what they grew by, rsync and the mirror the bytes of files that they sent. As root the run moves into a namespace
of its own, so that what crosses loopback can be counted too (rclone does not say it). The bucket is versitygw's, which
answers at once; `--place moto` takes the slow server of moto, where every request that a tool makes shows. `--place
reflink` mounts XFS from a file in the folder, as root, for the tools that keep plain files. Yardsticks beside the peers
are plain copies: `cp -a` and a flush, which is what the disk allows, and on XFS `cp --reflink`. Peers that are not here
are named and left out. The quick form is small and has no targets: with little data the start of Python is all there
is.

With `--record` every measurement is on the disk as soon as it is made, so a run that is stopped loses the step that it
was in and no more; `--report` makes the tables of one or several such records, with the number of runs behind each
median. `--budget` begins no walk that would not end in time, by what the same walk took before, in this run or in the
record; `--others 1` lets the peers that no target is about sit out all repetitions but the first.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from benchmarks.syncing import image, record, report, walks  # noqa: E402 -- after the path
from benchmarks.syncing import workloads as work  # noqa: E402 -- the same
from benchmarks.syncing.markdown import as_markdown  # noqa: E402 -- the same
from benchmarks.syncing.peers import missing  # noqa: E402 -- the same
from benchmarks.syncing.process import Ran  # noqa: E402 -- the same
from benchmarks.syncing.targets import Figures  # noqa: E402 -- the same

_FULL = (1024 * work.MIB, 20_000)
_QUICK = (32 * work.MIB, 500)
_USUAL_PLACES = ("local", "ssh", "s3")


class _Run:
    """One run: what it measured, where that is written, and how much time it has."""

    def __init__(self, given: argparse.Namespace) -> None:
        """Begin the clock; walks that a record knows say how long they take."""
        self._record: Path | None = given.record
        self._name = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"
        self._begun = time.monotonic()
        self._ends: float | None = self._begun + given.budget * 60 if given.budget else None
        self.size, self.files = _QUICK if given.quick else _FULL
        self.lines: list[record.Line] = []
        if self._record is not None and self._record.exists():
            self.lines += record.read([self._record])
        if any((line.size, line.files) != (self.size, self.files) for line in self.lines):
            raise record.UnreadableRecordError(
                f"{self._record} holds another size of work; name another file"
            )
        self._longest: dict[tuple[str, str], float] = {}
        for line in self.lines:
            self._learn(line)

    def fits(self, place: str, walk: str) -> bool:
        """Say whether a walk would end in time; one that nobody has seen yet may begin while there is some."""
        if self._ends is None:
            return True
        left = self._ends - time.monotonic()
        return left > self._longest.get((place, walk), 0.0)

    def walk(self, each: walks.Walk, folder: str | None) -> None:
        """Do a walk and keep what it took, step by step."""
        begun = time.monotonic()

        def note(case: str, tool: str, ran: Ran, moved: int, new: int) -> None:
            line = record.Measured(
                place=each.place,
                case=case,
                tool=tool,
                turn=each.turn,
                seconds=round(ran.seconds, 4),
                processor=round(ran.processor, 4),
                memory=ran.memory,
                moved=moved,
                wire=ran.wire,
                new=new,
                size=each.size,
                files=each.files,
                run=self._name,
            )
            self._keep(line)
            self.say(f"repetition {each.turn + 1}: {each.place}: {case}: {tool}: {ran.seconds:.2f} s")

        with contextlib.ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
            if each.place == "reflink":
                scratch = stack.enter_context(image.reflinks(scratch, each.size))
            walks.take(each, scratch, note)
        seconds = time.monotonic() - begun
        self._keep(
            record.Walked(
                place=each.place,
                walk=each.name,
                turn=each.turn,
                seconds=round(seconds, 1),
                size=each.size,
                files=each.files,
                run=self._name,
            )
        )
        self.say(f"repetition {each.turn + 1}: {each.place}: {each.name} walked in {seconds:.0f} s")

    def say(self, what: str) -> None:
        """Tell who waits, with the seconds since the beginning."""
        print(f"[{time.monotonic() - self._begun:5.0f} s] {what}", file=sys.stderr, flush=True)

    def _keep(self, line: record.Line) -> None:
        if self._record is not None:
            record.append(self._record, line)
        self.lines.append(line)
        self._learn(line)

    def _learn(self, line: record.Line) -> None:
        if isinstance(line, record.Walked):
            known = self._longest.get((line.place, line.walk), 0.0)
            self._longest[line.place, line.walk] = max(known, line.seconds)


def main() -> int:
    """Measure and print, or print what was measured; 2 when a record or a place cannot be used."""
    given = _options()
    try:
        if given.report:
            lines = list(record.read(given.report))
            full = {(line.size, line.files) for line in lines} == {_FULL}
        else:
            if "reflink" in (given.place or ()):
                folder = Path(given.folder or tempfile.gettempdir())
                image.check(folder, (_QUICK if given.quick else _FULL)[0])
            _enter_namespace(mounts="reflink" in (given.place or ()))
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers and folders go with it
            run = _Run(given)
            _measure(run, given)
            lines, full = run.lines, not given.quick
    except (record.UnreadableRecordError, image.UnusableError) as error:
        print(error, file=sys.stderr)
        return 2
    show = report.as_json if given.json else as_markdown if given.report else report.as_table
    print(show(Figures(lines), with_targets=full))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sources, one repetition: for CI")
    parser.add_argument("--json", action="store_true", help="print rows as JSON")
    parser.add_argument("--repeat", type=int, default=0, help="repetitions (default 5, quick 1)")
    parser.add_argument("--place", action="append", choices=tuple(walks.WALKS), help="only there")
    parser.add_argument("--walk", action="append", choices=("large", "small", "text"), help="only this")
    parser.add_argument("--folder", help="where to work (default: the folder for temporary files)")
    parser.add_argument("--record", type=Path, help="add every measurement to this file at once")
    parser.add_argument(
        "--report", type=Path, nargs="+", help="measure nothing, print what these records say, in Markdown"
    )
    parser.add_argument(
        "--budget", type=float, help="begin no walk that would not end within so many minutes"
    )
    parser.add_argument("--others", type=int, help="peers without a target run in so many repetitions only")
    given = parser.parse_args()
    if given.budget is not None and not given.budget > 0:
        parser.error("--budget is a number of minutes above 0")
    return given


def _measure(run: _Run, given: argparse.Namespace) -> None:
    if gone := missing():
        run.say(f"left out, not here: {', '.join(gone)}; to bring them: apt-get install {' '.join(gone)}")
    places = given.place or _USUAL_PLACES
    for place in places:
        if place in walks.SHORTENED:
            run.say(f"{place}: {walks.SHORTENED[place]}")
    for turn in range(given.repeat or (1 if given.quick else 5)):
        skip = frozenset[str]()
        if given.others is not None and turn >= given.others:
            skip = frozenset(walks.UNTARGETED)
            run.say(
                f"repetition {turn + 1} without {', '.join(sorted(skip))} on folders: no target is about them"
            )
        for place in places:
            for name in walks.WALKS[place]:
                if given.walk and name not in given.walk:
                    continue
                if not run.fits(place, name):
                    run.say(
                        f"repetition {turn + 1}: {place}: {name}: left out, it would not end within --budget"
                    )
                    continue
                sitting_out = skip if place == "local" else frozenset[str]()
                run.walk(walks.Walk(place, name, turn, run.size, run.files, sitting_out), given.folder)


def _enter_namespace(*, mounts: bool) -> None:
    """As root, begin again where loopback is ours alone, so that every byte on it is the benchmark's."""
    if os.environ.get("TIERS_BENCH_NAMESPACE"):
        _raise_loopback()
        return
    unshare = shutil.which("unshare")
    if unshare is None or os.geteuid() != 0:
        return
    own = [unshare, "-n", *(("-m",) if mounts else ())]
    if subprocess.run([*own, "true"], check=False, capture_output=True).returncode == 0:
        environment = {**os.environ, "TIERS_BENCH_NAMESPACE": "1"}
        os.execve(unshare, [*own, sys.executable, *sys.argv], environment)  # noqa: S606 -- this program itself


def _raise_loopback() -> None:
    """Switch loopback on; a new network namespace has it off. See netdevice(7)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, 0x8914, struct.pack("16sH14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP


if __name__ == "__main__":
    sys.exit(main())
