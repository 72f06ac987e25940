"""The durable sink that all roads of `ship.py` end in: hash, pwrite, and in batches fdatasync, then the bitmap.

It is made of the device's own parts, so that what differs between two roads is the road. As a program it takes bytes
from standard input (`curl … | sink`), or with `alone` from memory: what disk and hash alone allow.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.shipping.place import MIB, Meter, Plan, plan_of_arguments, wait_for_go
from edge_runtime.folders import Folders
from edge_runtime.part import Part
from edge_runtime.store import Store, Tally
from toolkit.wire.digest import digest_of
from toolkit.wire.index import decode_index, distinct_chunks

BATCH_BYTES = 4 * MIB
"""Ours begins with 1 MiB and takes more while the disk is busy; one without a window may as well take more at once."""


class Sink:
    """Cuts a stream by the index and keeps each chunk, checked and durable."""

    def __init__(self, plan: Plan) -> None:
        """Open the folder."""
        raw = Path(plan.folder, "index").read_bytes()
        self._chunks = distinct_chunks(decode_index(raw, Path(plan.folder, "index.digest").read_text()))
        folders = Folders(Path(plan.state))
        folders.prepare()
        self._artifact = plan.artifact
        self._store = Store(folders.database)
        self._store.save_manifest(plan.artifact, "model", b"")
        self._part = Part(folders.part(plan.artifact), self._chunks)
        self._next = 0
        self._rest = b""
        self._uncommitted: list[int] = []
        self._bytes = 0

    def take(self, data: bytes) -> None:
        """Keep what has come."""
        view = memoryview(self._rest + data if self._rest else data)
        while self._next < len(self._chunks) and len(view) >= self._chunks[self._next].size:
            ref = self._chunks[self._next]
            piece, view = view[: ref.size], view[ref.size :]
            if digest_of(piece) != ref.digest:
                raise SystemExit(f"chunk {self._next} is damaged")
            self._part.write(self._next, piece)
            self._uncommitted.append(self._next)
            self._next += 1
            self._bytes += ref.size
            if self._bytes >= BATCH_BYTES:
                self._commit()
        self._rest = bytes(view)

    def finish(self) -> None:
        """Make the last batch durable.

        Raises:
            SystemExit: bytes are missing.
        """
        self._commit()
        if self._next != len(self._chunks):
            raise SystemExit(f"only {self._next} of {len(self._chunks)} chunks came")

    def _commit(self) -> None:
        self._part.sync()
        have = self._store.bitmap(self._artifact, len(self._chunks)).with_set(self._uncommitted)
        self._store.save_progress(self._artifact, have, Tally())
        self._uncommitted, self._bytes = [], 0


def main() -> None:
    """Take what comes on standard input, or the file's bytes from memory."""
    plan = plan_of_arguments()
    sink = Sink(plan)
    pieces: list[bytes] = []
    if sys.argv[1] == "alone":
        data = Path(plan.folder, "model").read_bytes()
        pieces = [data[at : at + 262_144] for at in range(0, len(data), 262_144)]
        wait_for_go()
    meter = Meter()
    if pieces:
        for piece in pieces:
            sink.take(piece)
    else:
        while data := sys.stdin.buffer.read1(262_144):
            sink.take(data)
    sink.finish()
    print(meter.told(), flush=True)


if __name__ == "__main__":
    main()
