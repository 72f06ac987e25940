"""Room is made from the high mark to the low one: least recently read, then largest; never what must stay."""

from __future__ import annotations

from tests.toolkit.sync.policies.facts import NOW, facts, policy
from toolkit.sync.policies.evict import evict
from toolkit.sync.policies.policy import Match, Place, Rule
from toolkit.sync.policies.rules import decide
from toolkit.sync.task import Storage

PLACE = Place(storage=Storage(tier="hot", url="file:///hot"), capacity_bytes=1000)
MARKS = {"high": 0.8, "low": 0.5, "copies": 1}


def evicted(found, used=None, *rules, **terms):
    a_policy = policy(*rules, hot=MARKS | terms)
    decisions = decide(found, a_policy, NOW)
    used = sum(each.size for each in found) if used is None else used
    return evict(PLACE, a_policy.terms("hot"), decisions, used)


def names(eviction):
    return [each.facts.path.decode() for each in eviction.leaving]


def test_least_recently_read_first_then_the_largest_until_the_low_mark():
    found = [
        facts("young", size=200, read=1, on=["warm"]),
        facts("small", size=100, read=9, on=["warm"]),
        facts("large", size=300, read=9, on=["warm"]),
        facts("oldest", size=100, read=20, on=["warm"]),
        facts("new", size=250, read=0, on=["warm"]),
    ]
    result = evicted(found)
    assert names(result) == ["oldest", "large", "small"]
    assert (result.goal_bytes, result.short_bytes) == (500, 0)


def test_nothing_leaves_at_the_high_mark_or_below():
    found = [facts("a", size=800, read=9, on=["warm"])]
    assert names(evicted(found)) == []
    assert names(evicted(found, 801)) == ["a"]


def test_what_must_stay_stays_and_the_rest_is_said():
    found = [
        facts("held", size=300, on=["warm"], held="court"),
        facts("pinned", size=300, on=["warm"], pinned="gang"),
        facts("alone", size=300),
        facts("early", size=300, on=["warm"], there=2),
        facts("by-rule", size=300, on=["warm"]),
        facts("may", size=10, on=["warm"]),
    ]
    guard = Rule(name="guard", action="pin", match=Match(path="by-rule"))
    result = evicted(found, None, guard, residency_seconds=3 * 86400.0)
    assert names(result) == ["may"]
    assert result.short_bytes == 1510 - 500 - 10


def test_as_many_copies_as_the_tier_asks_for():
    found = [facts("one", size=600, on=["warm"]), facts("two", size=400, on=["warm", "cold"])]
    assert names(evicted(found, copies=2)) == ["two"]
    twice = [facts("one", size=900, on=["warm", "warm"])]
    assert names(evicted(twice, copies=2)) == []


def test_what_rules_take_away_is_not_taken_twice():
    found = [facts("a", size=900, on=["warm"])]
    assert names(evicted(found, None, Rule(name="r", action="demote"))) == []


def test_without_a_capacity_nothing_is_evicted():
    a_policy = policy(hot=MARKS)
    bare = Place(storage=Storage(tier="hot", url="file:///hot"))
    assert evict(bare, a_policy.terms("hot"), [], 10**15).leaving == ()
