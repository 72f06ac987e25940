"""The rules of the waiting room, on a clock that the tests turn: places, order, ageing, deadlines."""

from __future__ import annotations

import math
from concurrent.futures import Future
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.serving.admission import LONGEST_RETRY, Admission
from edge_runtime.serving.ask import Priority
from edge_runtime.serving.refusals import OverloadedError
from edge_runtime.serving.ticket import Ticket

URGENT, NORMAL, BATCH = Priority
WIDE = (("x", (9,)),)


def ticket(priority=NORMAL, arrived=0.0, rows=1, mould=(), deadline=math.inf) -> Ticket:
    return Ticket({}, rows, priority, Future(), deadline, mould, arrived)


def fill(room, *tickets):
    for each in tickets:
        assert room.enter(each) is None
    return tickets


def taken(room, max_rows=8, now=0.0):
    batch = room.take(max_rows, now)
    return list(batch.tickets) if batch else []


# ------------------------------------------------------------ places
def test_the_newest_of_the_least_urgent_leaves_for_a_more_urgent_one():
    room = Admission(4)
    _, normal, old, new = fill(room, *(ticket(p, t) for t, p in enumerate((URGENT, NORMAL, BATCH, BATCH))))
    assert room.enter(ticket(NORMAL, 4)) is new
    assert room.enter(ticket(URGENT, 5)) is old
    later = ticket(URGENT, 6)
    assert room.enter(later).arrived == 4
    assert room.enter(ticket(URGENT, 7)) is normal
    assert room.waiting == 4


def test_the_newest_is_found_among_all_shapes():
    room = Admission(3)
    _, newest, _ = fill(room, ticket(BATCH, 0), ticket(BATCH, 2), ticket(BATCH, 1, mould=WIDE))
    assert room.enter(ticket(NORMAL, 3)) is newest


@pytest.mark.parametrize("waiting", Priority)
@pytest.mark.parametrize("arriving", Priority)
def test_who_is_no_more_urgent_than_all_that_wait_is_refused(waiting, arriving):
    room = Admission(2)
    _, newest = fill(room, ticket(waiting, 0), ticket(waiting, 1))
    if arriving < waiting:
        assert room.enter(ticket(arriving, 2)) is newest
    else:
        with pytest.raises(OverloadedError, match="2 requests are waiting"):
            room.enter(ticket(arriving, 2))
    assert room.waiting == 2


def test_a_place_is_free_again_when_its_request_leaves():
    room = Admission(2)
    first, second = fill(room, ticket(), ticket())
    room.forget(first)
    room.forget(first)
    fill(room, ticket())
    assert taken(room, 1) == [second]
    assert room.waiting == 1
    room.forget(second)
    fill(room, ticket())
    assert room.waiting == 2


def test_when_to_come_back_follows_the_queue_and_the_pace():
    room = Admission(100)
    assert room.retry_seconds == 1
    room.pace(4.0, 2)
    fill(room, *(ticket() for _ in range(10)))
    assert room.retry_seconds == 20
    assert room.refusal().retry_seconds == 20
    for _ in range(40):
        room.pace(0.001, 1)
    assert room.retry_seconds == 1
    for _ in range(40):
        room.pace(100.0, 1)
    assert room.retry_seconds == LONGEST_RETRY


# ------------------------------------------------------------ order
def test_a_batch_request_lets_pass_what_comes_within_its_ageing_and_nothing_after_it():
    room = Admission(10, ageing_seconds=5)
    batch, early, late = fill(room, ticket(BATCH, 0), ticket(NORMAL, 4.9), ticket(NORMAL, 5.1))
    urgent = fill(room, ticket(URGENT, 6))[0]
    assert [taken(room, 1)[0] for _ in range(4)] == [urgent, early, batch, late]


def test_nothing_rides_with_an_emergency_that_would_make_its_call_longer():
    room = Admission(10)
    normal, first, second = fill(room, ticket(NORMAL), ticket(URGENT, 1), ticket(URGENT, 2))
    batch = room.take(8, 0)
    assert (batch.tickets, batch.reason) == ((first, second), "urgent")
    assert taken(room) == [normal]


def test_one_that_is_first_goes_next_however_many_rows_it_has():
    room = Admission(10)
    big, *small = fill(room, ticket(rows=8), *(ticket(arrived=1) for _ in range(4)))
    assert taken(room) == [big]
    assert taken(room) == small


def test_those_that_do_not_fit_keep_their_order():
    room = Admission(10)
    first, two, three, one = fill(room, *(ticket(rows=rows) for rows in (7, 2, 3, 1)))
    assert taken(room) == [first, one]
    assert taken(room, 4) == [two]
    assert taken(room, 4) == [three]


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ([], ""),
        ([{}], ""),
        ([{"rows": 7}], "full"),
        ([{"rows": 8}], "full"),
        ([{"mould": WIDE}], "other_shape"),
        ([{"rows": 7}, {"mould": WIDE}], "full"),
    ],
)
def test_why_a_batch_left_without_more(others, reason):
    room = Admission(10)
    fill(room, ticket(), *(ticket(arrived=1, **other) for other in others))
    assert room.take(8, 0).reason == reason


def test_a_room_that_is_empty_gives_no_batch_and_nothing_runs():
    room = Admission(10)
    [first] = fill(room, ticket())
    assert taken(room) == [first]
    assert room.running == (first,)
    assert room.take(8, 0) is None
    assert room.running == ()


# ------------------------------------------------------------ deadlines
def test_what_is_late_or_given_up_is_not_taken():
    room = Admission(10)
    late, given_up, alive, later = fill(
        room, ticket(deadline=5), ticket(), ticket(deadline=5.1), ticket(deadline=4)
    )
    given_up.future.cancel()
    batch = room.take(8, 5)
    assert batch.tickets == (alive,)
    assert batch.late == (late, later)
    assert room.waiting == 0


def test_those_that_are_late_are_told_even_when_nobody_else_waits():
    room = Admission(10)
    [late] = fill(room, ticket(deadline=5))
    batch = room.take(8, 5)
    assert (batch.tickets, batch.late) == ((), (late,))
    assert room.take(8, 5) is None


def test_a_look_at_the_deadlines_finds_those_that_wait_and_those_that_run():
    room = Admission(10)
    runs, runs_long = fill(room, ticket(deadline=5), ticket(deadline=9))
    taken(room)
    late, waits, _ = fill(room, ticket(deadline=4), ticket(BATCH, deadline=8, mould=WIDE), ticket())
    assert room.expire(5) == ([late], [runs], 8)
    assert room.waiting == 2
    assert room.expire(8) == ([waits], [runs], 9)
    assert room.expire(9) == ([], [runs, runs_long], math.inf)


@pytest.mark.parametrize(
    ("tickets", "until"),
    [
        ([], (-math.inf, "")),
        ([{}], (12, "delay")),
        ([{"deadline": 100}], (12, "delay")),
        ([{"deadline": 11.5}], (11, "deadline")),
        ([{}, {"deadline": 11.5}], (11, "deadline")),
        ([{}, {"deadline": 11.5, "mould": WIDE, "arrived": 11}], (12, "delay")),
        ([{"priority": URGENT}], (-math.inf, "")),
        ([{"rows": 3}, {"rows": 5}], (-math.inf, "")),
    ],
)
def test_how_long_the_first_waits_for_company(tickets, until):
    room = Admission(10)
    fill(room, *(ticket(**{"arrived": 10, **each}) for each in tickets))
    assert room.gather_until(8, 2, 0.5) == until


# ------------------------------------------------------------ bounds
@dataclass
class Run:
    """An engine that works without a pause, on a clock of its own: one call lasts as many seconds as it has rows."""

    places: int
    max_rows: int
    ageing: int
    now: float = 0.0
    calls: list = field(default_factory=list)
    """(began, seconds, tickets)."""
    shed: list = field(default_factory=list)

    def play(self, arrivals):
        room = Admission(self.places, ageing_seconds=self.ageing)
        coming = [ticket(priority, when, rows, mould) for when, priority, rows, mould in arrivals]
        everything = list(coming)
        while coming or room.waiting:
            if not room.waiting:
                self.now = max(self.now, coming[0].arrived)
            while coming and coming[0].arrived <= self.now:
                self._enter(room, coming.pop(0))
            batch = room.take(self.max_rows, self.now)
            seconds = sum(each.rows for each in batch.tickets)
            self.calls.append((self.now, seconds, batch.tickets))
            self.now += seconds
            assert room.waiting <= self.places
        return everything

    def _enter(self, room, each):
        try:
            shed = room.enter(each)
        except OverloadedError:
            shed = each
        if shed is not None:
            self.shed.append(shed)


GAPS = st.integers(0, 3)
ARRIVAL = st.tuples(
    st.sampled_from((0, 0, 1, 3)),
    st.sampled_from((URGENT, NORMAL, NORMAL, NORMAL, BATCH)),
    st.integers(1, 3),
    st.sampled_from(((), (), WIDE)),
)


@given(st.lists(ARRIVAL, max_size=60), st.integers(1, 5), st.integers(3, 4), st.integers(0, 6))
def test_everybody_is_served_once_or_shed_and_nobody_waits_beyond_the_bound(gaps, places, max_rows, ageing):
    when, arrivals = 0, []
    for gap, *rest in gaps:
        when += gap
        arrivals.append((when, *rest))
    run = Run(places, max_rows, ageing)
    everything = run.play(arrivals)
    served = [each for _, _, batch in run.calls for each in batch]
    assert sorted(map(id, [*served, *run.shed])) == sorted(map(id, everything))
    for number, (began, seconds, batch) in enumerate(run.calls):
        assert seconds <= max_rows
        assert len({each.mould for each in batch}) == 1
        assert len({each.priority is URGENT for each in batch}) == 1
        for each in batch:
            since = each.arrived + (ageing if each.priority is BATCH else 0)
            before = [call for call in run.calls[:number] if call[0] >= each.arrived]
            if each.priority is URGENT:
                assert all(b[0].priority is URGENT and b[0].arrived <= each.arrived for _, _, b in before)
            emergencies = sum(s for at, s, b in run.calls[:number] if at >= since and b[0].priority is URGENT)
            assert began <= since + places * max_rows + emergencies


def test_an_engine_that_normal_requests_keep_busy_for_ever_still_comes_to_a_batch_request():
    run = Run(places=4, max_rows=1, ageing=6)
    arrivals = [(0, NORMAL, 1, ()), (0, BATCH, 1, ()), *((when, NORMAL, 1, ()) for when in range(1, 60))]
    run.play(arrivals)
    [began] = [began for began, _, batch in run.calls if batch[0].priority is BATCH]
    assert 6 <= began <= 6 + 4
