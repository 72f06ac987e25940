"""The device's memory: what is saved is found again, and a damaged or newer file says so."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from edge_runtime.store import Store, Tally
from toolkit.errors import StoreError
from toolkit.protocol.bitmap import Bitmap
from toolkit.protocol.installation import Installation
from toolkit.wire.states import InstallState


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "edge.sqlite"


def reopened(store: Store, file: Path) -> Store:
    store.close()
    return Store(file)


def test_everything_is_there_after_a_restart(file: Path) -> None:
    store = Store(file)
    assert (store.next("starts"), store.next("starts")) == (1, 2)
    held = Installation(model="m", state=InstallState.SEEDING, attempt=3)
    seq = store.save_installation(held)
    store.save_desired(b"desired", 7, 1 << 60)
    store.save_manifest("a" * 64, "m", b"sealed")
    bitmap = Bitmap.empty(11).with_set([0, 10])
    store.save_bitmap("a" * 64, bitmap)
    store.save_tally("a" * 64, Tally(1, 2, 3, 4))

    store = reopened(store, file)
    assert store.next("starts") == 3
    assert store.installations() == {"m": held}
    assert store.save_installation(held) == seq + 1, "numbers of reports grow across restarts"
    assert (store.desired(), store.count("desired_seq"), store.count("desired_fence")) == (
        b"desired",
        7,
        1 << 60,
    )
    assert store.sealed_manifest("a" * 64) == b"sealed"
    assert store.bitmap("a" * 64, 11) == bitmap
    assert store.tally("a" * 64) == Tally(1, 2, 3, 4)
    assert store.artifacts() == {"a" * 64: "m"}
    store.forget("a" * 64)
    assert (store.artifacts(), store.tally("a" * 64)) == ({}, Tally())
    store.close()


def test_what_came_for_a_patch_counts_for_its_target_once(file: Path) -> None:
    store = Store(file)
    for artifact, tally in (
        ("t", Tally(seeded=5, received=10, bad=1, patched=7)),
        ("p", Tally(0, 100, 20, 3)),
    ):
        store.save_manifest(artifact * 64, "m", b"sealed")
        store.save_tally(artifact * 64, tally)
    for _ in range(2):
        store.move_tally("p" * 64, "t" * 64)
        assert store.tally("t" * 64) == Tally(5, 110, 20, 4, 7)
        assert store.tally("p" * 64) == Tally()
    store.move_tally("unknown", "t" * 64)
    assert store.tally("t" * 64).received == 110
    store.close()


def test_a_database_from_before_patches_is_taken_over_and_still_suits_what_wrote_it(file: Path) -> None:
    Store(file).close()
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as old:
        old.execute("ALTER TABLE artifact DROP COLUMN patched")
        old.execute("INSERT INTO artifact (artifact, model, sealed, seeded) VALUES ('a', 'm', x'', 9)")
    store = Store(file)
    assert store.tally("a") == Tally(seeded=9)
    store.save_tally("a", Tally(patched=3))
    store.close()
    with contextlib.closing(sqlite3.connect(file)) as old:
        assert old.execute("PRAGMA user_version").fetchone() == (1,)
        old.execute("INSERT INTO artifact (artifact, model, sealed) VALUES ('b', 'm', x'')")


def test_a_manifest_that_comes_again_keeps_the_bitmap(file: Path) -> None:
    store = Store(file)
    store.save_manifest("a" * 64, "m", b"sealed")
    store.save_bitmap("a" * 64, Bitmap.empty(3).with_set([1]))
    store.save_manifest("a" * 64, "m", b"sealed again")
    assert store.bitmap("a" * 64, 3).count == 1
    store.close()


def test_a_bitmap_of_another_size_counts_as_none(file: Path) -> None:
    store = Store(file)
    store.save_manifest("a" * 64, "m", b"sealed")
    store.save_bitmap("a" * 64, Bitmap.empty(3).with_set([1]))
    assert store.bitmap("a" * 64, 4) == Bitmap.empty(4)
    store.close()


@pytest.mark.parametrize("content", [b"this is no database, and long enough to be looked at", b"\0" * 5000])
def test_a_damaged_database_is_named_with_the_cure(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(StoreError, match=r"edge\.sqlite cannot be used") as raised:
        Store(file)
    assert "tiers-edge wipe" in raised.value.hint


def test_a_newer_layout_is_refused(file: Path) -> None:
    Store(file).close()
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA user_version = 2")
    db.close()
    with pytest.raises(StoreError, match="layout 2") as raised:
        Store(file)
    assert "update tiers" in raised.value.hint


def test_an_installation_that_cannot_be_read_names_the_file(file: Path) -> None:
    store = Store(file)
    store.save_installation(Installation(model="m"))
    store.close()
    with sqlite3.connect(file) as db:
        db.execute("UPDATE installation SET document = ?", (b'{"format": 9}',))
    db.close()
    store = Store(file)
    with pytest.raises(StoreError, match="format 9"):
        store.installations()
    store.close()


def test_a_write_that_fails_leaves_the_old_state_and_says_so(file: Path) -> None:
    store = Store(file)
    store.save_desired(b"old", 1, 1)
    with sqlite3.connect(file) as db:
        db.execute("CREATE TRIGGER full BEFORE UPDATE ON counter BEGIN SELECT RAISE(FAIL, 'disk full'); END")
        db.execute("CREATE TRIGGER full2 BEFORE INSERT ON counter BEGIN SELECT RAISE(FAIL, 'disk full'); END")
    db.close()
    with pytest.raises(StoreError, match="disk full"):
        store.save_desired(b"new", 2, 1)
    assert (store.desired(), store.count("desired_seq")) == (b"old", 1)
    store.close()
