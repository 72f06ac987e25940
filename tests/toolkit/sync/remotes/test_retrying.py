"""Patience: the contract, what is asked again and for how long, and the truth about objects that were stored unseen."""

from __future__ import annotations

import random

import pytest

from tests.contracts.remote import MemoryRemote, RemoteContract, UnluckyRemote
from toolkit.errors import IntegrityError, RemoteRefusedError, RemoteUnavailableError
from toolkit.sync.remotes.remote import Found
from toolkit.sync.remotes.retrying import Patience, RetryingRemote


class Clock:
    """Time that passes only where somebody waits."""

    def __init__(self):
        self.now = 0.0
        self.waits = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.waits.append(seconds)
        self.now += seconds


def patient(inner, clock=None, patience=None, chance=lambda: 1.0):
    clock = clock or Clock()
    return RetryingRemote(inner, patience, clock=clock, sleep=clock.sleep, chance=chance)


class TestRetryingRemote(RemoteContract):
    """Every third request is lost, and every third answer: nobody notices."""

    @pytest.fixture
    def remote(self):
        return patient(UnluckyRemote(UnluckyRemote(MemoryRemote(), every=3), every=3, after=True))


class Failing:
    """Fails as a script says, then does what the Remote inside does."""

    def __init__(self, inner, *errors):
        self.inner, self.errors, self.calls = inner, list(errors), 0

    def __getattr__(self, name):
        def call(*args, **words):
            self.calls += 1
            if self.errors:
                raise self.errors.pop(0)
            return getattr(self.inner, name)(*args, **words)

        return call


LOST = RemoteUnavailableError("lost")


def test_it_waits_longer_each_time_and_then_gives_up_with_the_last_error():
    clock = Clock()
    inner = Failing(MemoryRemote(), *[LOST] * 9)
    with pytest.raises(RemoteUnavailableError, match="lost"):
        patient(inner, clock).read("refs/a")
    assert inner.calls == 6
    assert clock.waits == [0.2, 0.4, 0.8, 1.6, 3.2]


def test_no_attempt_begins_after_the_deadline():
    clock = Clock()
    inner = Failing(MemoryRemote(), *[LOST] * 99)
    with pytest.raises(RemoteUnavailableError):
        patient(inner, clock, Patience(attempts=99, seconds=5.0)).exists("refs/a")
    assert clock.now <= 5.0
    assert inner.calls == 1 + len(clock.waits)


def test_waits_are_scattered():
    clock, draw = Clock(), random.Random(1)
    inner = Failing(MemoryRemote(), *[LOST] * 5)
    patient(inner, clock, chance=draw.random).write("refs/a", b"x")
    assert len(set(clock.waits)) == 5
    assert all(wait < 0.2 * 2**number for number, wait in enumerate(clock.waits))


@pytest.mark.parametrize("error", [RemoteRefusedError("no"), IntegrityError("damaged")])
def test_a_no_is_a_no(error):
    inner = Failing(MemoryRemote(), error)
    with pytest.raises(type(error)):
        patient(inner).read("refs/a")
    assert inner.calls == 1


def test_an_object_that_was_stored_without_an_answer_is_found_to_be_ours():
    inner = MemoryRemote()
    assert patient(UnluckyRemote(inner, every=1, times=1, after=True)).write_new("refs/a", b"mine")
    assert inner.read("refs/a") == b"mine"


def test_an_object_of_somebody_else_is_not_ours_whatever_was_lost():
    inner = MemoryRemote()
    inner.write("refs/a", b"theirs")
    for after in (False, True):
        remote = patient(UnluckyRemote(inner, every=1, times=1, after=after))
        assert not remote.write_new("refs/a", b"mine")
    assert inner.read("refs/a") == b"theirs"


def test_equal_bytes_that_were_there_before_are_not_ours_when_nothing_was_lost():
    inner = MemoryRemote()
    inner.write("refs/a", b"same")
    assert not patient(inner).write_new("refs/a", b"same")


def test_a_delete_whose_answer_was_lost_has_deleted():
    inner = MemoryRemote()
    inner.write("refs/a", b"x")
    patient(UnluckyRemote(inner, every=1, times=1, after=True)).delete("refs/a")
    assert not inner.exists("refs/a")


class Tearing:
    """A Remote whose listings break off after a number of keys."""

    def __init__(self, inner, after):
        self.inner, self.after, self.begun = inner, after, 0

    def list(self, prefix=""):
        self.begun += 1
        for number, found in enumerate(self.inner.list(prefix)):
            if number == self.after * self.begun:
                raise LOST
            yield found


def test_a_listing_that_breaks_off_goes_on_behind_the_last_key():
    inner = MemoryRemote()
    for number in range(20):
        inner.write(f"packs/{number:02}", b"x")
    tearing = Tearing(inner, 7)
    assert list(patient(tearing).list("packs/")) == [Found(f"packs/{number:02}", 1) for number in range(20)]
    assert tearing.begun == 3
