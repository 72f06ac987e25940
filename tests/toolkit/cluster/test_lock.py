"""The lock on a real API server: one holder, also when another one died, was slow, or was told to give way."""

from __future__ import annotations

import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import urllib3

from toolkit.cluster.lease import holder_of
from toolkit.cluster.lock import Claim, Lock, LockedError, hold
from toolkit.cluster.refusal import RefusedError
from toolkit.cluster.request import Connection
from toolkit.errors import UnreachableError

HOLDER = """
import sys, urllib3
from toolkit.cluster.lock import Claim, hold
from toolkit.cluster.request import Connection
url, token, ca, namespace = sys.argv[1:]
pool = urllib3.PoolManager(ca_certs=ca)
connection = Connection("main", "hospital", url, pool, lambda: {"Authorization": f"Bearer {token}"})
with hold(connection, "site", namespace, Claim("doomed@desk", duration_seconds=5)) as lock:
    print(lock.identity, flush=True)
    sys.stdin.read()
"""
ANNA, BEN = Claim("anna@desk", duration_seconds=60), Claim("ben@desk", duration_seconds=60)
HASTY = replace(ANNA, duration_seconds=2)
"""Looks at its lock often. On a busy machine it may lose it, so a test with it must not say that it has it."""


@pytest.fixture
def namespace(plane) -> str:
    name = f"locks-{secrets.token_hex(4)}"
    plane.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
    return name


@pytest.fixture
def connection(plane) -> Connection:
    return as_user(plane, "tiers")


def as_user(plane, user: str) -> Connection:
    pool = urllib3.PoolManager(ca_certs=str(plane.authority.ca))
    return Connection(
        "main", "hospital", plane.url, pool, lambda: {"Authorization": f"Bearer {plane.tokens[user]}"}
    )


def path(namespace: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/tiers-site"


def test_the_second_one_is_refused_by_name_and_the_lock_is_given_back(connection, namespace, plane):
    with hold(connection, "site", namespace, ANNA) as lock:
        assert lock.reason_to_stop() == ""
        with (
            pytest.raises(LockedError, match=r"anna@desk \w{8}, since 20.*ends at 20") as caught,
            hold(connection, "site", namespace, BEN),
        ):
            pytest.fail("two holders")
        assert caught.value.holder.name == lock.identity
        assert "--wait-for-lock 2m" in caught.value.hint
        assert "--break-lock" in caught.value.hint
        assert caught.value.exit_code == 1
        with hold(connection, "other", namespace, BEN) as other:
            assert other.reason_to_stop() == "", "another topology has a lock of its own"
    assert plane.api.gone(path(namespace))


def test_it_is_given_back_after_an_error_and_after_ctrl_c(connection, namespace, plane):
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), hold(connection, "site", namespace, ANNA):
            raise error
        assert plane.api.gone(path(namespace))


def test_a_holder_that_lives_keeps_it_beyond_its_duration(connection, namespace, plane):
    # A busy machine may be too slow to renew it; then its holder knows, and it is tried with a longer one.
    for seconds in (2, 6, 20):
        patient = replace(BEN, wait_seconds=2 * seconds)
        with hold(connection, "site", namespace, replace(ANNA, duration_seconds=seconds)) as lock:
            first = plane.api.get(path(namespace))["spec"]["renewTime"]
            try:
                with hold(connection, "site", namespace, patient):
                    assert lock.reason_to_stop(), "two holders"
            except LockedError:
                assert plane.api.get(path(namespace))["spec"]["renewTime"] > first
                return
    pytest.fail("it was not renewed")


def test_who_waits_gets_it_when_it_is_given_back(connection, namespace):
    first = Lock(connection, path(namespace), ANNA)
    assert first.take() is None
    giving_back, begin = threading.Timer(0.5, first.release), time.monotonic()
    giving_back.start()
    with hold(connection, "site", namespace, replace(BEN, wait_seconds=60)) as second:
        assert time.monotonic() - begin >= 0.5, "not before"
        assert second.reason_to_stop() == ""
    giving_back.join()


def _watched():
    from toolkit.cluster.lease import Watched

    return Watched()


def test_a_killed_holder_leaves_nothing_that_stays(connection, namespace, plane):
    arguments = [plane.url, plane.tokens["tiers"], str(plane.authority.ca), namespace]
    doomed = subprocess.Popen(
        [sys.executable, "-c", HOLDER, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert doomed.stdin is not None
    assert doomed.stdout is not None
    try:
        name = doomed.stdout.readline().strip()
        with pytest.raises(LockedError) as caught, hold(connection, "site", namespace, BEN):
            pytest.fail("two holders")
        assert caught.value.holder.name == name
        doomed.send_signal(signal.SIGKILL)
        doomed.wait(timeout=60)
    finally:
        doomed.kill()
        doomed.stdin.close()
        doomed.stdout.close()
    assert plane.api.get(path(namespace))["spec"]["holderIdentity"] == name, (
        "the dead one is still written there"
    )
    with hold(connection, "site", namespace, replace(BEN, wait_seconds=60)) as lock:
        found = plane.api.get(path(namespace))["spec"]
        assert (found["holderIdentity"], found["leaseTransitions"]) == (lock.identity, 2)


def test_of_two_that_read_the_same_free_lease_one_wins(connection, namespace, plane):
    spec = {
        "holderIdentity": "dead@desk 0",
        "leaseDurationSeconds": 1,
        "renewTime": "2020-01-01T00:00:00.000000Z",
    }
    plane.api.create(path(namespace).rpartition("/")[0], {"metadata": {"name": "tiers-site"}, "spec": spec})
    anna, ben = (Lock(connection, path(namespace), claim) for claim in (ANNA, BEN))
    seen = [anna._read(), ben._read()]
    assert [lock._may_take(lease, _watched()) for lock, lease in zip((anna, ben), seen, strict=True)] == [
        True
    ] * 2
    assert [lock._write(lease, None) for lock, lease in zip((anna, ben), seen, strict=True)] == [True, False]
    assert holder_of(plane.api.get(path(namespace))).name == anna.identity


def test_of_two_that_find_no_lease_one_wins(connection, namespace, plane):
    anna, ben = (Lock(connection, path(namespace), claim) for claim in (ANNA, BEN))
    assert [anna._write(None, None), ben._write(None, None)] == [True, False]
    assert holder_of(plane.api.get(path(namespace))).name == anna.identity


def test_a_broken_lock_stops_its_holder_and_stays_with_who_broke_it(connection, namespace, plane, wait_until):
    lock = Lock(connection, path(namespace), HASTY)
    assert lock.take() is None
    with hold(connection, "site", namespace, replace(BEN, break_lock=True)) as second:
        wait_until(lambda: f"taken by {second.identity}" in lock.reason_to_stop(), "the first holder sees it")
        assert second.reason_to_stop() == ""
        lock.release()
        assert holder_of(plane.api.get(path(namespace))).name == second.identity, "not given back by another"
    assert plane.api.gone(path(namespace))


def test_a_lease_that_is_gone_is_a_lost_lock(connection, namespace, plane, wait_until):
    with hold(connection, "site", namespace, HASTY) as lock:
        plane.api.delete(path(namespace))
        wait_until(lambda: "gone" in lock.reason_to_stop(), "the holder sees it")


def test_a_renewal_whose_answer_was_lost_is_no_loss(connection, namespace, plane):
    """The Lease has moved on by our own hand: the next renewal meets another resourceVersion."""
    lock = Lock(connection, path(namespace), ANNA)
    assert lock.take() is None
    plane.api.merge(path(namespace), {"metadata": {"labels": {"seen": "yes"}}})
    assert lock._renew() < 60 / 3
    assert lock.reason_to_stop() == ""
    assert lock._renew() == 60 / 3
    lock.release()
    assert plane.api.gone(path(namespace))


def test_silence_of_the_server_stops_the_holder_before_another_may_begin(
    connection, namespace, free_port, wait_until
):
    lock = Lock(connection, path(namespace), HASTY)
    assert lock.take() is None
    lock._connection = replace(connection, host=f"http://127.0.0.1:{free_port()}")
    wait_until(lock.reason_to_stop, "the holder gives up")
    assert "could not be renewed" in lock.reason_to_stop()
    lock.release()


def test_a_broken_lock_is_not_given_back_by_who_did_not_notice(connection, namespace, plane):
    lock = Lock(connection, path(namespace), ANNA)
    assert lock.take() is None
    with hold(connection, "site", namespace, replace(BEN, break_lock=True)) as second:
        lock.release()
        assert holder_of(plane.api.get(path(namespace))).name == second.identity


def test_a_machine_that_slept_has_lost_its_lock(connection, namespace):
    """Its monotonic clock stood still; the time of day went on."""
    with hold(connection, "site", namespace, ANNA) as lock:
        lock._renewed = (time.monotonic(), time.time() - 55)
        assert re.search(r"could not be renewed for 5[5-9] s", lock.reason_to_stop())


def test_nobody_answers(namespace, free_port):
    dead = Connection("main", "hospital", f"http://127.0.0.1:{free_port()}", urllib3.PoolManager(), dict)
    with pytest.raises(UnreachableError), hold(dead, "site", namespace, ANNA):
        pytest.fail("held")


def test_a_place_that_is_not_there_is_made_first(connection, plane):
    place = f"locks-{secrets.token_hex(4)}"
    with pytest.raises(RefusedError, match="not found"), hold(connection, "site", place, ANNA):
        pytest.fail("held nowhere")

    def make() -> None:
        plane.api.create("/api/v1/namespaces", {"metadata": {"name": place}})

    with hold(connection, "site", place, ANNA, make_place=make) as lock:
        assert lock.reason_to_stop() == ""


def test_who_may_not_have_leases_is_told_what_is_needed(plane, namespace):
    with (
        pytest.raises(RefusedError, match="forbidden") as caught,
        hold(as_user(plane, "guest"), "site", namespace, ANNA),
    ):
        pytest.fail("held")
    assert "leases.coordination.k8s.io" in caught.value.hint
