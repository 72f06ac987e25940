"""What the rules would do to a site now: objects, bytes, money. Nothing is changed.

`survey` looks, `rules` and `evict` decide; `carry_out` does what stands in the Outlook, and `tiers sync lifecycle
--dry-run` prints it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from toolkit.sync.policies.costs import early_deletion, monthly, once
from toolkit.sync.policies.evict import Eviction, evict
from toolkit.sync.policies.policy import Policy
from toolkit.sync.policies.rules import Decision, decide, explain
from toolkit.sync.policies.shelf import Remotes
from toolkit.sync.policies.survey import Survey, facts_of_tier, survey
from toolkit.sync.remotes.choose import open_storage
from toolkit.wire.paths import shown


@dataclass(frozen=True)
class Line:
    """What one rule does to the objects of one tier."""

    rule: str
    deed: str
    tier: str
    to: str
    objects: int
    total_bytes: int
    month: float
    """What the site pays more each 30 days; below zero it saves."""
    once: float
    """Requests, about."""


@dataclass(frozen=True)
class Waiting:
    """What rules would take away if its tier did not keep it for a least time."""

    objects: int = 0
    total_bytes: int = 0
    early_deletion: float = 0.0
    """What it would cost to take it away now."""


@dataclass(frozen=True)
class Explained:
    """One object with what happens to it and why."""

    path: str
    tier: str
    url: str
    deed: str
    to: str
    reason: str
    rules: tuple[tuple[str, str], ...]
    """Every rule, with why it is not about the object."""


@dataclass(frozen=True)
class Outlook:
    """What would happen."""

    now_ms: int
    currency: str
    found: Survey
    decisions: tuple[Decision, ...]
    evictions: tuple[Eviction, ...]
    lines: tuple[Line, ...]
    waiting: Waiting

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self.lines


def make_plan(policy: Policy, now_ms: int, *, remotes: Remotes = open_storage) -> Outlook:
    """Look at a site and decide about every object.

    Args:
        policy: rules, places and numbers.
        now_ms: the time, in milliseconds since 1970.
        remotes: opens a Remote.

    Raises:
        IntegrityError: a hold, a pin or a tag was damaged, so that nobody knows what may go.
    """
    found = survey(policy, now_ms, remotes=remotes)
    decisions: list[Decision] = []
    evictions: list[Eviction] = []
    for terms in policy.tiers:
        mine = decide(facts_of_tier(policy, found, terms.tier), policy, now_ms)
        decisions += mine
        for look in found.looks:
            if look.terms is terms and not look.error:
                here = [each for each in mine if each.facts.url == look.url]
                # Packs shrink when garbage is collected, not when a state lets go of a file: nothing is evicted there.
                may_go = here if look.place.storage.layout == "mirror" else []
                evictions.append(evict(look.place, terms, may_go, look.used_bytes))
    lines = (*_lines(policy, decisions), *_eviction_lines(policy, evictions))
    waiting = _waiting(policy, decisions, now_ms)
    return Outlook(now_ms, policy.currency, found, tuple(decisions), tuple(evictions), lines, waiting)


def explain_path(policy: Policy, outlook: Outlook, path: bytes) -> list[Explained]:
    """Say of an object, in each storage that has it, what happens to it and why each rule does or does not match."""
    leaving = {(each.facts.url, each.facts.path) for gone in outlook.evictions for each in gone.leaving}
    return [
        Explained(
            shown(path),
            each.facts.tier,
            each.facts.url,
            "evict" if (each.facts.url, path) in leaving else each.deed,
            each.to,
            "to make room" if (each.facts.url, path) in leaving else each.reason,
            tuple(explain(each.facts, policy, outlook.now_ms)),
        )
        for each in outlook.decisions
        if each.facts.path == path
    ]


def _lines(policy: Policy, decisions: Iterable[Decision]) -> list[Line]:
    groups: dict[tuple[str, str, str, str], list[Decision]] = {}
    for each in decisions:
        if each.deed != "stay":
            groups.setdefault((each.rule, each.deed, each.facts.tier, each.to), []).append(each)
    lines: list[Line] = []
    for (rule, deed, tier, to), mine in groups.items():
        total = sum(each.facts.size for each in mine)
        new = [each for each in mine if to and not any(copy.tier == to for copy in each.facts.copies)]
        price = once(policy.terms(to), len(new), sum(each.facts.size for each in new)) if to else 0.0
        month = sum(monthly(policy, each.deed, each.facts, to) for each in mine)
        lines.append(Line(rule, deed, tier, to, len(mine), total, month, price))
    return lines


def _eviction_lines(policy: Policy, evictions: Iterable[Eviction]) -> list[Line]:
    lines: list[Line] = []
    for each in evictions:
        if each.leaving:
            tier = each.leaving[0].facts.tier
            total = sum(decision.facts.size for decision in each.leaving)
            month = -policy.terms(tier).gib_month * total / 1024**3
            lines.append(Line("", "evict", tier, "", len(each.leaving), total, month, 0.0))
    return lines


def _waiting(policy: Policy, decisions: Iterable[Decision], now_ms: int) -> Waiting:
    early = [each.facts for each in decisions if each.is_early]
    costs = (early_deletion(policy.terms(facts.tier), facts, now_ms) for facts in early)
    return Waiting(len(early), sum(facts.size for facts in early), sum(costs))
