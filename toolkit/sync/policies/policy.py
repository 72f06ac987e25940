"""A policy: the rules by which data moves between tiers as it ages, with the places and numbers filled in. A document.

`toolkit.policies` makes one from tiers.yaml, an agent gets it as JSON; `rules` reads it, `plan` and `carry_out` obey.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import msgspec

from toolkit.errors import IntegrityError
from toolkit.sync.policies.patterns import pattern_of
from toolkit.sync.task import Storage
from toolkit.wire.document import Document, Sparse, decode_json, encode_json

MAX_POLICY_BYTES = 1024 * 1024
"""A policy has some dozens of rules."""
DAY_SECONDS = 86_400.0

Kind = Literal["checkpoint", "dataset", "model", "image", "archive"]
Action = Literal["copy", "move", "demote", "recall", "expire", "pin", "hold"]
Unit = Literal["files", "folders"]


class Match(Sparse, frozen=True, kw_only=True):
    """Which objects a rule is about; all conditions must hold. Zeros and empty texts mean "no such condition"."""

    path: str = ""
    """Pattern of the path below a storage; see `patterns`."""
    kind: Kind | Literal[""] = ""
    """See `kinds`."""
    larger_than_bytes: int = 0
    smaller_than_bytes: int = 0
    older_than_seconds: float = 0.0
    """By its modification time."""
    not_read_for_seconds: float = 0.0
    """Neither read as far as we recorded, nor brought here, for so long."""
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    """Tags that it must have."""


class Keep(Sparse, frozen=True, kw_only=True):
    """Which of the objects that a rule matches it leaves alone, in each folder by itself. Exactly one number is set."""

    last: int = 0
    """The youngest so many."""
    best: int = 0
    """The so many with the highest metric; what has no metric yet is kept too."""
    metric: str = ""
    """With `best`: its name in metrics.json."""
    every: int = 0
    """Each so-manieth, counted from the oldest."""
    of: Unit = "files"
    """What is counted: files, or folders that stay or go as a whole."""


class Rule(Sparse, frozen=True, kw_only=True):
    """One rule. The first that matches an object decides; only pin and hold count wherever they stand."""

    name: str
    action: Action
    tier: str = ""
    """Tier that it looks at; empty is each."""
    to: str = ""
    """copy, move: tier that gets it. Of demote and recall the next tier is the default."""
    match: Match = Match()
    keep: Keep = Keep()


class Place(Sparse, frozen=True, kw_only=True):
    """One storage of a tier."""

    storage: Storage
    capacity_bytes: int = 0
    """How much may be kept there; 0 is not known, and nothing is evicted."""


class Terms(Sparse, frozen=True, kw_only=True):
    """A tier with the numbers that rules go by."""

    tier: str
    places: tuple[Place, ...] = ()
    """Data goes to the first one."""
    residency_seconds: float = 0.0
    """What has come here stays at least so long: cold storages charge for it anyway."""
    latency_seconds: float = 0.0
    """Until the first byte of something can be read, for plans."""
    high: float = 1.0
    """Share of the capacity above which room is made."""
    low: float = 1.0
    """Share down to which it is made."""
    copies: int = 1
    """So many verified copies must be elsewhere before something leaves to make room or because it moved."""
    gib_month: float = 0.0
    """Price of keeping one GiB for 30 days."""
    thousand_requests: float = 0.0
    """Price of a thousand requests that write."""


class Policy(Document, frozen=True, kw_only=True):
    """All rules of a site."""

    FORMAT: ClassVar[int] = 1
    site: str
    tiers: tuple[Terms, ...]
    """From the hottest to the coldest."""
    rules: tuple[Rule, ...] = ()
    kinds: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """Patterns of kinds that take the place of our own; see `kinds`."""
    trash_seconds: float = 7 * DAY_SECONDS
    """How long what was taken away can be taken back."""
    currency: str = "EUR"

    def terms(self, tier: str) -> Terms:
        """Give a tier. Raises KeyError when the policy does not have it."""
        return self._by_name()[tier]

    def neighbour(self, tier: str, step: Literal[-1, 1]) -> str:
        """Name the next tier with a storage that is colder (1) or hotter (-1); empty when there is none."""
        names = [terms.tier for terms in self.tiers if terms.places or terms.tier == tier]
        at = names.index(tier) + step
        return names[at] if 0 <= at < len(names) else ""

    def _by_name(self) -> Mapping[str, Terms]:
        return {terms.tier: terms for terms in self.tiers}


def encode_policy(policy: Policy) -> bytes:
    """Give a policy's JSON."""
    return encode_json(policy)


def decode_policy(data: bytes, *, what: str = "policy") -> Policy:
    """Read a policy.

    Raises:
        IntegrityError: it is damaged, or says what cannot be carried out.
    """
    return check_policy(decode_json(data, Policy, what=what, limit=MAX_POLICY_BYTES), what=what)


def check_policy(policy: Policy, *, what: str = "policy") -> Policy:
    """Return the policy if it can be carried out.

    Raises:
        IntegrityError: a rule, number or tier in it cannot be.
    """
    names = [terms.tier for terms in policy.tiers]
    rules = [rule.name for rule in policy.rules]
    if len(set(names)) != len(names) or len(set(rules)) != len(rules):
        raise IntegrityError(f"{what}: a tier or a rule stands there twice")
    for terms in policy.tiers:
        numbers = (terms.residency_seconds, terms.latency_seconds, terms.gib_month, terms.thousand_requests)
        if min(numbers) < 0 or terms.copies < 1 or not 0 <= terms.low <= terms.high <= 1:
            raise IntegrityError(f"{what}: tier {terms.tier} has a number that cannot be")
    for rule in policy.rules:
        if fault := _fault_of(rule, set(names)):
            raise IntegrityError(f"{what}: rule {rule.name} {fault}")
    for patterns in policy.kinds.values():
        for pattern in patterns:
            pattern_of(pattern)
    if policy.trash_seconds < 0:
        raise IntegrityError(f"{what}: the trash has a negative time")
    return policy


def _fault_of(rule: Rule, tiers: set[str]) -> str:
    """Say what is wrong with a rule; empty when nothing is."""
    for name in (rule.tier, rule.to):
        if name and name not in tiers:
            return f"names the tier {name!r}, which is not there"
    if rule.action in {"copy", "move"} and not rule.to:
        return f"does not say where to {rule.action}"
    if rule.to and rule.action in {"expire", "pin", "hold"}:
        return f"says where to, which {rule.action} does not know"
    if rule.to and rule.to == rule.tier:
        return f"goes from {rule.tier} to itself"
    match, keep = rule.match, rule.keep
    numbers = (
        match.larger_than_bytes, match.smaller_than_bytes, match.older_than_seconds, match.not_read_for_seconds,
        keep.last, keep.best, keep.every,
    )  # fmt: skip
    if min(numbers) < 0:
        return "has a negative number"
    if sum(map(bool, (keep.last, keep.best, keep.every))) > 1:
        return "keeps by more than one of last, best and every"
    if bool(keep.best) != bool(keep.metric):
        return "needs best and metric together"
    if match.path:
        pattern_of(match.path)
    return ""
