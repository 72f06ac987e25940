"""A Lease is free when nobody renews it, by either clock; a live holder keeps it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from toolkit.cluster.lease import DURATION_SECONDS, SKEW_SECONDS, Watched, holder_of, renewed, taken

NOON = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
BEFORE_END, AFTER_END = DURATION_SECONDS + SKEW_SECONDS - 1, DURATION_SECONDS + SKEW_SECONDS + 1


def held(seconds_ago: float = 0.0, duration: int = DURATION_SECONDS) -> dict:
    return taken(None, "tiers-site", "anna@desk 1", duration, NOON - timedelta(seconds=seconds_ago))


def is_free(lease: dict, watched: Watched | None = None, ticks: float = 0.0) -> bool:
    return (watched or Watched()).is_free(lease, now=NOON, ticks=ticks)


@pytest.mark.parametrize(
    ("ago", "free"), [(0, False), (DURATION_SECONDS + 1, False), (BEFORE_END, False), (AFTER_END, True)]
)
def test_an_old_renewal_frees_it_only_beyond_the_allowance_for_clocks(ago, free):
    assert is_free(held(ago)) is free


def test_a_holder_with_a_clock_far_ahead_is_outwaited_not_outdated():
    """By the time of day it never ends; but nobody renews it while we look."""
    lease, watched = held(seconds_ago=-86_400), Watched()
    assert not is_free(lease, watched, ticks=100.0)
    assert not is_free(lease, watched, ticks=100.0 + DURATION_SECONDS)
    assert is_free(lease, watched, ticks=100.5 + DURATION_SECONDS)


def test_each_renewal_that_is_seen_begins_the_wait_anew():
    lease, watched = held(), Watched()
    assert not is_free(lease, watched, ticks=0.0)
    lease = renewed(lease, NOON + timedelta(seconds=1))
    assert not is_free(lease, watched, ticks=DURATION_SECONDS + 0.5)
    assert not is_free(lease, watched, ticks=2 * DURATION_SECONDS + 0.4)
    assert is_free(lease, watched, ticks=2 * DURATION_SECONDS + 0.6)


def test_what_another_holder_did_not_renew_begins_the_wait_anew():
    watched, other = Watched(), taken(held(), "tiers-site", "ben@desk 2", DURATION_SECONDS, NOON)
    assert not is_free(held(), watched, ticks=0.0)
    assert not is_free(other, watched, ticks=DURATION_SECONDS + 1.0)


@pytest.mark.parametrize(
    "spec", [{}, {"holderIdentity": ""}, {"holderIdentity": None, "renewTime": "2026-11-22T12:00:00.000000Z"}]
)
def test_without_a_holder_it_is_free(spec):
    assert is_free({"spec": spec})
    assert holder_of({"spec": spec}).name == ""


@pytest.mark.parametrize("time", [None, "", "yesterday", "2026-11-22T11:00:00"])
def test_a_time_that_is_none_frees_nothing_at_once(time):
    lease = held()
    lease["spec"]["renewTime"] = time
    assert not is_free(lease)
    assert "does not say" in holder_of(lease).until


@pytest.mark.parametrize("duration", [10**9, None, "long"])
def test_nobody_locks_for_ever(duration):
    lease, watched = held(), Watched()
    lease["spec"]["leaseDurationSeconds"] = duration
    assert not is_free(lease, watched)
    assert is_free(lease, watched, ticks=3601.0)


def test_it_says_who_since_when_and_until_when():
    holder = holder_of(renewed(held(seconds_ago=60), NOON))
    assert holder.name == "anna@desk 1"
    assert holder.since == "2026-11-22T11:59:00.000000Z"
    assert holder.until == "2026-11-22T12:00:30.000000Z"


def test_taking_it_over_keeps_what_the_server_checks_and_counts():
    lease = held()
    lease["metadata"] |= {"uid": "u", "resourceVersion": "7"}
    after = taken(lease, "tiers-site", "ben@desk 2", 5, NOON)
    assert after["metadata"] == {"name": "tiers-site", "uid": "u", "resourceVersion": "7"}
    assert (after["spec"]["leaseTransitions"], after["spec"]["leaseDurationSeconds"]) == (2, 5)
