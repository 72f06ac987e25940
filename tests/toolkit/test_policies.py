"""The rules of tiers.yaml become a document that sync can carry out without it."""

from __future__ import annotations

from typing import get_args

import pytest

from toolkit.errors import UsageError
from toolkit.policies import policy_of
from toolkit.sync.policies import policy as document
from toolkit.sync.policies.policy import Keep, Match, Rule, decode_policy, encode_policy
from toolkit.topology import lifecycle

LIFECYCLE = {
    "trash": "14d",
    "kinds": {"image": ["*.dcm", "scans/**"]},
    "rules": {
        "keep-court": {"action": "hold", "match": {"tags": {"court": "yes"}}},
        "thin": {
            "action": "expire",
            "from": "hot",
            "match": {"kind": "checkpoint", "older_than": "2d", "smaller_than": "1TiB"},
            "keep": {"best": 3, "metric": "dice", "of": "folders"},
        },
        "archive": {
            "action": "move",
            "from": "warm",
            "to": "cold",
            "match": {"path": "studies/**", "larger_than": "1MiB", "not_read_for": "90d"},
        },
    },
}


def test_every_condition_is_carried(topology):
    site = topology({"lifecycle": LIFECYCLE})
    policy = policy_of(site)
    assert policy.trash_seconds == 14 * 86400
    assert policy.kinds == {"image": ("*.dcm", "scans/**")}
    assert policy.rules == (
        Rule(name="keep-court", action="hold", match=Match(tags={"court": "yes"})),
        Rule(
            name="thin",
            action="expire",
            tier="hot",
            match=Match(kind="checkpoint", older_than_seconds=172800.0, smaller_than_bytes=2**40),
            keep=Keep(best=3, metric="dice", of="folders"),
        ),
        Rule(
            name="archive",
            action="move",
            tier="warm",
            to="cold",
            match=Match(path="studies/**", larger_than_bytes=2**20, not_read_for_seconds=90 * 86400.0),
        ),
    )
    assert decode_policy(encode_policy(policy)) == policy


def test_the_numbers_of_a_tier(topology):
    changes = {
        "tiers": {
            "hot": {
                "storage": {"url": "file:///mnt/scratch", "capacity": "100TB"},
                "watermarks": {"high": "80%", "low": "60%"},
                "copies_elsewhere": 2,
            },
            "cold": {"residency": "90d", "latency": "4h"},
        },
        "prices": {
            "currency": "CHF",
            "gib_month": {"hot": 0.2, "cold": 0.004},
            "thousand_requests": {"cold": 0.05},
        },
    }
    policy = policy_of(topology(changes))
    hot, warm, cold = policy.tiers
    assert (hot.high, hot.low, hot.copies, hot.places[0].capacity_bytes) == (0.8, 0.6, 2, 10**14)
    assert (warm.high, warm.low, warm.copies, len(warm.places)) == (1.0, 1.0, 1, 2)
    assert (cold.residency_seconds, cold.latency_seconds) == (90 * 86400.0, 14400.0)
    assert (cold.gib_month, cold.thousand_requests, policy.currency) == (0.004, 0.05, "CHF")
    assert cold.places[0].storage.layout == "packs"


def test_devices_are_left_out(hospital):
    assert [terms.tier for terms in policy_of(hospital).tiers] == ["hot", "warm", "cold"]


def test_a_site_whose_servers_keep_nothing_has_no_policy(hospital):
    bare = {name: tier.model_copy(update={"storage": ()}) for name, tier in hospital.tiers.items()}
    with pytest.raises(UsageError, match="no tier but edge"):
        policy_of(hospital.model_copy(update={"tiers": bare}))


def test_the_words_are_the_same_on_both_sides():
    assert get_args(lifecycle.Kind) == get_args(document.Kind)
    rule = lifecycle.LifecycleRule.model_fields["action"].annotation
    assert get_args(rule) == get_args(document.Action)
