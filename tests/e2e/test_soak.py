"""The soak of benchmarks/soak.py: what it promises of safety holds; figures are only printed.

A phase takes a minute in `make test-all`, and a few seconds elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.housing.house import House
from benchmarks.soaking import phases
from benchmarks.soaking.phases import Found, Times, make_house
from tests.conftest import NOTHING_MAY_BE_MISSING

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(900)]
MINUTE = Times(phase=60.0, swap_every=20.0, kill_every=20.0, warm_up=20.0)
SHORT = Times(phase=6.0, swap_every=2.0, kill_every=2.0, warm_up=2.0)
EMERGENCIES = 5
"""A second: fifty of them wait at most, so a device may stand still for ten seconds before one would be refused."""
TIMES = MINUTE if NOTHING_MAY_BE_MISSING else SHORT


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = make_house(tmp_path / "soak")
    yield house
    house.close()


def assert_safe(found: Found) -> None:
    print(found.kinds)
    assert found.kinds["answered"]
    assert not found.strange
    assert not found.wrong


def test_every_request_has_one_of_three_ends_through_swaps_cuts_kills_and_overload(house: House) -> None:
    swapped = phases.swaps(house, TIMES)
    assert_safe(swapped)
    assert swapped.swaps
    assert swapped.cuts
    print(f"memory {swapped.rss} bytes")

    killed = phases.kills(house, TIMES)
    assert_safe(killed)
    assert killed.away
    assert killed.accepted
    assert not killed.lost, "a record that was accepted is kept"
    assert not killed.doubled
    print(f"away for {killed.away} s")

    crowded = phases.overload(house, TIMES, emergencies=EMERGENCIES)
    assert_safe(crowded)
    assert crowded.by_stream["batch"]["refused 429"], "more came than can be answered"
    assert set(crowded.by_stream["emergency"]) == {"answered"}, "no emergency is shed for it"
    print(
        f"p99 of emergencies {crowded.unloaded_p99 * 1e3:.1f} ms alone, {crowded.loaded_p99 * 1e3:.1f} ms among"
        f" batch requests; one largest batch {crowded.batch_seconds * 1e3:.1f} ms"
    )
