"""A run into packs whose one large file has changed: the list of its chunks is not written again."""

from __future__ import annotations

import random

import pytest

from tests.contracts.remote import MemoryRemote
from tests.toolkit.sync.large_route import overlays_in
from tests.toolkit.sync.trees import photograph, storage, task_of
from toolkit.sync.layouts.packs import PackStore
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
