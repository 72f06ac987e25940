"""tiers.yaml → Policy: the document with which an agent or `tiers sync lifecycle` hands the rules to sync.

Pure. Stands between Topology and `toolkit.sync.policies`, beside `routes`, whose storages it uses. Devices are left
out: their data leave by routes, and their folders cannot be seen from here.
"""

from __future__ import annotations

from toolkit.errors import UsageError
from toolkit.routes import place_of
from toolkit.sync.policies.policy import Keep, Match, Place, Policy, Rule, Terms, check_policy
from toolkit.topology.lifecycle import LifecycleKeep, LifecycleMatch, LifecycleRule, Watermarks
from toolkit.topology.names import TIER_NAMES, TierName
from toolkit.topology.network import Prices
from toolkit.topology.topology import Topology

_SERVERS: tuple[TierName, ...] = tuple(tier for tier in TIER_NAMES if tier != "edge")


def policy_of(topology: Topology) -> Policy:
    """Fill in the places and numbers of a site's rules.

    Args:
        topology: all of tiers.yaml.

    Raises:
        UsageError: no tier but edge has a storage.
        IntegrityError: a rule or a number cannot be carried out.
    """
    tiers = tuple(_terms(topology, tier) for tier in _SERVERS if tier in topology.tiers)
    if not any(terms.places for terms in tiers):
        raise UsageError("no tier but edge has a storage, so nothing can age", hint="write tiers.hot.storage")
    lifecycle, prices = topology.lifecycle, topology.prices
    policy = Policy(
        site=topology.name,
        tiers=tiers,
        rules=tuple(_rule(name, rule) for name, rule in lifecycle.rules.items()),
        kinds={kind: tuple(patterns) for kind, patterns in lifecycle.kinds.items()},
        trash_seconds=lifecycle.trash.seconds,
        currency=prices.currency if prices else Prices().currency,
    )
    return check_policy(policy, what="lifecycle")


def _terms(topology: Topology, name: TierName) -> Terms:
    tier, prices = topology.tiers[name], topology.prices or Prices()
    marks = tier.watermarks or Watermarks.model_validate({"high": "100%", "low": "100%"})
    return Terms(
        tier=name,
        places=tuple(
            Place(
                storage=place_of(name, storage),
                capacity_bytes=storage.capacity.count if storage.capacity and tier.watermarks else 0,
            )
            for storage in tier.storage
        ),
        residency_seconds=tier.residency.seconds if tier.residency else 0.0,
        latency_seconds=tier.latency.seconds if tier.latency else 0.0,
        high=marks.high.fraction,
        low=marks.low.fraction,
        copies=tier.copies_elsewhere,
        gib_month=prices.gib_month.get(name, 0.0),
        thousand_requests=prices.thousand_requests.get(name, 0.0),
    )


def _rule(name: str, rule: LifecycleRule) -> Rule:
    return Rule(
        name=name,
        action=rule.action,
        tier=rule.source or "",
        to=rule.target or "",
        match=_match(rule.match),
        keep=_keep(rule.keep) if rule.keep else Keep(),
    )


def _match(match: LifecycleMatch) -> Match:
    return Match(
        path=match.path or "",
        kind=match.kind or "",
        larger_than_bytes=match.larger_than.count if match.larger_than else 0,
        smaller_than_bytes=match.smaller_than.count if match.smaller_than else 0,
        older_than_seconds=match.older_than.seconds if match.older_than else 0.0,
        not_read_for_seconds=match.not_read_for.seconds if match.not_read_for else 0.0,
        tags=dict(match.tags),
    )


def _keep(keep: LifecycleKeep) -> Keep:
    return Keep(
        last=keep.last or 0,
        best=keep.best or 0,
        metric=keep.metric or "",
        every=keep.every or 0,
        of=keep.of,
    )
