"""Every name that points to something: is that something there?

Comes beside `shape` and looks at the document, not at the nouns, so that a job with a missing key still hears about
its unknown pool. One row of REFERENCES per place that holds a name.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from toolkit.topology.findings import Findings, did_you_mean, listed
from toolkit.topology.hardware import PROFILES
from toolkit.topology.names import TIER_NAMES
from toolkit.topology.nodes import Fields, Scalar, find, keys_at, matches, place_of

_MOST_LISTED = 20


@dataclass(frozen=True)
class Reference:
    """A place that holds a name, the kind of thing it names, and the code when there is none."""

    pattern: tuple[str, ...]
    kind: str
    code: str
    by_key: bool = False
    """Whether the keys are the names, not the values."""


REFERENCES = (
    Reference(("models", "*", "pools", "*"), "pool", "E0401"),
    Reference(("jobs", "*", "pool"), "pool", "E0401"),
    Reference(("services", "*", "pool"), "pool", "E0401"),
    Reference(("tiers", "*", "agent", "pool"), "pool", "E0401"),
    Reference(("tiers", "*", "storage", "claim", "class"), "storage class", "E0901"),
    Reference(("tiers", "*", "storage", "*", "claim", "class"), "storage class", "E0901"),
    Reference(("registry", "claim", "class"), "storage class", "E0901"),
    Reference(("broker", "deploy", "storage", "class"), "storage class", "E0901"),
    Reference(("broker", "deploy", "pool"), "pool", "E0401"),
    Reference(("depot", "pool"), "pool", "E0401"),
    Reference(("driver", "pool"), "pool", "E0401"),
    Reference(("lifecycle", "pool"), "pool", "E0401"),
    Reference(("sensors", "*", "pools", "*"), "pool", "E0401"),
    Reference(("messages", "*", "from", "pools", "*"), "pool", "E0401"),
    Reference(("prices", "machine_hour", "*"), "pool", "E0401", by_key=True),
    Reference(("clusters", "*", "pools", "*"), "pool", "E0401"),
    Reference(("clusters", "*", "tiers", "*"), "tier", "E0402"),
    Reference(("queues", "*", "tier"), "tier", "E0402"),
    Reference(("models", "*", "offload"), "tier", "E0402"),
    Reference(("jobs", "*", "data", "from"), "tier", "E0402"),
    Reference(("jobs", "*", "checkpoints", "to"), "tier", "E0402"),
    Reference(("routes", "*", "from"), "tier", "E0402"),
    Reference(("routes", "*", "to"), "tier", "E0402"),
    Reference(("network", "lines", "*", "from"), "tier", "E0402"),
    Reference(("network", "lines", "*", "to"), "tier", "E0402"),
    Reference(("prices", "gib_month", "*"), "tier", "E0402", by_key=True),
    Reference(("prices", "thousand_requests", "*"), "tier", "E0402", by_key=True),
    Reference(("lifecycle", "rules", "*", "from"), "tier", "E0402"),
    Reference(("lifecycle", "rules", "*", "to"), "tier", "E0402"),
    Reference(("jobs", "*", "queue"), "queue", "E0403"),
    Reference(("queues", "*", "parent"), "queue", "E0403"),
    Reference(("flows", "*", "steps", "*"), "job", "E0840", by_key=True),
    Reference(("models", "*", "fallback"), "model", "E0404"),
    Reference(("services", "*", "models", "*"), "model", "E0404"),
    Reference(("jobs", "*", "priority"), "priority", "E0405"),
    Reference(("quotas", "*"), "priority", "E0405", by_key=True),
    Reference(("tiers", "*", "pools", "*", "hardware"), "hardware profile", "E0406"),
)


def check_references(root: Fields, findings: Findings) -> None:
    """Report every name that points to nothing."""
    names = _names(root)
    if not isinstance(
        find(root, ("tiers",)), Fields
    ):  # `shape` says so; every pool and tier would be unknown
        return
    for reference in REFERENCES:
        for path, node in matches(root, reference.pattern):
            name = path[-1] if reference.by_key else node.value if isinstance(node, Scalar) else None
            if not isinstance(name, str) or name in names[reference.kind]:
                continue
            if reference.kind == "tier" and name not in TIER_NAMES:
                continue  # not a word for a tier at all: `shape` says so
            known = names[reference.kind]
            place = place_of(root, path, key=True) if reference.by_key else node.place
            message = f"there is no {reference.kind} '{name}'{did_you_mean(name, known)}"
            cure = f"use {listed(known, 'or')}, or add it" if 0 < len(known) <= _MOST_LISTED else ""
            findings.add(reference.code, place, message, cure=cure)


def _names(root: Fields) -> Mapping[str, tuple[str, ...]]:
    """Give the names that the document declares, by kind of thing."""
    pools = tuple(str(path[-1]) for path, _ in matches(root, ("tiers", "*", "pools", "*")))
    return {
        "pool": pools,
        "tier": keys_at(root, ("tiers",)),
        "queue": keys_at(root, ("queues",)),
        "job": keys_at(root, ("jobs",)),
        "model": keys_at(root, ("models",)),
        "priority": keys_at(root, ("priorities",)),
        "storage class": keys_at(root, ("storage_classes",)),
        "hardware profile": (*keys_at(root, ("hardware",)), *PROFILES),
    }
