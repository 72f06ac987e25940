"""What a keep is made of: memory, Bloom filter, lifetimes, foresight, and an answer as bytes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge_runtime.serving.cache.bloom import WRONG_YES, Bloom
from edge_runtime.serving.cache.entry import (
    Kept,
    Sealer,
    decode_kept,
    encode_kept,
    own,
    read_secret,
)
from edge_runtime.serving.cache.foresee import Markov
from edge_runtime.serving.cache.lifetime import LEAST_SECONDS, SHARE, Lifetime, seconds_of
from edge_runtime.serving.cache.memory import Held, Memory
from toolkit.errors import IntegrityError

KEPT = Kept(
    {"y": np.arange(6, dtype="<f4").reshape(2, 3), "b": np.array([True]), "n": np.zeros((0, 4), "<i8")},
    made=100.0,
    expires=200.0,
    label="patient",
)


def keys(count, start=0):
    return [bytes([0]) * 16 + number.to_bytes(16, "big") for number in range(start, start + count)]


# ---------------------------------------------------------------- memory
def held(size=10, until=100.0, label="", artifact="a"):
    return Held(KEPT, until, artifact, label, size)


def test_memory_keeps_within_its_bytes_and_the_least_used_goes_first():
    memory = Memory(30)
    one, two, three, four = keys(4)
    for key in (one, two, three):
        memory.put(key, held())
    assert memory.get(one, 0)
    memory.put(four, held())
    assert [key in memory for key in (one, two, three, four)] == [True, False, True, True]
    assert (memory.bytes, memory.evictions) == (30, 1)
    memory.put(one, held(size=31))
    assert one not in memory
    assert memory.bytes == 20


def test_memory_gives_nothing_from_its_end_on():
    memory = Memory(30)
    (one,) = keys(1)
    memory.put(one, held(until=5.0))
    assert memory.get(one, 4.9)
    assert memory.get(one, 5.0) is None


def test_memory_forgets_what_is_meant_and_names_the_hottest():
    memory = Memory(1000)
    one, two, three = keys(3)
    memory.put(one, held(label="x"))
    memory.put(two, held(label="y"))
    memory.put(three, Held(IntegrityError("no"), 100.0, "a", "", 10))
    for key in (one, two, two, three, three, three):
        memory.get(key, 0)
    assert memory.hottest(5) == [(two, "y"), (one, "x")]
    assert memory.drop(lambda each: each.label == "x") == 1
    assert (one in memory, memory.bytes) == (False, 20)


# ---------------------------------------------------------------- Bloom
def test_the_filter_never_says_no_to_what_is_there_and_seldom_yes_to_what_is_not():
    rng = np.random.default_rng(1)
    there = [rng.bytes(32) for _ in range(2000)]
    bloom = Bloom(2000)
    for key in there:
        bloom.add(key)
    assert all(key in bloom for key in there)
    wrong = sum(rng.bytes(32) in bloom for _ in range(10_000)) / 10_000
    assert wrong < 2 * WRONG_YES
    assert rng.bytes(32) not in Bloom(10)


# ---------------------------------------------------------------- lifetimes
def test_kinds_have_their_usual_times():
    assert (seconds_of("image", 0), seconds_of("text", 0)) == (7 * 86400, 86400)
    assert (seconds_of("image", 60), seconds_of("mine", 0)) == (60, 3600)


def test_a_time_that_follows_is_the_share_of_the_mean_between_changes():
    lifetime = Lifetime(1e6, follow=True, now=0.0)
    assert lifetime.seconds("p", 0.0) == 1e6
    lifetime.changed("p", 1000.0)
    assert lifetime.seconds("p", 1000.0) == pytest.approx(SHARE * 1000)
    lifetime.changed("p", 1200.0)  # the mean goes a quarter of the way from 1000 to 200
    assert lifetime.seconds("p", 1200.0) == pytest.approx(SHARE * 800)
    assert lifetime.seconds("p", 6200.0) == pytest.approx(SHARE * 5000), "a long silence counts"
    assert lifetime.seconds("other", 1200.0) == 1e6
    lifetime.changed("", 1300.0)
    assert lifetime.seconds("other", 1300.0) == pytest.approx(SHARE * 1300)
    for moment in range(50):
        lifetime.changed("p", 1300.0 + moment / 1000)
    assert lifetime.seconds("p", 1300.05) == LEAST_SECONDS
    assert math.isclose(1 - math.exp(-SHARE), 0.1)


def test_a_fixed_time_stays():
    lifetime = Lifetime(60.0, follow=False, now=0.0)
    lifetime.changed("p", 1.0)
    assert lifetime.seconds("p", 1.0) == 60


# ---------------------------------------------------------------- foresight
def test_what_followed_twice_is_foreseen_for_each_client_alone():
    markov = Markov()
    a, b, c = ((key, "") for key in keys(3))
    assert [markov.asked("one", each) for each in (a, b, a, b)] == [None] * 4
    assert markov.asked("two", a) == b
    assert markov.asked("three", c) is None
    for each in (a, c, a, c, a, c):
        markov.asked("four", each)
    assert markov.asked("five", a) == c, "the more frequent one"


# ---------------------------------------------------------------- bytes
def test_an_answer_survives_its_bytes():
    read = decode_kept(encode_kept(KEPT))
    assert (read.made, read.expires, read.label) == (100.0, 200.0, "patient")
    assert list(read.outputs) == list(KEPT.outputs)
    for name, array in KEPT.outputs.items():
        assert read.outputs[name].dtype == array.dtype
        np.testing.assert_array_equal(read.outputs[name], array)


def test_each_damaged_byte_and_each_cut_is_noticed():
    data = encode_kept(KEPT)
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1
        with pytest.raises(IntegrityError):
            decode_kept(bytes(damaged))
        with pytest.raises(IntegrityError):
            decode_kept(data[:at])


def test_what_is_kept_is_its_own_and_cannot_be_changed():
    batch = np.zeros((100, 4), np.float32)
    (array,) = own({"y": batch[3:4]}).values()
    assert array.base is None
    batch[:] = 1
    assert not array.any()
    with pytest.raises(ValueError, match="read-only"):
        array[:] = 1


def test_sealed_bytes_open_with_their_key_and_place_alone():
    data = encode_kept(KEPT)
    sealer, place, other = Sealer(bytes(32)), b"k" * 32, b"l" * 32
    sealed = sealer.seal(data, place)
    assert b"patient" in data
    assert b"patient" not in sealed
    assert sealer.open(sealed, place) == data
    for opener, where, what in (
        (Sealer(b"1" * 32), place, sealed),
        (sealer, other, sealed),
        (sealer, place, sealed[:20]),
        (sealer, place, b""),
    ):
        with pytest.raises(IntegrityError):
            opener.open(what, where)


@pytest.mark.parametrize(("content", "mode"), [(bytes(31), 0o600), (bytes(33), 0o600), (bytes(32), 0o640)])
def test_a_key_has_32_bytes_and_one_reader(tmp_path, content, mode):
    file = tmp_path / "key"
    with pytest.raises(IntegrityError, match="cannot be read"):
        read_secret(file)
    file.write_bytes(content)
    file.chmod(mode)
    with pytest.raises(IntegrityError):
        read_secret(file)
    file.write_bytes(bytes(range(32)))
    file.chmod(0o600)
    assert read_secret(file) == bytes(range(32))
