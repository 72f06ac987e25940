"""Artifacts on the disk: seeds are hashed again, versions appear whole or not at all, and only what is needed stays."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.folders import Folders
from edge_runtime.part import Part
from edge_runtime.shelf import Shelf
from edge_runtime.store import Store
from toolkit.errors import IntegrityError
from toolkit.protocol.installation import Needs
from toolkit.wire.chunk import open_chunk
from toolkit.wire.index import Entry

COMMON = np.random.default_rng(1).bytes(300_000)


class Place:
    """A state folder with a shelf, as the daemon has it."""

    def __init__(self, folder: Path) -> None:
        self.folders = Folders(folder)
        self.folders.prepare()
        self.store = Store(self.folders.database)
        self.shelf = Shelf(self.store, self.folders)

    def accept(self, made) -> None:
        self.store.save_manifest(made.artifact, "m", made.sealed)
        self.shelf.save_index(made.artifact, made.index)

    def bring(self, made, numbers=None) -> None:
        """Put chunks into the part file, as a transfer does."""
        numbers = range(len(made.chunks)) if numbers is None else numbers
        with Part(self.folders.part(made.artifact), made.chunks) as part:
            for number in numbers:
                chunk = made.chunks[number]
                part.write(number, open_chunk(made.stored[chunk.digest], chunk.digest, chunk.size))
            part.sync()
        have = self.store.bitmap(made.artifact, len(made.chunks)).with_set(numbers)
        self.store.save_bitmap(made.artifact, have)

    def install(self, made) -> None:
        self.accept(made)
        self.bring(made)
        assert self.shelf.assemble(made.artifact) == 0


@pytest.fixture
def place(tmp_path: Path):
    place = Place(tmp_path)
    yield place
    place.store.close()


@pytest.fixture
def made(keys):
    return keys.make("v1", {"model.onnx": COMMON, "sub/golden.npz": b"small"})


def test_a_version_is_put_together_byte_for_byte(place: Place, made) -> None:
    place.install(made)
    folder = place.folders.version(made.artifact)
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert files == {"model.onnx": COMMON, "sub/golden.npz": b"small"}
    assert not any(os.access(path, os.X_OK) for path in folder.rglob("*") if path.is_file())


def test_putting_together_again_checks_what_is_there(place: Place, made) -> None:
    place.install(made)
    inode = (place.folders.version(made.artifact) / "model.onnx").stat().st_ino
    assert place.shelf.assemble(made.artifact) == 0
    assert (place.folders.version(made.artifact) / "model.onnx").stat().st_ino == inode


def test_a_damaged_version_is_made_anew_from_the_part_file(place: Place, made) -> None:
    place.install(made)
    file = place.folders.version(made.artifact) / "model.onnx"
    file.write_bytes(COMMON[:-1] + b"?")
    assert place.shelf.assemble(made.artifact) == 0
    assert file.read_bytes() == COMMON


@pytest.mark.parametrize("damage", [b"?" + COMMON[1:], COMMON + b"more", COMMON[:-5]])
def test_a_damaged_version_without_a_part_file_is_lost_as_a_whole(place: Place, made, damage: bytes) -> None:
    place.install(made)
    place.folders.part(made.artifact).unlink()
    (place.folders.version(made.artifact) / "model.onnx").write_bytes(damage)
    assert place.shelf.assemble(made.artifact) == len(made.chunks)
    assert place.store.bitmap(made.artifact, len(made.chunks)).count == 0
    assert not place.folders.version(made.artifact).exists()


def test_damaged_chunks_are_crossed_out_and_no_version_appears(place: Place, made) -> None:
    place.accept(made)
    place.bring(made)
    part = place.folders.part(made.artifact)
    data = bytearray(part.read_bytes())
    data[0] ^= 1
    data[-1] ^= 1
    part.write_bytes(data)
    assert place.shelf.assemble(made.artifact) == 2
    have = place.store.bitmap(made.artifact, len(made.chunks))
    assert list(have.missing()) == [0, len(made.chunks) - 1]
    assert not list((place.folders.state / "versions").iterdir())
    assert place.store.tally(made.artifact).bad == 2


def test_seeds_are_taken_from_installed_versions_and_rotten_ones_are_not(place: Place, made, keys) -> None:
    place.install(made)
    second = keys.make("v2", {"model.onnx": COMMON + b"another end", "golden.npz": b"other"})
    place.accept(second)
    finds = place.shelf.plan_seeding(second.artifact)
    shared = set(made.chunks) & set(second.chunks)
    assert {find.chunk for find in finds} == shared
    rotten = place.folders.version(made.artifact) / "model.onnx"
    rotten.write_bytes(b"?" + COMMON[1:])
    place.shelf.seed(second.artifact, finds)
    have = place.store.bitmap(second.artifact, len(second.chunks))
    assert have.count == len(shared) - 1
    assert 0 not in {
        number
        for number in range(len(second.chunks))
        if number in have and second.chunks[number] == made.chunks[0]
    }
    assert place.store.tally(second.artifact).seeded == len(shared) - 1
    assert len(place.shelf.plan_seeding(second.artifact)) == 1, "what is here is not looked for again"


def test_only_what_is_needed_stays(place: Place, made, keys) -> None:
    second, third = keys.make("v2", {"model.onnx": b"2"}), keys.make("v3", {"model.onnx": b"3"})
    for each in (made, second):
        place.install(each)
    place.accept(third)
    place.bring(third)
    (place.folders.state / "versions" / f"{third.artifact}.tmp").mkdir()
    needs = Needs(frozenset({second.artifact}), frozenset({third.artifact}))
    place.shelf.clean(lambda: [needs])
    state = place.folders.state
    assert {path.name for path in (state / "versions").iterdir()} == {second.artifact}
    assert {path.name for path in (state / "parts").iterdir()} == {third.artifact}
    assert {path.name for path in (state / "indexes").iterdir()} == {second.artifact, third.artifact}
    assert set(place.store.artifacts()) == {second.artifact, third.artifact}
    assert place.store.bitmap(third.artifact, len(third.chunks)).full


def test_a_draft_that_a_kill_left_is_no_artifact_and_goes_at_the_next_start(place: Place, made) -> None:
    place.install(made)
    drafts = [place.folders.state / ".serving.json.1.part"]
    drafts += [place.folders.state / "indexes" / f".{made.artifact}.1.part"]
    for draft in drafts:
        draft.write_bytes(b"half")
    assert place.folders.stored() == {made.artifact}
    place.shelf.clean(lambda: [Needs(frozenset({made.artifact}), frozenset())])
    assert place.folders.index(made.artifact).exists()
    place.folders.sweep()
    assert not any(draft.exists() for draft in drafts)
    assert place.folders.index(made.artifact).exists()


def test_an_index_that_was_changed_on_the_disk_is_not_used(place: Place, made) -> None:
    place.accept(made)
    place.folders.index(made.artifact).write_bytes(made.index[:-1] + b"?")
    with pytest.raises(IntegrityError, match="does not hold the bytes"):
        place.shelf.index(made.artifact)


def test_folders_of_an_index_are_made_too(place: Place, keys) -> None:
    made = keys.make("v1", {}, entries=(Entry(b"empty", "folder", 0, 0o755, 0),))
    place.accept(made)
    place.bring(made)
    assert place.shelf.assemble(made.artifact) == 0
    assert (place.folders.version(made.artifact) / "empty").is_dir()


def test_a_full_disk_shows_before_the_first_chunk(place: Place, made) -> None:
    huge = tuple(chunk._replace(size=1 << 50) for chunk in made.chunks[:4])
    with pytest.raises(OSError, match=r"space|large"):
        Part(place.folders.part(made.artifact), huge)
