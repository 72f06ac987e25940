"""A patch is replayed in steps; only chunks that are what the target's index names are kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edge_runtime import remake
from edge_runtime.part import Part
from edge_runtime.remake import Remake
from tests.edge_runtime.conftest import Keys, Made
from tests.edge_runtime.patches import Patched, make_patched
from tests.edge_runtime.test_shelf import Place
from toolkit.errors import IntegrityError
from toolkit.wire.manifest import Manifest


@pytest.fixture(scope="module")
def pair() -> Patched:
    return make_patched(Keys(), count=6_000_000)


@pytest.fixture
def place(tmp_path: Path, pair: Patched) -> Iterator[Place]:
    """A device that has the base and the patch, and has accepted the target."""
    place = Place(tmp_path)
    place.install(pair.base)
    place.accept(pair.patch)
    place.bring(pair.patch)
    place.accept(pair.target)
    yield place
    place.store.close()


def replay(place: Place, pair: Patched) -> Remake:
    (patch,) = pair.target.manifest.patches
    return Remake(place.shelf, place.store, place.folders, pair.target.artifact, patch)


def have(place: Place, made: Made) -> int:
    return place.store.bitmap(made.artifact, len(made.chunks)).count


def test_a_target_is_made_of_base_and_patch(place: Place, pair: Patched) -> None:
    work = replay(place, pair)
    steps = len(list(work.steps()))
    assert steps >= 1, "it pauses, so that other models' chunks get their turn"
    assert have(place, pair.target) == len(pair.target.chunks) == work.made.chunks
    assert work.made.wrong == 0
    assert place.store.tally(pair.target.artifact).patched == len(pair.target.chunks)
    assert place.shelf.assemble(pair.target.artifact) == 0
    folder = place.folders.version(pair.target.artifact)
    assert {name: (folder / name).read_bytes() for name in pair.files} == pair.files


def test_what_was_made_before_a_kill_is_not_made_again(place: Place, pair: Patched) -> None:
    steps = replay(place, pair).steps()
    next(steps)
    before = have(place, pair.target)
    assert 0 < before < len(pair.target.chunks)
    del steps  # the process is gone; what is not committed never was
    again = replay(place, pair)
    list(again.steps())
    assert again.made.chunks == len(pair.target.chunks) - before
    assert have(place, pair.target) == len(pair.target.chunks)


def test_a_base_that_has_rotted_costs_only_what_it_spoils(place: Place, pair: Patched) -> None:
    model = place.folders.version(pair.base.artifact) / "model.onnx"
    data = bytearray(model.read_bytes())
    data[5_000_000] ^= 0x40
    model.write_bytes(data)
    work = replay(place, pair)
    list(work.steps())
    assert work.made.wrong >= 1
    assert work.made.chunks + work.made.wrong == len(pair.target.chunks)
    chunks = pair.target.chunks
    with Part(place.folders.part(pair.target.artifact), chunks) as part:
        missing = set(place.store.bitmap(pair.target.artifact, len(chunks)).missing())
        assert all(part.read(number) is not None for number in range(len(chunks)) if number not in missing)


@pytest.mark.parametrize("spoil", ["base is short", "base is gone", "patch has rotted"])
def test_what_cannot_go_on_says_why_and_keeps_what_is_right(place: Place, pair: Patched, spoil: str) -> None:
    model = place.folders.version(pair.base.artifact) / "model.onnx"
    if spoil == "base is short":
        model.write_bytes(model.read_bytes()[:9_000_000])
    elif spoil == "base is gone":
        model.unlink()
    else:
        part = place.folders.part(pair.patch.artifact)
        data = bytearray(part.read_bytes())
        data[-5] ^= 1
        part.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"ends before byte|cannot be read|was damaged"):
        list(replay(place, pair).steps())
    made = have(place, pair.target)
    assert made < len(pair.target.chunks)
    assert (made > 0) == (spoil != "base is gone")
    assert place.shelf.choose_patch(pair.target.artifact) is not None or spoil == "base is gone"


def test_a_patch_that_makes_other_files_is_refused(place: Place, pair: Patched) -> None:
    keys = Keys()

    def other_names(manifest: Manifest) -> Manifest:
        return msgspec.structs.replace(manifest, model_file="other.onnx", golden=None)

    target = keys.make("v9", {"other.onnx": pair.files["model.onnx"]}, change=other_names)
    place.accept(target)
    (patch,) = pair.target.manifest.patches
    work = Remake(place.shelf, place.store, place.folders, target.artifact, patch)
    with pytest.raises(IntegrityError, match="not in its target"):
        list(work.steps())
    assert have(place, target) == 0


def test_a_patch_is_chosen_only_while_it_is_shorter(place: Place, pair: Patched) -> None:
    (patch,) = pair.target.manifest.patches
    assert place.shelf.choose_patch(pair.target.artifact) == patch
    place.bring(pair.target, range(len(pair.target.chunks)))
    assert place.shelf.choose_patch(pair.target.artifact) is None


def test_a_patch_that_was_dropped_leaves_nothing(place: Place, pair: Patched) -> None:
    place.shelf.drop_helper(pair.patch.artifact)
    assert pair.patch.artifact not in place.folders.stored()
    assert pair.patch.artifact not in place.store.artifacts()


def test_steps_are_small(pair: Patched) -> None:
    assert pair.target.manifest.total_bytes > remake.STEP_BYTES
