"""The first rule that matches decides; holds and pins beat every rule; what is kept is kept; time is an argument."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.toolkit.sync.policies.facts import DAY, NOW, facts, policy
from toolkit.errors import IntegrityError
from toolkit.sync.policies.policy import Keep, Match, Policy, Rule, decode_policy, encode_policy
from toolkit.sync.policies.rules import decide, explain, span

OLD = Rule(name="old", action="demote", match=Match(older_than_seconds=30 * 86400))
ALL = Rule(name="all", action="expire")


def one(found, a_policy):
    (decision,) = decide([found], a_policy, NOW)
    return decision


def test_the_first_rule_that_matches_decides():
    both = policy(OLD, ALL)
    assert (one(facts("a", age=31), both).deed, one(facts("a", age=31), both).to) == ("move", "warm")
    assert one(facts("a", age=29), both).deed == "expire"
    assert one(facts("a", age=31), policy(ALL, OLD)).deed == "expire"
    assert one(facts("a", age=29), policy(OLD)).reason == "no rule matches"


@pytest.mark.parametrize(
    ("match", "yes", "no"),
    [
        (Match(path="studies/**"), facts("studies/7/a"), facts("other/studies/7")),
        (Match(path="*.dcm"), facts("x/y/a.dcm"), facts("a.dcm.part")),
        (Match(kind="model"), facts("m", kind="model"), facts("m", kind="image")),
        (Match(larger_than_bytes=100), facts("a", size=101), facts("a", size=100)),
        (Match(smaller_than_bytes=100), facts("a", size=99), facts("a", size=100)),
        (Match(older_than_seconds=86400), facts("a", age=1), facts("a", age=0.9)),
        (Match(not_read_for_seconds=86400), facts("a", read=1), facts("a", read=0.5)),
        (Match(not_read_for_seconds=86400), facts("a", there=2), facts("a", there=0.5)),
        (Match(tags={"keep": "no"}), facts("a", tags={"keep": "no"}), facts("a", tags={"keep": "yes"})),
    ],
)
def test_each_condition(match, yes, no):
    a_policy = policy(Rule(name="r", action="expire", match=match))
    assert one(yes, a_policy).deed == "expire"
    assert one(no, a_policy).deed == "stay"


def test_a_recent_arrival_counts_as_read():
    rule = Rule(name="r", action="expire", match=Match(not_read_for_seconds=10 * 86400))
    assert one(facts("a", there=1, read=50, age=300), policy(rule)).deed == "stay"


def test_a_rule_looks_at_its_tier():
    rule = Rule(name="r", action="expire", tier="warm")
    assert one(facts("a", tier="hot"), policy(rule)).deed == "stay"
    assert one(facts("a", tier="warm"), policy(rule)).deed == "expire"


def test_the_way_of_each_action():
    assert one(facts("a"), policy(Rule(name="r", action="copy", to="cold"))).deed == "copy"
    assert one(facts("a", on=["cold"]), policy(Rule(name="r", action="copy", to="cold"))).deed == "stay"
    assert one(facts("a", on=["cold"]), policy(Rule(name="r", action="move", to="cold"))).deed == "move"
    recalled = one(facts("a", tier="cold"), policy(Rule(name="r", action="recall")))
    assert (recalled.deed, recalled.to) == ("copy", "warm")
    assert "colder" in one(facts("a", tier="cold"), policy(Rule(name="r", action="demote"))).reason
    assert "already" in one(facts("a", tier="cold"), policy(Rule(name="r", action="move", to="cold"))).reason


@pytest.mark.parametrize("word", ["pin", "hold"])
def test_a_rule_that_guards_beats_every_other_wherever_it_stands(word):
    guard = Rule(name="guard", action=word, match=Match(path="a"))
    for rules in ((ALL, guard), (guard, ALL)):
        decision = one(facts("a"), policy(*rules))
        assert (decision.deed, decision.rule, decision.guarded) == ("stay", "guard", True)
    assert one(facts("b"), policy(ALL, guard)).deed == "expire"


def test_holds_and_pins_of_people_beat_every_rule_and_let_copies_pass():
    assert "court" in one(facts("a", held="case-7: court order"), policy(ALL)).reason
    assert "gang" in one(facts("a", pinned="gang"), policy(OLD, ALL)).reason
    copied = one(facts("a", held="x"), policy(Rule(name="r", action="copy", to="cold")))
    assert (copied.deed, copied.guarded) == ("copy", True)


def test_nothing_leaves_before_its_residency():
    bound = policy(ALL, hot={"residency_seconds": 90 * 86400.0})
    early = one(facts("a", there=89.9), bound)
    assert (early.deed, early.guarded) == ("stay", True)
    assert "at least 90 d" in early.reason
    assert one(facts("a", there=90), bound).deed == "expire"


def test_a_clock_that_runs_behind_guards_nothing_where_there_is_no_residency():
    assert one(facts("a", there=-1), policy(ALL)).deed == "expire"


def left(found, keep):
    rule = Rule(name="r", action="expire", keep=keep)
    return {each.facts.path.decode() for each in decide(found, policy(rule), NOW) if each.deed == "expire"}


def test_the_last_stay_in_each_folder():
    steps = [facts(f"{folder}/step-{n}", age=100 - n) for folder in "xy" for n in range(8, 12)]
    assert left(steps, Keep(last=2)) == {"x/step-8", "x/step-9", "y/step-8", "y/step-9"}
    same_time = [facts(f"x/step-{n}", age=5) for n in (10, 9, 2)]
    assert left(same_time, Keep(last=1)) == {"x/step-2", "x/step-9"}


def test_each_kth_stays_counted_from_the_oldest():
    steps = [facts(f"x/step-{n}", age=100 - n) for n in range(7)]
    assert left(steps, Keep(every=3)) == {"x/step-1", "x/step-2", "x/step-4", "x/step-5"}


def test_the_best_stay_and_what_was_not_measured_yet():
    steps = [facts(f"x/{n}", metrics={"dice": value}) for n, value in enumerate((0.7, 0.9, 0.8))]
    assert left([*steps, facts("x/new")], Keep(best=2, metric="dice")) == {"x/0"}
    assert left(steps, Keep(best=1, metric="loss")) == set()


def test_folders_stay_or_go_as_a_whole():
    shards = [facts(f"run/step-{n}/shard-{m}", age=10 - n - m / 10) for n in range(3) for m in range(2)]
    assert left(shards, Keep(last=1, of="folders")) == {
        f"run/step-{n}/shard-{m}" for n in range(2) for m in range(2)
    }


def test_what_an_earlier_rule_took_does_not_count_among_the_kept():
    early = Rule(name="early", action="demote", match=Match(path="x/step-9"))
    rule = Rule(name="r", action="expire", keep=Keep(last=1))
    found = [facts(f"x/step-{n}", age=10 - n) for n in range(7, 10)]
    assert [each.deed for each in decide(found, policy(early, rule), NOW)] == ["expire", "stay", "move"]


def test_every_rule_is_explained():
    pin = Rule(name="pinned", action="pin", match=Match(kind="model"))
    lines = dict(explain(facts("a.dcm", age=31), policy(pin, OLD, ALL), NOW))
    assert lines == {
        "pinned": "it is of no known kind, not of the kind model",
        "old": "matches",
        "all": "matches, but an earlier rule decides",
    }
    assert dict(explain(facts("a", age=1), policy(OLD), NOW))["old"] == "it changed 24 h ago, not 30 d"


def test_lengths_of_time_for_people():
    assert [span(x) for x in (90_000, 10_000, 3 * 3_600_000, 3 * DAY)] == ["90 s", "10 s", "3 h", "3 d"]


NAMES = st.sampled_from(["a", "b", "x/a", "x/b.dcm", "x/y/c.onnx", "checkpoints/step-1"])
RULES = st.builds(
    lambda action, to, **other: Rule(
        action=action, to=to if action in {"copy", "move", "demote", "recall"} else "", **other
    ),
    name=st.uuids().map(str),
    action=st.sampled_from(["copy", "move", "demote", "recall", "expire", "pin", "hold"]),
    to=st.just("cold"),
    match=st.builds(
        Match,
        path=st.sampled_from(["", "*.dcm", "x/**", "**"]),
        older_than_seconds=st.sampled_from([0.0, 86400.0]),
        larger_than_bytes=st.sampled_from([0, 50]),
    ),
    keep=st.sampled_from([Keep(), Keep(last=1), Keep(every=2)]),
)
FACTS = st.builds(
    facts,
    NAMES,
    tier=st.sampled_from(["hot", "warm", "cold"]),
    size=st.sampled_from([1, 100]),
    age=st.sampled_from([0, 2]),
    there=st.sampled_from([0.5, 10]),
    held=st.sampled_from(["", "court"]),
    pinned=st.sampled_from(["", "gang"]),
)


@given(st.lists(FACTS, max_size=8), st.lists(RULES, max_size=5))
def test_properties_of_every_decision(found, rules):
    a_policy = policy(*rules, warm={"residency_seconds": 86400.0})
    decisions = decide(found, a_policy, NOW)
    assert [each.facts for each in decisions] == found
    assert decide(found, a_policy, NOW) == decisions
    guarded_by_rule = [rule for rule in rules if rule.action in {"pin", "hold"}]
    for each in decisions:
        assert each.reason
        takes_away = each.deed in {"move", "expire"}
        assert not (takes_away and (each.facts.held or each.facts.pinned or each.guarded))
        assert not (takes_away and each.facts.tier == "warm" and each.facts.since_ms > NOW - DAY)
        matching = [name for name, why in explain(each.facts, a_policy, NOW) if why == "matches"]
        guards = {rule.name for rule in guarded_by_rule}
        assert not (takes_away and guards & set(matching))
        if takes_away or each.deed == "copy":
            assert [name for name in matching if name not in guards] == [each.rule]
            assert each.to != each.facts.tier


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"to": "attic", "action": "move"}, "attic"),
        ({"action": "copy"}, "where to copy"),
        ({"action": "expire", "to": "cold"}, "does not know"),
        ({"action": "move", "tier": "hot", "to": "hot"}, "to itself"),
        ({"action": "expire", "keep": Keep(last=1, every=2)}, "more than one"),
        ({"action": "expire", "keep": Keep(best=1)}, "metric"),
        ({"action": "expire", "match": Match(path="/abs")}, "not a pattern"),
        ({"action": "expire", "match": Match(older_than_seconds=-1)}, "negative"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(wrong, said):
    with pytest.raises(IntegrityError, match=said):
        policy(Rule(name="r", **wrong))


def test_a_policy_survives_the_way_to_its_agent():
    sent = policy(OLD, ALL, hot={"copies": 2, "high": 0.85, "low": 0.7})
    assert decode_policy(encode_policy(sent)) == sent
    with pytest.raises(IntegrityError, match="number that cannot be"):
        policy(warm={"copies": 0})
    with pytest.raises(IntegrityError, match="twice"):
        policy(ALL, ALL)
    with pytest.raises(IntegrityError, match="not a Policy"):
        decode_policy(encode_policy(sent).replace(b'"site"', b'"sight"'))
    assert isinstance(sent, Policy)
