"""What moving data costs and saves, as far as a policy knows prices. Pure; for plans, so that nobody is surprised.

Prices are per GiB and 30 days, and per thousand requests that write. A store of packs gets one request a pack of
16 MiB and three for the index and its Refs; a mirror one a file.
"""

from __future__ import annotations

from toolkit.sync.policies.policy import DAY_SECONDS, Policy, Terms
from toolkit.sync.policies.rules import Deed, Facts

_GIB = 1024**3
_PACK_BYTES = 16 * 1024**2
_MONTH_SECONDS = 30 * DAY_SECONDS
_DOCUMENTS = 3


def monthly(policy: Policy, deed: Deed, facts: Facts, to: str) -> float:
    """Give what the site pays more (or, below zero, less) each 30 days for one object."""
    more = policy.terms(to).gib_month if to and not any(copy.tier == to for copy in facts.copies) else 0.0
    less = policy.terms(facts.tier).gib_month if deed in {"move", "expire"} else 0.0
    return (more - less) * facts.size / _GIB


def requests(terms: Terms, objects: int, total_bytes: int) -> int:
    """Give about how many requests write so much to a tier."""
    if not objects or not terms.places:
        return 0
    if terms.places[0].storage.layout == "packs":
        return -(-total_bytes // _PACK_BYTES) + _DOCUMENTS
    return objects


def once(terms: Terms, objects: int, total_bytes: int) -> float:
    """Give the price of those requests."""
    return requests(terms, objects, total_bytes) * terms.thousand_requests / 1000


def early_deletion(terms: Terms, facts: Facts, now_ms: int) -> float:
    """Give what a storage that charges for a least time would still charge for an object that left it now."""
    left = terms.residency_seconds - (now_ms - facts.since_ms) / 1000
    return max(0.0, left) / _MONTH_SECONDS * terms.gib_month * facts.size / _GIB
