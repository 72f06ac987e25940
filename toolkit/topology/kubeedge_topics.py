"""Topics of a device's broker that somebody has already: KubeEdge, and this project. Read by checks and by lint."""

import re

_TAKEN = (
    (re.compile(r"\$(hw|ke)(/|$)"), "KubeEdge's own"),
    (re.compile(r"SYS/dis/upload_records(/|$)"), "KubeEdge's own"),
    (re.compile(r"\$"), "the broker's own"),
    (re.compile(r"[^/]*/user(/|$)"), "copied to the cloud by KubeEdge, whatever rules say"),
    (re.compile(r"tiers(/|$)"), "tiers' own, by which devices are steered"),
)


def owner_of(topic: str) -> str:
    """Say whose a topic is; empty when it is free.

    Source: the subscriptions of eventbus (kubeedge/kubeedge v1.23.1, edge/pkg/eventbus) and toolkit/wire/topics.
    """
    return next((whose for pattern, whose in _TAKEN if pattern.match(topic)), "")
