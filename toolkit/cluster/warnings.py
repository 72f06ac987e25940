"""What a cluster wrote about an object that does not run: its last warnings, and why its pods find no place.

Asked by `wait` at a time-out and by `status`. Only a help for people: what may not be read is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from toolkit.cluster.kinds import Kinds
from toolkit.cluster.live import list_all
from toolkit.cluster.refusal import RefusedError
from toolkit.render.metadata import NAME_LABEL, NOUN_LABEL, TOPOLOGY_LABEL
from toolkit.render.rendered import RenderedObject

MOST = 3
_MOST_EVENTS = "200"


def warnings_about(kinds: Kinds, rendered: RenderedObject) -> tuple[str, ...]:
    """Give the last warnings about an object and the first reason why one of its pods cannot be placed."""
    if not rendered.namespace:
        return ()
    try:
        return tuple(dict.fromkeys([*_events(kinds, rendered), *_unplaced(kinds, rendered)]))
    except RefusedError:
        return ()


def _events(kinds: Kinds, rendered: RenderedObject) -> list[str]:
    path = kinds.resource("v1", "Event").path(rendered.namespace)
    chosen = f"involvedObject.name={rendered.name},involvedObject.kind={rendered.kind},type=Warning"
    items = kinds.connection.get(path, fieldSelector=chosen, limit=_MOST_EVENTS).get("items")
    found = [each for each in items if isinstance(each, Mapping)] if isinstance(items, list) else []
    found.sort(key=lambda each: str(each.get("lastTimestamp") or each.get("eventTime") or ""))
    return [f"{each.get('reason')}: {each.get('message')}" for each in found[-MOST:]]


def _unplaced(kinds: Kinds, rendered: RenderedObject) -> Iterator[str]:
    metadata = rendered.body["metadata"]
    labels = metadata.get("labels", {}) if isinstance(metadata, Mapping) else {}
    selector = ",".join(
        f"{name}={labels[name]}" for name in (TOPOLOGY_LABEL, NOUN_LABEL, NAME_LABEL) if name in labels
    )
    for pod in list_all(kinds, kinds.resource("v1", "Pod"), selector, rendered.namespace):
        status = pod.get("status")
        conditions = status.get("conditions") if isinstance(status, Mapping) else None
        for condition in conditions if isinstance(conditions, list) else []:
            if condition.get("type") == "PodScheduled" and condition.get("status") != "True":
                yield f"{condition.get('reason')}: {condition.get('message')}"
                return
