"""The depot of `ship.py`: the real one, over a registry in a folder, or (for 4 GB) one that makes its chunks up."""

from __future__ import annotations

import json
import random
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.shipping.place import TOPICS, Plan, plan_of_arguments
from toolkit.fleet.depot import Depot
from toolkit.link.buffers import keep_buffers
from toolkit.link.choose import make_link
from toolkit.link.settings import settings_from_url
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.wire.digest import Digest, digest_of
from toolkit.wire.document import decode_json
from toolkit.wire.index import ChunkRef
from toolkit.wire.keyring import Keyring

CHUNK_BYTES = 64 * 1024


class Endless(PackStore):
    """A registry whose one file is never written down: chunk n is noise with n in front."""

    def __init__(self, remote: DirectoryRemote, size: int) -> None:
        """Name the chunks."""
        super().__init__(remote)
        self.refs = [
            ChunkRef(digest_of(endless_chunk(number)), CHUNK_BYTES) for number in range(size // CHUNK_BYTES)
        ]
        self._numbers = {ref.digest: number for number, ref in enumerate(self.refs)}

    def read_run(self, digests: Iterable[Digest]) -> Iterator[bytes]:
        """Make chunks."""
        for digest in digests:
            yield b"\0" + endless_chunk(self._numbers[digest])


_NOISE = random.Random(2).randbytes(CHUNK_BYTES - 8)


def endless_chunk(number: int) -> bytes:
    """Give chunk `number`."""
    return number.to_bytes(8, "big") + _NOISE


def open_store(plan: Plan) -> PackStore:
    """Open the registry of a plan."""
    remote = DirectoryRemote(f"{plan.folder}/registry")
    return Endless(remote, plan.size) if plan.size else PackStore(remote)


def main() -> None:
    """Serve until standard input ends; then say what was sent."""
    keep_buffers()  # as `tiers depot` does
    plan = plan_of_arguments()
    keyring = decode_json(Path(plan.folder, "keyring.json").read_bytes(), Keyring, what="keyring")
    store = open_store(plan)
    url = f"mqtt://{plan.host}:{plan.port}"
    depot = Depot(make_link(settings_from_url(url, "depot")), TOPICS, lambda: store, keyring)
    stop = threading.Event()
    thread = threading.Thread(
        target=depot.run, args=(stop,), kwargs={"ready": lambda: print("ready", flush=True)}
    )
    thread.start()
    sys.stdin.read()
    stop.set()
    thread.join()
    print(json.dumps({"bytes": depot.counters.bytes_sent, "frames": depot.counters.frames}))


if __name__ == "__main__":
    main()
