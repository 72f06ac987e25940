"""A run into packs: what it looks at and when, and that a small change writes a small part of a long list."""

from __future__ import annotations

import gc
import random
import threading
from collections.abc import Iterator

import pytest

from tests.contracts.remote import MemoryRemote
from tests.toolkit.sync.large_route import overlays_in
from tests.toolkit.sync.trees import make_tree, photograph, storage, task_of
from toolkit.errors import RemoteUnavailableError, SyncError
from toolkit.sync.events import Event, Scanned
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.remote import Found
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage
from toolkit.sync.verify import verify_packs

PACKS = Storage(tier="cold", url="memory://test", layout="packs")
SIZE = 44_000_000
"""In pieces of some 20 KB a chunk list of some 80 KB."""


@pytest.mark.slow
def test_a_small_change_of_a_large_file_writes_little_of_its_list(tmp_path):
    remote, task = MemoryRemote(), task_of(tmp_path, PACKS, grid="scattered")
    source = tmp_path / "edge/frames"
    data = bytearray(random.Random(1).randbytes(SIZE))
    (source / "large").write_bytes(data)

    def grown() -> int:
        before = sum(len(each) for key, each in remote.objects.items() if key.startswith("indexes/"))
        result = run_task(task, remotes=lambda _: remote)
        assert [target.error for target in result.targets] == [""]
        return sum(len(each) for key, each in remote.objects.items() if key.startswith("indexes/")) - before

    assert grown() > 64 * 1024
    data[20_000_000:20_000_000] = b"inserted" * 1000
    (source / "large").write_bytes(data)
    assert 0 < grown() < 1000
    (source / "small").write_bytes(b"beside it")
    assert 0 < grown() < 1000
    assert grown() == 0, "nothing has changed"
    assert len(overlays_in(remote)) == 2
    assert verify_packs(PackStore(remote)) == []
    back = storage(tmp_path / "back")
    result = run_task(task_of(tmp_path, back, route="recall", source=PACKS), remotes=lambda _: remote)
    assert result.exit_code == 0
    assert photograph(tmp_path / "back/frames") == photograph(source)


class Watched(MemoryRemote):
    """Says when it is asked for the first time, takes a moment, and counts what it was asked to the end."""

    def __init__(self, moment: float = 0.0) -> None:
        super().__init__()
        self.asked, self.listed, self._moment = threading.Event(), 0, moment
        self.requests: list[str] = []

    def list(self, prefix: str = "") -> Iterator[Found]:
        self.asked.set()
        self.requests.append(f"list {prefix}")
        threading.Event().wait(self._moment)
        yield from super().list(prefix)
        self.listed += 1

    def read(self, key: str, **options: int) -> bytes:
        self.requests.append(f"read {key}")
        return super().read(key, **options)


def test_the_store_is_looked_at_while_the_source_is(tmp_path):
    make_tree(tmp_path / "edge/frames")
    remote, task, were_asked = Watched(), task_of(tmp_path, PACKS), []

    def listen(event: Event) -> None:
        if isinstance(event, Scanned):
            were_asked.append(remote.asked.wait(60))

    assert run_task(task, remotes=lambda _: remote, listen=listen).exit_code == 0
    assert were_asked == [True]


def test_a_look_that_nobody_came_back_for_has_ended_when_the_run_has(tmp_path):
    remote = Watched(moment=0.3)
    with pytest.raises(SyncError, match="nowhere"):
        run_task(task_of(tmp_path, PACKS, path="nowhere"), remotes=lambda _: remote)
    assert remote.listed == 2, "the sweeps and the packs"


def test_a_run_that_finds_nothing_to_do_asks_for_each_thing_once(tmp_path):
    source = tmp_path / "edge/frames"
    source.mkdir(parents=True)
    for number in range(1000):  # a list of some 45 KB at the end of their pack
        (source / f"{number}").write_bytes(b"%d" % number)
    remote, task = Watched(), task_of(tmp_path, PACKS)
    assert run_task(task, remotes=lambda _: remote).exit_code == 0
    remote.requests.clear()
    (target,) = run_task(task, remotes=lambda _: remote).targets
    assert (target.error, target.changed) == ("", False)
    assert sorted(remote.requests) == sorted(set(remote.requests))
    kinds = sorted(request.rpartition("/")[0] for request in remote.requests)
    assert kinds == ["list gc/sweeps", "list packs", "read indexes", "read packs", "read refs/routes/frames"]


class Full(MemoryRemote):
    """Has no room for a pack, which is found out by another thread than the one that gathers them."""

    @property
    def url(self) -> str:
        return "s3://full"

    def write_new(self, key: str, data: bytes) -> bool:
        if key.startswith("packs/"):
            raise RemoteUnavailableError("No space left on device")
        return super().write_new(key, data)


def test_nobody_reads_the_source_any_more_when_a_run_has_failed(tmp_path):
    source = tmp_path / "edge/frames"
    source.mkdir(parents=True)
    (source / "large").write_bytes(
        random.Random(1).randbytes(80_000_000)
    )  # five packs; the second hears of the first
    gc.disable()  # what ends only when garbage is collected has not ended
    try:
        (target,) = run_task(task_of(tmp_path, PACKS), remotes=lambda _: Full()).targets
        names = [each.name for each in threading.enumerate()]
    finally:
        gc.enable()
    assert "No space left" in target.error
    assert not [name for name in names if name.startswith(("code", "send"))]
