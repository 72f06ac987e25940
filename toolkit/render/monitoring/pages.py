"""Two pages of the reference, from the catalogues: what each alert means, and every metric that is read.

Called by scripts/docs.py. The annotation of each alert leads to its section of alerts.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.render.monitoring.labels import BY_PLACE, TOPOLOGY
from toolkit.render.monitoring.model import Alert
from toolkit.render.monitoring.recordings import RECORDINGS
from toolkit.render.monitoring.rules import ALERTS
from toolkit.render.monitoring.series import SERIES

_LABELS = (
    (TOPOLOGY, "name of the topology"),
    ("tiers_cluster", "cluster of tiers.yaml"),
    ("tiers_tier", "edge, hot, warm or cold"),
    ("tiers_pool", "pool of tiers.yaml"),
    (
        "tiers_service",
        "service of tiers.yaml; on the figures of a server's GPU the service whose pod uses it",
    ),
    ("node", "machine: the Kubernetes node, which is also the device"),
)
_URGENCY = {
    "critical": "somebody is called at night",
    "warning": "somebody looks today",
    "info": "good to know",
}


def alerts_page() -> str:
    """Write what each alert means, why it matters and what to type."""
    lines = [
        "# Alerts\n",
        "What somebody reads who was woken by one. Limits stand under `alerts:` of tiers.yaml; a limit that is not",
        "written makes no alert, and neither does a subject that the topology does not have.\n",
    ]
    for each in ALERTS:
        lines += _alert(each)
    return "\n".join(lines)


def _alert(each: Alert) -> Iterator[str]:
    limit = f"limit: `{each.key}`" if each.key else "no limit to set"
    hold = {"$after": "`alerts.after`", "$limit": f"`{each.key}`", "0s": "nothing: at once"}
    yield f"## {each.name}\n"
    yield f"{each.severity}: {_URGENCY[each.severity]} · {limit} · waits {hold.get(each.hold, each.hold)}"
    yield f"· about {each.subject.value}\n"
    yield f"{each.means} {each.why}\n"
    yield "What to type next:\n"
    yield "```text"
    yield from each.next
    yield "```\n"


def metrics_page() -> str:
    """List the labels, the recording rules, and every metric with its source."""
    place = BY_PLACE.replace(", ", "`, `")
    lines = [
        "# Metrics\n",
        "What rules, autoscaling and dashboards read. Scraping attaches these labels to every series of a topology:\n",
        "| label | |",
        "|---|---|",
        *(f"| `{name}` | {meaning} |" for name, meaning in _LABELS),
        "\n## Recorded\n",
        f"`tiers_model:…` has `{place}` and `model`; `tiers_node:…` also `node`; `tiers_pool:…` the first five alone;",
        "`node_gpu:…` the first five, `node` and `gpu`, the same for a Jetson and an A100.\n",
        "| name | | about |",
        "|---|---|---|",
        *(f"| `{each.record}` | {each.explains} | {each.subject.value} |" for each in RECORDINGS),
        "\n## Exported\n",
        "| name | kind | its own labels | from | | comes with |",
        "|---|---|---|---|---|---|",
    ]
    for each in SERIES:
        labels = ", ".join(f"`{label}`" for label in each.labels)
        lines.append(
            f"| `{each.name}` | {each.kind} | {labels} | {each.source} | {each.explains} | {each.comes_with} |"
        )
    return "\n".join(lines) + "\n"
