"""What is replayed is what was encoded, whatever changed; and each change takes no more than it must."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.toolkit.sync.delta.versions import Part, change, chunks, head_of, noise, patched, play
from toolkit.errors import IntegrityError
from toolkit.sync.delta.encode import BLOCK_BYTES, Change, encode_patch
from toolkit.sync.delta.replay import PatchStream, cut_by, is_right, replay
from toolkit.sync.delta.tensors import Tensor, pair_tensors
from toolkit.wire.delta import Copy, Plain, Planes, Prefix
from toolkit.wire.digest import digest_of
from toolkit.wire.index import ChunkRef

KIB = 1024
WEIGHTS = np.random.default_rng(1).standard_normal(50_000, dtype=np.float32) * np.float32(0.05)


@st.composite
def parts(draw: st.DrawFn) -> Part:
    width = draw(st.sampled_from([1, 2, 4, 8]))
    count = draw(st.integers(0, 40))
    data = draw(st.binary(min_size=count * width, max_size=count * width))
    return Part(data, draw(st.sampled_from(["", "a", "b", "c", "d"])), width, draw(st.booleans()))


@st.composite
def changed(draw: st.DrawFn, part: Part) -> Part:
    """Keep a part, give it other bits, another shape, another type, another name."""
    data = draw(
        st.sampled_from(
            [part.data, part.data[:-8], part.data + bytes(8), part.data[::-1], bytes(len(part.data))]
        )
    )
    name = draw(st.sampled_from([part.name, part.name, "e"]))
    width, floats = draw(st.sampled_from([(part.width, part.floats), (1, False), (2, True)]))
    return Part(data, name if len(data) % width == 0 else "", width, floats)


@st.composite
def two_versions(draw: st.DrawFn) -> tuple[list[Part], list[Part]]:
    base = draw(st.lists(parts(), max_size=6))
    target = [draw(changed(part)) for part in draw(st.permutations(base)) if draw(st.integers(0, 4))]
    return base, target + draw(st.lists(parts(), max_size=2))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(two_versions())
def test_any_change_comes_back_byte_for_byte(tmp_path: Path, versions: tuple[list[Part], list[Part]]) -> None:
    before, after, patch = patched(tmp_path, *versions)
    assert play(patch, before, piece=7) == after


def drifted(scale: float = 1e-3) -> np.ndarray:
    draw = np.random.default_rng(2).standard_normal(len(WEIGHTS), dtype=np.float32)
    return WEIGHTS + draw * np.float32(0.05 * scale)


def test_weights_that_drift_behind_a_header_that_grew_become_planes(tmp_path: Path) -> None:
    weights = Part(WEIGHTS.tobytes(), "w", 4, floats=True)
    moved = Part(drifted().tobytes(), "w", 4, floats=True)
    before, after, patch = patched(tmp_path, [Part(b"head"), weights], [Part(b"a longer head"), moved])
    (file,) = head_of(patch).files
    assert [type(op) for op in file.ops] == [Plain, Planes]
    assert len(patch) < 0.56 * len(after)
    assert play(patch, before) == after


def test_tensors_in_another_order_are_copied(tmp_path: Path) -> None:
    first, second = Part(noise(9 * KIB), "a", 4, floats=True), Part(noise(7 * KIB), "b", 2, floats=True)
    before, after, patch = patched(tmp_path, [Part(b"-"), first, second], [Part(b"-"), second, first])
    (file,) = head_of(patch).files
    assert {type(op) for op in file.ops} <= {Copy, Plain}
    assert len(patch) < 150
    assert play(patch, before) == after


def test_what_lies_between_equal_tensors_joins_one_copy(tmp_path: Path) -> None:
    file = [
        Part(b"h" * 9),
        Part(noise(800), "a", 4),
        Part(b"gap"),
        Part(noise(800, seed=1), "b", 4),
        Part(b"end"),
    ]
    before, after, patch = patched(tmp_path, file, file)
    assert head_of(patch).files[0].ops == (Copy(len(after), 0),)
    assert play(patch, before) == after


def test_a_tensor_of_which_nothing_is_left_takes_no_more_than_compressed(tmp_path: Path) -> None:
    text = b"the same words again " * 500
    base, target = [Part(noise(len(text)), "w", 4)], [Part(text, "w", 4)]
    before, after, patch = patched(tmp_path, base, target)
    assert [type(op) for op in head_of(patch).files[0].ops] == [Plain]
    assert len(patch) < 150
    assert play(patch, before) == after


def test_an_opaque_file_is_compared_with_the_base_around_it(tmp_path: Path) -> None:
    base = noise(300 * KIB)
    target = bytearray(b"inserted" + base)
    for at in range(0, len(target), 5 * KIB):  # no chunk stays as it was
        target[at] ^= 1
    encode_patch([change(tmp_path, base, bytes(target))], tmp_path / "patch")
    patch = (tmp_path / "patch").read_bytes()
    assert [type(op) for op in head_of(patch).files[0].ops] == [Prefix]
    assert len(patch) < 0.02 * len(target)
    assert play(patch, base) == target


def test_a_small_change_far_behind_is_compared_with_what_stood_there(tmp_path: Path) -> None:
    base = noise(4096 * KIB)
    target = bytearray(base)
    for at in range(3500 * KIB, 3800 * KIB, 3 * KIB):
        target[at] ^= 1
    encode_patch([change(tmp_path, base, bytes(target))], tmp_path / "patch")
    patch = (tmp_path / "patch").read_bytes()
    assert {type(op) for op in head_of(patch).files[0].ops} == {Copy, Prefix}
    assert len(patch) < 10 * KIB
    assert play(patch, base, piece=100_000) == target


def test_chunks_that_moved_are_copied(tmp_path: Path) -> None:
    first, second = noise(300 * KIB), noise(300 * KIB, seed=1)
    encode_patch([change(tmp_path, first + second, second + noise(KIB) + first)], tmp_path / "patch")
    patch = (tmp_path / "patch").read_bytes()
    assert any(isinstance(op, Copy) for op in head_of(patch).files[0].ops)
    assert len(patch) < 100 * KIB
    assert play(patch, first + second) == (tmp_path / "target").read_bytes()


def test_large_tensors_are_coded_in_blocks(tmp_path: Path) -> None:
    base = np.zeros(2 * BLOCK_BYTES // 4 + 5, np.float32)
    target = base.copy()
    target[0] = target[-1] = 1
    part = Part(base.tobytes(), "w", 4, floats=True)
    before, after, patch = patched(tmp_path, [part], [Part(target.tobytes(), "w", 4, floats=True)])
    assert [type(op) for op in head_of(patch).files[0].ops] == [Planes, Copy, Planes]
    assert play(patch, before) == after


def test_a_new_file_and_an_empty_one_need_no_base(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"new" * 100)
    (tmp_path / "empty").write_bytes(b"")
    changes = [Change(b"empty", tmp_path / "empty"), Change(b"new", tmp_path / "new")]
    encode_patch(changes, tmp_path / "patch")
    stream = PatchStream([(tmp_path / "patch").read_bytes()])
    head = stream.head((tmp_path / "patch").stat().st_size)
    made = [b"".join(replay(file, stream, lambda *_: b"")) for file in head.files]
    assert made == [b"", b"new" * 100]


def test_a_base_that_is_too_short_is_named(tmp_path: Path) -> None:
    weights = Part(WEIGHTS.tobytes(), "w", 4, floats=True)
    before, _, patch = patched(tmp_path, [weights], [Part(drifted().tobytes(), "w", 4, floats=True)])
    with pytest.raises(IntegrityError, match="'f' of the base ends before byte"):
        play(patch, before[:-1])


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_patch_is_refused_or_makes_chunks_that_do_not_count(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    base = [Part(b"head" * 30), Part(WEIGHTS[:5000].tobytes(), "w", 4, floats=True), Part(b"tail" * 50)]
    target = [Part(b"Head" * 31), Part(drifted()[:5000].tobytes(), "w", 4, floats=True), Part(b"tAil" * 50)]
    before, after, patch = patched(tmp_path, base, target)
    broken = bytearray(patch)
    broken[draw.randrange(len(broken))] ^= 1 << draw.randrange(8)
    refs = chunks(after)
    try:
        made = play(bytes(broken), before)
        right = [is_right(*each) for each in cut_by(refs, [made])]
    except IntegrityError:
        return
    assert all(right) == (made == after)


@pytest.mark.parametrize("length", [0, 1, 99])
def test_a_patch_that_was_cut_off_is_refused(tmp_path: Path, length: int) -> None:
    _, _, patch = patched(tmp_path, [Part(b"a" * 300)], [Part(noise(300))])
    with pytest.raises(IntegrityError):
        play(patch[:length], b"a" * 300)


def test_cutting_finds_what_is_missing_and_what_is_too_much() -> None:
    refs = [ChunkRef(digest_of(b"abc"), 3), ChunkRef(digest_of(b"defg"), 4)]
    cut = [(ref, bytes(data)) for ref, data in cut_by(refs, [b"a", b"", b"bcde", b"fg"])]
    assert cut == list(zip(refs, [b"abc", b"defg"], strict=True))
    with pytest.raises(IntegrityError, match="fewer bytes"):
        list(cut_by(refs, [b"abcdef"]))
    with pytest.raises(IntegrityError, match="more bytes"):
        list(cut_by(refs, [b"abcdefgh"]))
    with pytest.raises(IntegrityError, match="more bytes"):
        list(cut_by(refs, [b"abcdefg", b"h"]))


def test_only_tensors_of_one_name_type_and_shape_are_pairs() -> None:
    def tensor(name: str, offset: int, kind: str = "f4", shape: tuple[int, ...] = (2,)) -> Tensor:
        return Tensor(name, kind, shape, offset, 8, 4, floats=True)

    base = [tensor("a", 0), tensor("b", 8), tensor("c", 16), tensor("a", 24)]
    target = [tensor("c", 50), tensor("a", 10), tensor("b", 20, kind="i4"), tensor("b", 14)]
    pairs = pair_tensors(base, target)
    assert [(pair.base, pair.target) for pair in pairs] == [(0, 10), (16, 50)]
    assert not pair_tensors(base, [tensor("a", 0, shape=(1, 2))])
