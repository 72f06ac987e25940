"""When another machine is left alone, and for how long."""

from __future__ import annotations

from edge_runtime.serving.breaker import FAILURES, FIRST_PAUSE, LONGEST_PAUSE, Breaker


def fail(breaker, now, times=1):
    for _ in range(times):
        assert breaker.allows(now)
        breaker.failed(now)


def test_it_opens_after_some_failures_in_a_row_and_not_for_single_ones():
    breaker = Breaker()
    for _ in range(10):
        fail(breaker, 0, FAILURES - 1)
        assert breaker.allows(0)
        breaker.answered()
    fail(breaker, 0, FAILURES)
    assert not breaker.closed
    assert not breaker.allows(0)


def test_after_the_pause_one_question_goes_through_and_its_answer_closes_it():
    breaker = Breaker()
    fail(breaker, 0, FAILURES)
    assert not breaker.allows(FIRST_PAUSE - 0.01)
    assert breaker.allows(FIRST_PAUSE)
    assert not breaker.allows(FIRST_PAUSE)
    breaker.answered()
    assert breaker.closed
    assert breaker.allows(FIRST_PAUSE)
    fail(breaker, FIRST_PAUSE, FAILURES - 1)
    assert breaker.closed


def test_each_failed_probe_doubles_the_pause_up_to_the_longest():
    breaker, now, pauses = Breaker(), 0.0, []
    fail(breaker, now, FAILURES)
    for _ in range(9):
        began = now
        while not breaker.allows(now):
            now += 0.5
        pauses.append(now - began)
        breaker.failed(now)
    assert pauses == [1, 2, 4, 8, 16, 32, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]


def test_a_probe_that_says_nothing_lets_the_next_one_try():
    breaker = Breaker()
    fail(breaker, 0, FAILURES)
    assert breaker.allows(FIRST_PAUSE)
    breaker.unsaid()
    assert not breaker.closed
    assert breaker.allows(FIRST_PAUSE)


def test_a_server_that_asks_for_time_gets_it_at_once_and_no_more_than_the_longest_pause():
    breaker = Breaker()
    breaker.failed(0, pause=5)
    assert not breaker.allows(4.9)
    assert breaker.allows(5)
    breaker.failed(5, pause=10_000)
    assert not breaker.allows(5 + LONGEST_PAUSE - 1)
    assert breaker.allows(5 + LONGEST_PAUSE)


def test_failures_of_questions_that_were_on_their_way_do_not_shorten_the_pause():
    breaker = Breaker()
    breaker.failed(0, pause=30)
    breaker.failed(1, pause=2)
    assert not breaker.allows(29)
