"""What shall happen to an object, and why. Pure: facts, a policy and the time go in, decisions with reasons come out.

`plan` collects the facts from the storages and asks `decide` for one tier at a time; `evict` goes on with what stays.
In order: what a hold, a pin or a rule with pin or hold names is never taken away, wherever that rule stands; then the
first rule that matches decides; then the residency of the tier is looked at. Copying is no taking away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from toolkit.sync.policies.patterns import fits
from toolkit.sync.policies.policy import DAY_SECONDS, Action, Keep, Match, Policy, Rule
from toolkit.wire.paths import shown

Deed = Literal["stay", "copy", "move", "expire"]
"""What is done. demote and recall have become a move to the next tier and a copy to it by then."""


class Copy(NamedTuple):
    """The same version of an object in another storage, as far as size and time tell."""

    tier: str
    url: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one file of one storage. Times are in milliseconds since 1970."""

    tier: str
    url: str
    path: bytes
    """Relative to the storage."""
    size: int
    mtime_ms: int
    since_ms: int
    """When it came here, or was first seen here."""
    read_ms: int = 0
    """The last read that we recorded; 0 is none."""
    kind: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    held: str = ""
    """Who holds it and why; empty when nobody does."""
    pinned: str = ""
    """The same for a pin."""
    copies: tuple[Copy, ...] = ()
    """Where else it is."""

    @property
    def touched_ms(self) -> int:
        """When somebody read it or brought it here, whichever was later."""
        return max(self.read_ms, self.since_ms)


@dataclass(frozen=True, slots=True)
class Decision:
    """What shall happen to an object."""

    facts: Facts
    deed: Deed
    rule: str
    """Name of the rule that decided; empty when none matched."""
    reason: str
    to: str = ""
    """Tier that gets it."""
    guarded: bool = False
    """Whether it may not be taken away, whoever asks: held, pinned, or younger than the tier's residency."""
    is_early: bool = False
    """Whether a rule would take it away if the tier's residency were over."""


def decide(facts: Sequence[Facts], policy: Policy, now_ms: int) -> list[Decision]:
    """Decide about all objects of one tier, in their order.

    Args:
        facts: every object of the tier; rules that keep some of many count among these.
        policy: the rules.
        now_ms: the time, in milliseconds since 1970.
    """
    first = [_first(each, policy, now_ms) for each in facts]
    kept: dict[int, str] = {}
    for rule in policy.rules:
        mine = [number for number, found in enumerate(first) if found is rule]
        kept.update(_kept(mine, facts, rule.keep))
    return [
        _decision(each, rule, kept.get(number, ""), policy, now_ms)
        for number, (each, rule) in enumerate(zip(facts, first, strict=True))
    ]


def why_not(rule: Rule, facts: Facts, now_ms: int) -> str:
    """Say why a rule is not about an object; empty when it is."""
    if rule.tier and rule.tier != facts.tier:
        return f"it looks at {rule.tier}"
    return next(_misses(rule.match, facts, now_ms), "")


def explain(facts: Facts, policy: Policy, now_ms: int) -> list[tuple[str, str]]:
    """Give every rule with why it is not about an object, or `matches`, or `matches, but an earlier rule decides`."""
    decided, lines = False, []
    for rule in policy.rules:
        reason = why_not(rule, facts, now_ms)
        if not reason:
            always = rule.action in _GUARDS
            reason = "matches" if always or not decided else "matches, but an earlier rule decides"
            decided = decided or not always
        lines.append((rule.name, reason))
    return lines


def target_of(rule: Rule, tier: str, policy: Policy) -> str:
    """Name the tier that a rule sends something to that is in `tier`; empty when there is none."""
    if rule.action in {"expire", "pin", "hold"}:
        return ""
    if rule.to:
        return rule.to
    return policy.neighbour(tier, 1 if rule.action == "demote" else -1)


def span(milliseconds: float) -> str:
    """Write a length of time for people: `3 d`, `5 h`, `10 s`."""
    seconds = milliseconds / 1000
    for unit, length in (("d", DAY_SECONDS), ("h", 3600.0), ("min", 60.0)):
        if abs(seconds) >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


_GUARDS: frozenset[Action] = frozenset({"pin", "hold"})


def _misses(match: Match, facts: Facts, now_ms: int) -> Iterator[str]:
    """Yield how an object misses each condition it misses. A million objects are asked, so nothing is said early."""
    if match.path and not fits(match.path, facts.path):
        yield f"its path is not {match.path}"
    if match.kind and match.kind != facts.kind:
        yield f"it is {_kind(facts.kind)}, not {_kind(match.kind)}"
    if match.larger_than_bytes and facts.size <= match.larger_than_bytes:
        yield f"it has {facts.size} bytes, not more than {match.larger_than_bytes}"
    if match.smaller_than_bytes and facts.size >= match.smaller_than_bytes:
        yield f"it has {facts.size} bytes, not less than {match.smaller_than_bytes}"
    age, old = now_ms - facts.mtime_ms, match.older_than_seconds * 1000
    if old and age < old:
        yield f"it changed {span(age)} ago, not {span(old)}"
    unread, idle = now_ms - facts.touched_ms, match.not_read_for_seconds * 1000
    if idle and unread < idle:
        yield f"it was read or brought {span(unread)} ago, not {span(idle)}"
    for key, value in match.tags.items():
        if facts.tags.get(key) != value:
            yield f"its tag {key} is not {value}"


def _kind(kind: str) -> str:
    return f"of the kind {kind}" if kind else "of no known kind"


def _first(facts: Facts, policy: Policy, now_ms: int) -> Rule | None:
    return next(
        (rule for rule in policy.rules if rule.action not in _GUARDS and not why_not(rule, facts, now_ms)),
        None,
    )


def _guard(facts: Facts, policy: Policy, now_ms: int) -> tuple[str, str]:
    """Give the rule and the reason that forbid taking an object away; empty texts when nothing does."""
    if facts.held:
        return "", f"held: {facts.held}"
    for action, word in (("hold", "held"), ("pin", "pinned")):
        for rule in policy.rules:
            if rule.action == action and not why_not(rule, facts, now_ms):
                return rule.name, f"{word} by rule {rule.name}"
        if action == "hold" and facts.pinned:
            return "", f"pinned: {facts.pinned}"
    residency = policy.terms(facts.tier).residency_seconds * 1000
    there = now_ms - facts.since_ms
    if residency and there < residency:
        return "", f"it has been in {facts.tier} for {span(there)}, and stays at least {span(residency)}"
    return "", ""


def _decision(facts: Facts, rule: Rule | None, kept: str, policy: Policy, now_ms: int) -> Decision:
    by, guard = _guard(facts, policy, now_ms)
    guarded = bool(guard)
    if rule is None:
        return Decision(facts, "stay", by, guard or "no rule matches", guarded=guarded)
    if kept:
        return Decision(facts, "stay", rule.name, kept, guarded=guarded)
    to = target_of(rule, facts.tier, policy)
    if rule.action != "expire" and to in {"", facts.tier}:
        where = f"it is in {to} already" if to else f"no tier is {_way(rule)} than {facts.tier}"
        return Decision(facts, "stay", rule.name, where, guarded=guarded)
    if rule.action in {"copy", "recall"}:
        if any(copy.tier == to for copy in facts.copies):
            return Decision(facts, "stay", rule.name, f"{to} has it already", guarded=guarded)
        return Decision(facts, "copy", rule.name, f"rule {rule.name}", to, guarded=guarded)
    if guarded:
        early = not by and not facts.held and not facts.pinned
        return Decision(facts, "stay", by or rule.name, guard, guarded=True, is_early=early)
    return Decision(
        facts, "expire" if rule.action == "expire" else "move", rule.name, f"rule {rule.name}", to
    )


def _way(rule: Rule) -> str:
    return "colder" if rule.action == "demote" else "hotter"


class _Counted(NamedTuple):
    """A file or folder that a `keep` counts."""

    mtime_ms: int
    name: tuple[tuple[int, int, bytes], ...]
    metric: float | None
    members: tuple[int, ...]


def _kept(numbers: Sequence[int], facts: Sequence[Facts], keep: Keep) -> dict[int, str]:
    """Give the objects that a rule leaves alone, by number, with the reason."""
    if not (keep.last or keep.best or keep.every):
        return {}
    members: dict[bytes, list[int]] = {}
    for number in numbers:
        path = facts[number].path
        members.setdefault(path.rpartition(b"/")[0] if keep.of == "folders" else path, []).append(number)
    groups: dict[bytes, list[_Counted]] = {}
    for name, mine in members.items():
        groups.setdefault(name.rpartition(b"/")[0], []).append(_count(name, mine, facts, keep.metric))
    kept: dict[int, str] = {}
    for folder, group in groups.items():
        where = f" in {shown(folder)}" if folder else ""
        for counted, reason in _chosen(sorted(group, key=lambda each: (each.mtime_ms, each.name)), keep):
            kept.update(dict.fromkeys(counted.members, f"kept: {reason}{where}"))
    return kept


def _count(name: bytes, members: list[int], facts: Sequence[Facts], metric: str) -> _Counted:
    values = [facts[number].metrics[metric] for number in members if metric in facts[number].metrics]
    youngest = max(facts[number].mtime_ms for number in members)
    return _Counted(youngest, _natural(name), max(values) if values else None, tuple(members))


def _chosen(group: Sequence[_Counted], keep: Keep) -> Iterator[tuple[_Counted, str]]:
    """Yield what is kept of one folder, which is sorted from the oldest to the youngest."""
    if keep.last:
        for each in group[-keep.last :]:
            yield each, f"one of the last {keep.last}"
    elif keep.every:
        for each in group[:: keep.every]:
            yield each, f"each {keep.every}th is"
    else:
        rated = sorted(
            ((each.metric, each.mtime_ms, each.name, each) for each in group if each.metric is not None),
            key=lambda row: row[:3],
        )
        for _, _, _, each in rated[-keep.best :]:
            yield each, f"one of the best {keep.best} by {keep.metric}"
        for each in group:
            if each.metric is None:
                yield each, f"it has no {keep.metric} yet"


def _natural(name: bytes) -> tuple[tuple[int, int, bytes], ...]:
    """Make step-9 come before step-10: runs of digits are compared as numbers."""
    parts: list[tuple[int, int, bytes]] = []
    run = b""
    for at in range(len(name)):
        letter = name[at : at + 1]
        if run and letter.isdigit() != run.isdigit():
            parts.append(_part(run))
            run = b""
        run += letter
    return (*parts, _part(run)) if run else tuple(parts)


def _part(run: bytes) -> tuple[int, int, bytes]:
    return (0, int(run), run) if run.isdigit() else (1, 0, run)
