"""Make a cluster equal to what was rendered: write what differs by rank, then prune. Between `diff` and `wait`.

Every write is one server-side apply without force, so a field of another manager is never taken over silently. Objects
of one rank go in parallel; a rank with a refusal is the last one, because later ranks lean on it, and then nothing is
pruned either. The parent of the set is widened before the first member is written and narrowed after the last one is
gone. Killed at any point and repeated, it goes on: what was written is equal then, and equal objects are not written.

With `exact` a write names the resourceVersion that was looked at, so the server itself refuses what somebody changed in
between. It cannot name the absence of an object: one that appears in between is met without force, as always.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import groupby

from toolkit.cluster.applyset import ApplySet, Contents
from toolkit.cluster.compare import is_as_wanted
from toolkit.cluster.diff import Action, Diff, ObjectDiff, diff, members_of, put
from toolkit.cluster.kinds import Kinds
from toolkit.cluster.live import PARALLEL, Key, get, key_of
from toolkit.cluster.outcome import Applied, AppliedObject, Outcome, Progress, raise_for, remedies
from toolkit.cluster.parent import record
from toolkit.cluster.prune import Seen, delete, guard, is_still, seen
from toolkit.cluster.refusal import CONFLICT, ConflictError, FieldConflict, RefusedError
from toolkit.cluster.request import Connection
from toolkit.cluster.rules import SAFE, Rules
from toolkit.errors import ClusterError
from toolkit.render.rendered import RenderedObject

_LOOKS = 5
"""How often an object is looked at again because its status moves."""

__all__ = ["Applied", "AppliedObject", "Outcome", "Progress", "apply", "raise_for", "remedies"]


def apply(  # what and where; the rest are its choices
    connection: Connection,
    topology: str,
    objects: Sequence[RenderedObject],
    *,
    rules: Rules = SAFE,
    found: Diff | None = None,
    progress: Progress | None = None,
    reason_to_stop: Callable[[], str] | None = None,
    exact: bool = False,
) -> Applied:
    """Write every object that differs, then delete what is not rendered any more.

    Nothing is sent for an object that is as wanted. Objects without a Namespace among them (one job) are no set: for
    them nothing is recorded and nothing pruned.

    Args:
        connection: the way to the cluster.
        topology: its name.
        objects: what was rendered; only this cluster's count.
        rules: what is allowed; the same that `found` was looked for with.
        found: the differences when they are known already, for instance shown to a person; else they are looked for.
        progress: told of each object when it is done, from several threads.
        reason_to_stop: asked before each write; what it says is why nothing more is written, a lost lock for instance.
        exact: write only what is still as `found` saw it; a status may move.

    Raises:
        GateRefusedError: more than half of the set would be deleted; nothing was written.
        ClusterError: a kind does not exist in the cluster or may not be listed, or another tool keeps the set;
            nothing was written.
        UnreachableError: the server does not answer. Repeat: what was written stays and is skipped.
    """
    known = found or diff(connection, topology, objects, rules)
    doomed = known.having(Action.PRUNE)
    guard(len(doomed), known.members, rules)
    applyset, wanted = members_of(connection, topology, objects)
    work = _Work(Kinds(connection), {each.key: each for each in known.objects}, rules, progress)
    work.exact, work.ask = exact, reason_to_stop
    # The parent lives in the Namespace, so that goes first. A member before its parent is no harm: a Namespace stays.
    work.write([each for each in wanted if each.kind == "Namespace"])
    kept = known.having(Action.LEFT_OVER)
    if applyset:
        here = _contents(applyset, wanted, kept)
        covered = (known.recorded or Contents()) | here
        if covered != known.recorded:
            work.record(applyset, covered)
    work.write([each for each in wanted if each.kind != "Namespace"])
    work.results += [_done(each, Outcome.LEFT_OVER, each.message) for each in kept]
    work.look()
    going = [each.seen for each in doomed if each.seen]
    work.results += delete(
        work.kinds, going, stopped=work.stopped, tell=progress, reason_to_stop=reason_to_stop
    )
    if applyset and covered != here and not any(each.failed for each in work.results):
        work.record(applyset, here)
    return Applied(connection.cluster, connection.context, tuple(work.results))


def _contents(applyset: ApplySet, wanted: Sequence[RenderedObject], kept: Sequence[ObjectDiff]) -> Contents:
    """Say where members are when everything has gone well."""
    rendered = [(each.api_version, each.kind, each.namespace) for each in wanted if not each.submitted]
    return applyset.contents([*rendered, *(each.key[:3] for each in kept)])


@dataclass
class _Work:
    """One apply on its way through the ranks."""

    kinds: Kinds
    actions: Mapping[Key, ObjectDiff]
    rules: Rules
    tell: Progress | None
    results: list[AppliedObject] = field(default_factory=list)
    stopped: bool = False
    exact: bool = False
    ask: Callable[[], str] | None = None
    why: str = ""

    def look(self) -> None:
        """Stop when somebody says so."""
        if not self.stopped and self.ask is not None and (why := self.ask()):
            self.stopped, self.why = True, why

    def write(self, objects: Sequence[RenderedObject]) -> None:
        """Bring objects, sorted by rank, to what is wanted."""
        with ThreadPoolExecutor(max_workers=PARALLEL) as threads:
            for _, rank in groupby(objects, key=lambda each: each.rank):
                done = list(threads.map(self._bring, rank))
                self.results += done
                self.stopped = self.stopped or any(each.failed for each in done)

    def record(self, applyset: ApplySet, contents: Contents) -> None:
        """Write the parent; a refusal counts like that of an object."""
        self.look()
        if self.stopped:
            return
        try:
            record(self.kinds, applyset, contents)
        except ClusterError as error:
            conflicts = error.conflicts if isinstance(error, ConflictError) else ()
            outcome = Outcome.CONFLICT if conflicts else Outcome.REFUSED
            self.results.append(
                AppliedObject(
                    outcome,
                    "ConfigMap",
                    applyset.namespace,
                    applyset.name,
                    "",
                    error.message,
                    conflicts,
                    error.hint,
                )
            )
            self.stopped = True

    def _bring(self, rendered: RenderedObject) -> AppliedObject:
        """Bring one object to what is wanted and tell about it."""
        known = self.actions[key_of(rendered.body)]
        self.look()
        if known.action is Action.NOTHING:
            done = _done(known, Outcome.UNCHANGED)
        elif self.stopped:
            why = self.why or "an object that it may lean on was refused"
            done = _done(known, Outcome.NOT_TRIED, why)
        elif known.action is Action.FOREIGN:
            done = _done(known, Outcome.REFUSED, known.message, cure=known.cure)
        else:
            done = self._send(rendered, known)
        if self.tell is not None:
            self.tell(done)
        return done

    def _send(self, rendered: RenderedObject, known: ObjectDiff) -> AppliedObject:
        taken = ""
        try:
            try:
                self._put(rendered, known.seen)
            except ConflictError as error:
                # Only what was shown is taken by force, not what somebody took in the meantime.
                if not self.rules.force_conflicts or not set(error.conflicts) <= set(known.conflicts):
                    return _done(known, Outcome.CONFLICT, error.message, error.conflicts)
                self._put(rendered, known.seen, force=True)
                taken = "; ".join(f"took {each.field} from {each.owner}" for each in error.conflicts)
        except ClusterError as error:
            return _done(known, Outcome.REFUSED, error.message, cure=error.hint)
        return _done(known, Outcome.CREATED if known.action is Action.CREATE else Outcome.CHANGED, taken)

    def _put(self, rendered: RenderedObject, looked: Seen | None, *, force: bool = False) -> None:
        """Send one object; with `exact` only over what was looked at."""
        if not self.exact or looked is None:
            put(self.kinds, rendered, dry_run=False, force=force)
            return
        version = looked.version
        for _ in range(_LOOKS):
            try:
                put(self.kinds, _over(rendered, looked.uid, version), dry_run=False, force=force)
            except RefusedError as error:
                if error.status != CONFLICT or isinstance(error, ConflictError):
                    raise
            else:
                return
            now = get(self.kinds, looked.key)
            if now is not None and is_as_wanted(
                now, rendered.body
            ):  # our own first try, whose answer was lost
                return
            if now is None or not is_still(looked, now, rendered.body):
                break
            version = seen(looked.key, now).version
        raise ClusterError(
            "somebody has changed it since it was looked at", hint="tiers diff, then tiers apply"
        )


def _over(rendered: RenderedObject, uid: str, version: str) -> RenderedObject:
    """Give an object that the server takes only over this version of the live one."""
    metadata = rendered.body["metadata"]
    named = dict(metadata) if isinstance(metadata, Mapping) else {}
    return replace(
        rendered, body={**rendered.body, "metadata": {**named, "uid": uid, "resourceVersion": version}}
    )


def _done(
    known: ObjectDiff,
    outcome: Outcome,
    message: str = "",
    conflicts: tuple[FieldConflict, ...] = (),
    cure: str = "",
) -> AppliedObject:
    return AppliedObject(
        outcome, known.kind, known.namespace, known.name, known.source, message, conflicts, cure
    )
