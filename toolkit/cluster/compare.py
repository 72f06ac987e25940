"""Is an object in the cluster what we want? By comparing here, without a request. Stands under `diff`.

A live object has more than we wrote: defaults, status, what others own. So each value that we want must be there
(quantities compare as amounts), we must own each field that we write, and nothing that we own may be there that we no
longer want. Who changes a field becomes its owner; so ownership also shows a change inside a value that is owned as a
whole, which its defaults would hide. When in doubt the answer is "differs": `diff` then asks the server, so a doubt
costs a request and never hides a difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache

from toolkit.cluster.request import Json
from toolkit.lint.quantity import parse_quantity

MANAGER = "tiers"
"""Our name as a field manager of server-side apply."""
_AMOUNTS = frozenset(
    {"requests", "limits", "capability", "deserved", "resource", "hard", "allocatable", "capacity"}
)
"""Keys below which every value is a quantity."""
_AMOUNT = frozenset({"sizeLimit"})
_FILLED_IN = frozenset({"apiVersion", "protocol", "maxRetry"})
"""Defaults that are written into what is owned as a whole: of a fieldRef, of a port; of a task by Volcano's webhook."""
_COUNTER = "deprecated.daemonset.template.generation"
"""An annotation with which the server numbers the changes of a DaemonSet."""
_LEFT_OUT_WHEN_FALSE = frozenset({"globalDefault"})
"""Fields that the API gives back only when they are true. For most fields false and absent are not the same."""
_MAPPING = (dict, Mapping)
_LIST = (list, tuple)
"""For isinstance, which is asked some hundred times an object: what is common first, and no union made anew."""


def is_as_wanted(live: Mapping[str, object], wanted: Mapping[str, object]) -> bool:
    """Tell whether applying `wanted` would surely change nothing.

    Args:
        live: the object as the server gave it, with managedFields.
        wanted: the object as it is rendered.
    """
    owned, wanted = owned_fields(live), keeping_replicas(live, wanted)
    if owned is None or not _holds(live, wanted, key=""):
        return False
    return _owns(owned, _without_names(wanted)) and not any(_unwanted(owned, wanted, live))


def owned_fields(live: Mapping[str, object]) -> Mapping[str, object] | None:
    """Give what server-side apply recorded as ours (FieldsV1), or None when we have never applied the object."""
    metadata = live.get("metadata")
    entries = metadata.get("managedFields") if isinstance(metadata, Mapping) else None
    for entry in entries if isinstance(entries, list) else []:
        ours = entry.get("manager") == MANAGER and entry.get("operation") == "Apply"
        if ours and not entry.get("subresource"):
            fields = entry.get("fieldsV1")
            return fields if isinstance(fields, Mapping) else {}
    return None


def keeping_replicas(live: Mapping[str, object], wanted: Mapping[str, object]) -> Mapping[str, object]:
    """Give what to send: replicas that we set once and now leave to an autoscaler go along as they are.

    To leave out a field of ours takes it away, and the server puts the default in its place: one server of nine would
    stay. When the autoscaler scales for the first time, the field becomes its own, and nothing goes along any more.
    """
    spec, now = wanted.get("spec"), live.get("spec")
    owned = (owned_fields(live) or {}).get("f:spec")
    if wanted.get("kind") != "Deployment" or not isinstance(spec, Mapping) or not isinstance(now, Mapping):
        return wanted
    ours = isinstance(owned, Mapping) and "f:replicas" in owned
    if "replicas" in spec or "replicas" not in now or not ours:
        return wanted
    return {**wanted, "spec": {**spec, "replicas": now["replicas"]}}


def _holds(live: object, wanted: object, key: str, *, amounts: bool = False) -> bool:
    """Tell whether every value of `wanted` is in `live`."""
    if isinstance(wanted, _MAPPING):
        below = key in _AMOUNTS
        return isinstance(live, _MAPPING) and all(
            _holds(live[name], value, str(name), amounts=below or name in _AMOUNT)
            if name in live
            else name in _LEFT_OUT_WHEN_FALSE and value is False
            for name, value in wanted.items()
        )
    if isinstance(wanted, _LIST):
        if not isinstance(live, list) or len(live) != len(wanted):
            return False
        return all(_holds(one, other, "") for one, other in zip(live, wanted, strict=True))
    if amounts and (amount := parse_quantity(wanted)) is not None:
        return amount == parse_quantity(live)
    return type(live) is type(wanted) and live == wanted


def _without_names(wanted: Mapping[str, object]) -> dict[str, object]:
    """Leave out what no manager owns: by what an object is known."""
    metadata = wanted.get("metadata")
    described = {} if not isinstance(metadata, Mapping) else dict(metadata)
    kept = {name: value for name, value in described.items() if name not in {"name", "namespace"}}
    known = {"apiVersion", "kind", "metadata"}
    rest = {name: value for name, value in wanted.items() if name not in known}
    return rest | ({"metadata": kept} if kept else {})


def _owns(owned: Mapping[str, object], wanted: object) -> bool:
    """Tell whether every field that we write is recorded as ours; nothing below an entry means: owned as a whole."""
    if isinstance(wanted, _MAPPING):
        for name, value in wanted.items():
            below = owned.get(f"f:{name}")
            if below is None and not (name in _LEFT_OUT_WHEN_FALSE and value is False):
                return False
            if isinstance(below, _MAPPING) and below and not _owns(below, value):
                return False
        return True
    if isinstance(wanted, _LIST):
        items = [(_read(entry[2:]), below) for entry, below in owned.items() if entry.startswith("k:")]
        members = [_read(entry[2:]) for entry in owned if entry.startswith("v:")]
        return all(
            value in members
            or any(
                _has_keys(value, keys) and isinstance(below, _MAPPING) and _owns(below, value)
                for keys, below in items
            )
            for value in wanted
        )
    return True


def _unwanted(owned: Mapping[str, object], wanted: object, live: object) -> Iterator[str]:
    """Name the fields that are recorded as ours and that we no longer write. Format: FieldsV1 of meta/v1.

    `f:NAME` is a key of a mapping, `k:{...}` an item of a list by its keys, `v:...` a value of a set, `.` the thing
    itself. An item's key may be a default that we do not write, such as the protocol of a port. What has nothing
    below it is owned as a whole, so more in it than we write was ours.
    """
    for entry, below in owned.items():
        if entry == ".":
            continue
        kind, rest = entry[0], entry[2:]
        found = now = None
        if kind == "f":
            found, now = _at(wanted, rest), _at(live, rest)
        elif kind == "k":
            keys = _read(rest)
            found, now = _item(wanted, keys), _item(live, keys)
        elif kind == "v" and isinstance(wanted, _LIST) and _read(rest) in wanted:
            continue
        if found is None or (not below and _has_more(now, found)):
            yield entry
        elif isinstance(below, _MAPPING):
            yield from _unwanted(below, found, now)


def _has_more(live: object, wanted: object) -> bool:
    """Tell whether there is more in a value than we write, but for what servers fill in."""
    if isinstance(live, _MAPPING) and isinstance(wanted, _MAPPING):
        more = {name for name in live if name not in wanted} - _FILLED_IN
        return bool(more) or any(_has_more(live.get(name), wanted[name]) for name in wanted)
    if isinstance(live, list) and isinstance(wanted, _LIST):
        return any(_has_more(one, other) for one, other in zip(live, wanted, strict=False))
    return False


def _at(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, _MAPPING) else None


def _item(value: object, keys: object) -> object:
    listed = value if isinstance(value, _LIST) else ()
    return next((item for item in listed if _has_keys(item, keys)), None)


def _has_keys(item: object, keys: object) -> bool:
    if not isinstance(item, _MAPPING) or not isinstance(keys, dict):
        return False
    return all(item.get(name, value) == value for name, value in keys.items())


@lru_cache(maxsize=4096)
def _read(text: str) -> object:
    """Read the JSON behind `k:` or `v:`; the same few hundred texts come with every object."""
    found: object = json.loads(text)
    return found


def without_bookkeeping(body: Mapping[str, object]) -> Json:
    """Give an object without what servers write about it: its status, its history, its numbers."""
    kept = {name: value for name, value in body.items() if name != "status"}
    metadata = body.get("metadata")
    if isinstance(metadata, Mapping):
        dropped = {
            "managedFields",
            "resourceVersion",
            "generation",
            "uid",
            "creationTimestamp",
            "selfLink",
        }
        described = {name: value for name, value in metadata.items() if name not in dropped}
        annotations = metadata.get("annotations")
        if isinstance(annotations, Mapping):
            described["annotations"] = {
                name: value for name, value in annotations.items() if name != _COUNTER
            }
        kept["metadata"] = described
    return kept
