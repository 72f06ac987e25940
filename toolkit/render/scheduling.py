"""A placement in the words of a pod spec: affinity and tolerations. Used by the views of pods, after `placement`."""

from __future__ import annotations

from collections.abc import Mapping

from toolkit.placement import EDGE_LABEL, NODE_LABEL, Placement, Toleration


def affinity(placement: Placement) -> dict[str, object]:
    """Give the node affinity that labels cannot say: named nodes, and never on KubeEdge nodes. May be empty."""
    expressions: list[dict[str, object]] = []
    if placement.off_edge:
        expressions.append({"key": EDGE_LABEL, "operator": "DoesNotExist"})
    if placement.nodes:
        expressions.append({"key": NODE_LABEL, "operator": "In", "values": list(placement.nodes)})
    if not expressions:
        return {}
    terms = [{"matchExpressions": expressions}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def beside(selector: Mapping[str, str]) -> dict[str, object]:
    """Give the wish to stand on a machine where a pod with these labels stands already; room comes first."""
    term = {"topologyKey": NODE_LABEL, "labelSelector": {"matchLabels": dict(selector)}}
    return {
        "podAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]
        }
    }


def tolerations(placement: Placement) -> list[dict[str, str]]:
    """Write the tolerations; none of them ever ends (tolerationSeconds), which is what devices need."""
    return [_toleration(each) for each in placement.tolerations]


def _toleration(each: Toleration) -> dict[str, str]:
    written = {"key": each.key, "operator": "Equal" if each.value else "Exists"}
    written |= {"value": each.value} if each.value else {}
    return written | ({"effect": each.effect} if each.effect else {})
