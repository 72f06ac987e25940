"""Work in several clusters at once: a result each, and the exit code of the whole."""

from __future__ import annotations

import os
import signal
import threading

import pytest
import urllib3

from toolkit.cluster.many import ClusterResult, in_each, raise_for_clusters, values_of
from toolkit.cluster.request import Connection
from toolkit.errors import ClusterError, PartlyAppliedError, TiersError, UnreachableError, UsageError

GOOD = ClusterResult("main", "hospital", "fine")


def connections(*names: str) -> list[Connection]:
    return [
        Connection(name, f"context-{name}", "http://127.0.0.1:1", urllib3.PoolManager(), dict)
        for name in names
    ]


def failed(error: TiersError, name: str = "other") -> ClusterResult[str]:
    return ClusterResult(name, f"context-{name}", error=error)


def test_one_result_each_in_order_and_all_at_the_same_time():
    together = threading.Barrier(3, timeout=60)

    def work(connection: Connection) -> str:
        together.wait()  # passes only when all three are here
        return connection.cluster.upper()

    results = in_each(connections("a", "b", "c"), work)
    assert [(each.cluster, each.context, each.value) for each in results] == [
        ("a", "context-a", "A"),
        ("b", "context-b", "B"),
        ("c", "context-c", "C"),
    ]
    raise_for_clusters(results)


def test_what_fails_in_one_does_not_stop_the_others():
    def work(connection: Connection) -> str:
        if connection.cluster == "b":
            raise ClusterError("no", hint="this way")
        return connection.cluster

    results = in_each(connections("a", "b", "c"), work)
    assert values_of(results) == ["a", "c"]
    assert results[1].error.message == "no"
    with pytest.raises(PartlyAppliedError, match=r"1 of 3 clusters:\n  b: no") as caught:
        raise_for_clusters(results)
    assert (caught.value.exit_code, caught.value.hint) == (4, "this way")


def test_a_silent_cluster_ends_with_5_also_when_the_others_are_fine():
    results = [
        GOOD,
        failed(ClusterError("no", hint="a")),
        failed(UnreachableError("silent", hint="b"), "third"),
    ]
    with pytest.raises(UnreachableError, match=r"2 of 3 clusters:\n  other: no\n  third: silent") as caught:
        raise_for_clusters(results)
    assert (caught.value.exit_code, caught.value.hint) == (5, "a\n   or: b")


def test_one_alone_ends_by_its_own_error():
    alone = UsageError("no such thing")
    with pytest.raises(UsageError) as caught:
        raise_for_clusters([failed(alone)])
    assert caught.value is alone


def test_when_nothing_worked_the_first_error_counts():
    first = ClusterError("first")
    with pytest.raises(ClusterError) as caught:
        raise_for_clusters([failed(first), failed(ClusterError("second"))])
    assert caught.value is first


def test_no_cluster_is_no_work():
    assert in_each([], lambda _: pytest.fail("called")) == ()
    raise_for_clusters([])


def test_a_mistake_of_ours_is_no_result():
    def work(connection: Connection) -> str:
        raise KeyError(connection.cluster)

    with pytest.raises(KeyError):
        in_each(connections("a"), work)


def test_ctrl_c_lets_the_work_end_and_goes_on_as_ctrl_c():
    stop, ended = threading.Event(), []
    pressing = threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT])

    def work(connection: Connection) -> str:
        if connection.cluster == "b":  # the last one: now all of them are under way
            pressing.start()
        assert stop.wait(60), "told to stop"
        ended.append(connection.cluster)
        return ""

    with pytest.raises(KeyboardInterrupt):
        in_each(connections("a", "b"), work, stop=stop)
    assert sorted(ended) == ["a", "b"]
