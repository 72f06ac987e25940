"""What all processes of `ship.py` share: the artifact, its names, and how a process tells what it used.

The parent makes a `Plan` and gives it to each process as JSON; each says `ready`, waits for a line and then works.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from toolkit.wire.chunk import LARGE_ARTIFACT, Cutter, store_chunk
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.index import ChunkRef, Index, distinct_chunks, encode_index, file_entry
from toolkit.wire.topics import Topics

MIB = 1024 * 1024
TOPICS = Topics("bench")
FRAME_BYTES = 256 * 1024


@dataclass(frozen=True)
class Plan:
    """What one process shall do."""

    folder: str
    """Where the registry and the site's documents are."""
    port: int = 0
    host: str = "127.0.0.1"
    client: str = "paho"
    device: str = "box-0"
    state: str = ""
    """Folder of the device; empty means that what arrives is dropped."""
    artifact: Digest = ""
    window_bytes: int = 8 * MIB
    size: int = 0
    devices: int = 1

    def text(self) -> str:
        """Give it as an argument."""
        return json.dumps(asdict(self))


def plan_of_arguments() -> Plan:
    """Read the plan that the parent gave."""
    return Plan(**json.loads(sys.argv[-1]))


def wait_for_go() -> None:
    """Say that all is prepared, and wait."""
    print("ready", flush=True)
    sys.stdin.readline()


class Meter:
    """Seconds, processor and memory of this process since it was made."""

    def __init__(self) -> None:
        """Begin to measure."""
        self._begun, self._cpu, self._rss = time.perf_counter(), cpu_seconds(), rss_bytes()

    def told(self, **more: object) -> str:
        """Give what was used, as a line of JSON."""
        seconds = time.perf_counter() - self._begun
        used = {
            "seconds": seconds,
            "cpu": cpu_seconds() - self._cpu,
            "rss": peak_bytes(),
            "growth": max(0, peak_bytes() - self._rss),
        }
        return json.dumps({**used, **more})


def cpu_seconds() -> float:
    """Processor time of this process, user and system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def rss_bytes() -> int:
    """Memory of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_bytes(pid: int | str = "self") -> int:
    """Most memory that a process had since its program began; what its parent had before does not count."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024 if found else 0


def write_noise(path: Path, size: int) -> None:
    """Write bytes that do not shrink, so that bytes on the wire are bytes of the artifact."""
    draw = random.Random(1)
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(draw.randbytes(MIB))


@dataclass(frozen=True)
class Cut:
    """A file in chunks."""

    index: Index
    digest: Digest
    index_bytes: bytes
    chunks: tuple[ChunkRef, ...]


def cut_file(path: Path) -> Cut:
    """Cut a file as the registry does."""
    cutter, refs = Cutter(LARGE_ARTIFACT), []
    with path.open("rb") as file:
        while segment := file.read(8 * MIB):
            refs += [ChunkRef(digest_of(piece), len(piece)) for piece in cutter.feed(segment)]
    refs += [ChunkRef(digest_of(piece), len(piece)) for piece in cutter.finish()]
    return index_of(refs)


def index_of(refs: list[ChunkRef]) -> Cut:
    """Give the index of one file of these chunks."""
    index = Index(entries=(file_entry(b"model.onnx", refs),))
    digest, data = encode_index(index)
    return Cut(index, digest, data, distinct_chunks(index))


def stored_pieces(path: Path, chunks: tuple[ChunkRef, ...]) -> list[bytes]:
    """Give the stored form of each chunk of a file in which they lie one after the other."""
    with path.open("rb") as file:
        return [store_chunk(file.read(ref.size)) for ref in chunks]
