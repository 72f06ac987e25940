"""What was ours and is not wanted any more: may it go (`diff` asks), and its deletion (`apply` and `delete` do it).

A deletion names the uid and the resourceVersion that were looked at, so what was made anew or changed since then is
never deleted. A status that moved is no change: then the object is looked at once more.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby

import msgspec

from toolkit.cluster.applyset import annotations_of
from toolkit.cluster.compare import without_bookkeeping
from toolkit.cluster.kinds import Kinds
from toolkit.cluster.live import PARALLEL, Key, get
from toolkit.cluster.outcome import AppliedObject, Outcome, Progress
from toolkit.cluster.refusal import CONFLICT, NOT_FOUND, RefusedError
from toolkit.cluster.request import Json
from toolkit.cluster.rules import Rules
from toolkit.errors import ClusterError, GateRefusedError
from toolkit.render.metadata import KEEP_ANNOTATION
from toolkit.render.rendered import rank_of

GUARDED = frozenset({"Namespace", "PersistentVolumeClaim", "CustomResourceDefinition"})
"""Kinds that take data or other people's objects with them."""
ALWAYS_ALLOWED = 3
"""So many deletions need no permission, however few members there are."""
_QUEUE_TRIES, _QUEUE_PAUSE_SECONDS = 10, 0.2
_LOOKS = 5


@dataclass(frozen=True)
class Seen:
    """A live object as it was looked at."""

    key: Key
    uid: str
    version: str
    """Its resourceVersion."""
    content: str
    """SHA-256 of what it says, its status left out."""


def seen(key: Key, body: Mapping[str, object], wanted: Mapping[str, object] | None = None) -> Seen:
    """Keep what a deletion, or an apply of a plan, has to prove later.

    Args:
        key: what it is known by.
        body: the live object.
        wanted: what is rendered of it; replicas that it leaves to an autoscaler are no content.
    """
    metadata = body.get("metadata")
    named = metadata if isinstance(metadata, Mapping) else {}
    content = without_bookkeeping(body)
    spec, own = content.get("spec"), (wanted or content).get("spec")
    if isinstance(spec, Mapping) and isinstance(own, Mapping) and "replicas" not in own:
        content["spec"] = {name: value for name, value in spec.items() if name != "replicas"}
    text = msgspec.json.encode(content, order="sorted")
    digest = hashlib.sha256(text).hexdigest()
    return Seen(key, str(named.get("uid")), str(named.get("resourceVersion")), digest)


def is_still(looked: Seen, now: Mapping[str, object], wanted: Mapping[str, object] | None = None) -> bool:
    """Tell whether a live object is what was looked at; what a status says, and what `seen` leaves out, may differ.

    Volcano's controller gives a queue without a parent the parent `root` a moment after it was made: the same queue.
    """
    found = seen(looked.key, now, wanted)
    if found.uid != looked.uid:
        return False
    if found.content == looked.content:
        return True
    orphan = _without_default_parent(now)
    return orphan is not now and seen(looked.key, orphan, wanted).content == looked.content


def _without_default_parent(body: Mapping[str, object]) -> Mapping[str, object]:
    spec = body.get("spec")
    if body.get("kind") != "Queue" or not isinstance(spec, Mapping) or spec.get("parent") != "root":
        return body
    return {**body, "spec": {name: value for name, value in spec.items() if name != "parent"}}


def reason_to_stay(body: Mapping[str, object], rules: Rules) -> str:
    """Say why a left-over object is not deleted; empty when it may go."""
    kind = str(body.get("kind"))
    if not rules.prune:
        return "stays: --no-prune"
    if annotations_of(body).get(KEEP_ANNOTATION) == "false":
        return f'stays: it is annotated {KEEP_ANNOTATION}: "false"'
    if kind in GUARDED and kind not in rules.prune_kinds:
        return f"stays: a {kind} goes only with --prune-kind {kind}"
    return ""


def guard(doomed: int, members: int, rules: Rules) -> None:
    """Stop before most of what is there would be deleted.

    Raises:
        GateRefusedError: more than half of the members would go, and more than ALWAYS_ALLOWED.
    """
    if doomed <= ALWAYS_ALLOWED or doomed * 2 <= members or rules.allow_mass_deletion:
        return
    raise GateRefusedError(
        f"{doomed} of the {members} objects of this topology would be deleted, more than half; nothing was changed",
        hint="is it the right tiers.yaml? tiers diff shows them; tiers apply --allow-mass-deletion deletes them, "
        "tiers apply --no-prune leaves them",
    )


def delete(  # one parameter for each circumstance
    kinds: Kinds,
    doomed: Sequence[Seen],
    *,
    stopped: bool = False,
    tell: Progress | None = None,
    outcome: Outcome = Outcome.PRUNED,
    reason_to_stop: Callable[[], str] | None = None,
) -> list[AppliedObject]:
    """Delete objects, the last rank first; a rank with a refusal is the last one.

    Args:
        kinds: the way to the cluster.
        doomed: what to delete, as it was looked at.
        stopped: delete nothing, only say so: something else was refused before.
        tell: told of each object when its rank is done.
        outcome: what to call it when it is gone.
        reason_to_stop: asked before each rank; what it says is why nothing more is deleted.

    Raises:
        UnreachableError: the server does not answer. Repeat: what is gone stays gone.
    """
    ordered = sorted(doomed, key=lambda each: (-rank_of(each.key[1]), each.key))
    results: list[AppliedObject] = []
    why = "nothing is deleted after a refusal"
    with ThreadPoolExecutor(max_workers=PARALLEL) as threads:
        for _, rank in groupby(ordered, key=lambda each: rank_of(each.key[1])):
            work = list(rank)
            if not stopped and reason_to_stop is not None and (said := reason_to_stop()):
                stopped, why = True, said
            if stopped:
                done = [_done(each, Outcome.NOT_TRIED, why) for each in work]
            else:
                done = list(threads.map(lambda each: _delete(kinds, each, outcome), work))
                done = _above(kinds, work, done, outcome)
            if tell is not None:
                for each in done:
                    tell(each)
            results += done
            stopped = stopped or any(each.failed for each in done)
    return results


def _above(
    kinds: Kinds, work: Sequence[Seen], done: Sequence[AppliedObject], outcome: Outcome
) -> list[AppliedObject]:
    """Try again what was refused because of others that have gone since: a queue goes after the queues below it.

    Volcano's webhook hears of those a moment later, so there are a few tries; none when nothing of the rank has gone.
    """
    results = list(done)
    for _ in range(_QUEUE_TRIES):
        refused = [
            place for place, each in enumerate(results) if each.failed and work[place].key[1] == "Queue"
        ]
        if not refused or len(refused) == len(results):
            break
        threading.Event().wait(_QUEUE_PAUSE_SECONDS)
        for place in refused:
            results[place] = _delete(kinds, work[place], outcome)
    return results


def _delete(kinds: Kinds, looked: Seen, outcome: Outcome) -> AppliedObject:
    """Delete one object, if it is still what was looked at."""
    api_version, kind, namespace, name = looked.key
    version = looked.version
    try:
        path = kinds.resource(api_version, kind).path(namespace, name)
        for _ in range(_LOOKS):
            try:
                kinds.connection.send("DELETE", path, {}, _options(looked.uid, version))
            except RefusedError as error:
                if error.status == NOT_FOUND:
                    break
                if error.status != CONFLICT:
                    raise
            else:
                break
            now = get(kinds, looked.key)
            if now is None or _is_going(now):
                break
            if not is_still(looked, now):
                said = "somebody has changed it since it was looked at"
                return _done(looked, Outcome.REFUSED, said, cure="tiers diff, then tiers apply")
            version = seen(looked.key, now).version
        else:
            return _done(looked, Outcome.REFUSED, "it keeps changing", cure="tiers apply")
    except ClusterError as error:
        return _done(looked, Outcome.REFUSED, error.message, cure=error.hint)
    return _done(looked, outcome)


def _options(uid: str, version: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Background",
        "preconditions": {"uid": uid, "resourceVersion": version},
    }


def _is_going(body: Mapping[str, object]) -> bool:
    """Tell whether it is deleted and only waits for its finalizers: then our lost first try did it, or somebody."""
    metadata = body.get("metadata")
    return isinstance(metadata, Mapping) and bool(metadata.get("deletionTimestamp"))


def _done(looked: Seen, outcome: Outcome, message: str = "", cure: str = "") -> AppliedObject:
    _, kind, namespace, name = looked.key
    return AppliedObject(outcome, kind, namespace, name, "", message, cure=cure)
