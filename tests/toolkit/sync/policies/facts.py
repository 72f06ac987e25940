"""Facts and policies for tests of the pure parts: a site with hot, warm and cold, and a day as a unit of time."""

from __future__ import annotations

from toolkit.sync.policies.policy import Place, Policy, Rule, Terms, check_policy
from toolkit.sync.policies.rules import Copy, Facts
from toolkit.sync.task import Storage

DAY = 86_400_000
NOW = 1_000 * DAY


def policy(*rules: Rule, **terms: dict[str, object]) -> Policy:
    """A policy of these rules; `warm={"copies": 2}` changes the numbers of a tier."""
    tiers = tuple(
        Terms(
            tier=tier,
            places=(Place(storage=Storage(tier=tier, url=f"file:///{tier}")),),
            **terms.get(tier, {}),
        )
        for tier in ("hot", "warm", "cold")
    )
    return check_policy(Policy(site="site", tiers=tiers, rules=rules))


def facts(
    path: str, *, tier: str = "hot", size: int = 100, age: float = 0, there: float = 500, **other
) -> Facts:
    """An object that changed `age` days ago and came `there` days ago; `read` is days ago too."""
    read = other.pop("read", None)
    copies = tuple(Copy(name, f"file:///{name}") for name in other.pop("on", ()))
    return Facts(
        tier=tier,
        url=f"file:///{tier}",
        path=path.encode(),
        size=size,
        mtime_ms=int(NOW - age * DAY),
        since_ms=int(NOW - there * DAY),
        read_ms=0 if read is None else int(NOW - read * DAY),
        copies=copies,
        **other,
    )
