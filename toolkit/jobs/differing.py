"""A job in the cluster against the same job as it would be submitted now: which fields differ. Pure; for `submit`.

The live job has more than we wrote: defaults of Volcano's webhook, status, what others own. Only what we want or own
(FieldsV1 of server-side apply) is compared. Of a job that is there Volcano lets only the numbers of workers and the
priority change: pkg/webhooks/admission/jobs/validate of Volcano 1.15.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from toolkit.cluster.compare import is_as_wanted, owned_fields
from toolkit.cluster.fields import FieldChange, changes
from toolkit.jobs.values import mapping, mappings

_IN_PLACE = re.compile(
    r"^(metadata\..*|spec\.minAvailable|spec\.priorityClassName|spec\.tasks\[[^\]]*\]\.(replicas|minAvailable))$"
)
_FILLED_IN = frozenset({"maxRetry", "protocol", "apiVersion"})
"""What servers add to items of lists: of a task Volcano's webhook, of a port and a fieldRef the API server."""


def differences(live: Mapping[str, object], wanted: Mapping[str, object]) -> tuple[FieldChange, ...]:
    """Name the fields that would have to change; none when the job is as wanted.

    Args:
        live: the job as the server gave it, with managedFields.
        wanted: the job as it is rendered.
    """
    if is_as_wanted(live, wanted):
        return ()
    owned = owned_fields(live) or {}
    return changes(_reduced(live, wanted, owned), wanted)


def in_place(change: FieldChange) -> bool:
    """Tell whether Volcano lets a field of a job change while it is there."""
    return _IN_PLACE.match(change.path) is not None


def resized(
    live: Mapping[str, object], *, workers: int, minimum: int, priority_class: str
) -> dict[str, object]:
    """Give what was submitted with other numbers: all that may change of a job that is there, in one document.

    Made from the live job and not rendered anew, because Volcano's webhook fills defaults into tasks when a job is
    created and holds them against every change.
    """
    body = _submitted(live)
    spec = {name: value for name, value in mapping(body, "spec").items() if name != "priorityClassName"}
    tasks = [{**task, "replicas": workers, "minAvailable": minimum} for task in mappings(spec, "tasks")]
    named = {"priorityClassName": priority_class} if priority_class else {}
    return {**body, "spec": {**spec, **named, "minAvailable": minimum, "tasks": tasks}}


def _submitted(live: Mapping[str, object]) -> dict[str, object]:
    """Give the live job without what we do not own; sent again, it changes nothing.

    Lists of a job are owned as wholes, so defaults inside them come along and are equal.
    """
    owned = owned_fields(live) or {}
    kept = _owned_part(live, owned)
    metadata = mapping(live, "metadata")
    return {
        "apiVersion": live["apiVersion"],
        "kind": live["kind"],
        **kept,
        "metadata": {
            **mapping(kept, "metadata"), "name": metadata.get("name"), "namespace": metadata.get("namespace"),
        },
    }  # fmt: skip


def _owned_part(live: Mapping[str, object], owned: Mapping[str, object]) -> dict[str, object]:
    part: dict[str, object] = {}
    for entry, below in owned.items():
        name = entry.removeprefix("f:")
        if not entry.startswith("f:") or name not in live:
            continue
        value = live[name]
        deeper = isinstance(below, Mapping) and any(each.startswith("f:") for each in below)
        if deeper and isinstance(below, Mapping) and isinstance(value, Mapping):
            part[name] = _owned_part(value, below)
        else:
            part[name] = value
    return part


def _reduced(live: object, wanted: object, owned: Mapping[str, object]) -> dict[str, object]:
    """Keep of a live mapping what is wanted or ours."""
    found, asked = mapping(live), mapping(wanted)
    kept: dict[str, object] = {}
    for name, value in found.items():
        ours = owned.get(f"f:{name}")
        if name not in asked and ours is None:
            continue
        if isinstance(value, Mapping) and isinstance(asked.get(name, {}), Mapping) and ours:
            kept[name] = _reduced(value, asked.get(name, {}), mapping(ours))
        else:
            kept[name] = _without_defaults(value, asked.get(name))
    return kept


def _without_defaults(value: object, wanted: object) -> object:
    """Take out of a value that is owned as a whole what servers filled in."""
    if isinstance(value, Mapping):
        asked = mapping(wanted)
        return {
            name: _without_defaults(each, asked.get(name))
            for name, each in value.items()
            if name in asked or name not in _FILLED_IN
        }
    if isinstance(value, list):
        items: Sequence[object] = wanted if isinstance(wanted, list | tuple) else ()
        padded = [*items, *([None] * len(value))]
        return [_without_defaults(each, other) for each, other in zip(value, padded, strict=False)]
    return value
