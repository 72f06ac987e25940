"""Carry out a plan: prove that everything reads, then write it, what others point to first.

After `plan`. Nothing is written before the last byte was proven. A run that was killed is simply run again: what it
wrote is there and the same. Files are written beside their place and renamed, objects are written whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from toolkit.backup.gather_broker import BROKER, Recorder, put_back, topic_of
from toolkit.backup.gather_files import KEYS, unwrap_key
from toolkit.backup.gather_registry import REGISTRY, check_registry
from toolkit.backup.plan import Action, RestorePlan, Step, Targets, place_of_file
from toolkit.backup.shelf import Saved
from toolkit.errors import GateRefusedError, UsageError
from toolkit.sync.whole import write_whole
from toolkit.wire.cipher_keys import CipherKeys
from toolkit.wire.topics import Topics

WhenThere = Literal["refuse", "keep", "replace"]
_SHOWN = 3


@dataclass(frozen=True)
class Restored:
    """What a restore came to."""

    written: tuple[Step, ...]
    kept: tuple[Step, ...]
    """What was there otherwise and stayed."""
    not_taken: tuple[str, ...]
    """Topics that the broker did not take."""


def restore(
    plan: RestorePlan,
    targets: Targets,
    *,
    when_there: WhenThere = "refuse",
    recorder: Recorder | None = None,
    unwrap: CipherKeys | None = None,
    listen: Callable[[str], None] = lambda _: None,
) -> Restored:
    """Bring back what a plan says.

    Args:
        plan: made just now, with the same targets.
        targets: where to.
        when_there: what happens with what is there and is newer or differs.
        recorder: the connection to the broker that `targets.broker` was read from.
        unwrap: what wrapped keys are opened with.
        listen: hears what is being done.

    Raises:
        GateRefusedError: something is there that is newer or differs, and nobody said what shall happen; nothing was
            written.
        IntegrityError, MissingObjectError: the backup was damaged; nothing was written.
        UsageError: a file cannot be written.
        RemoteUnavailableError: the registry or the store does not answer; run it again, it goes on.
    """
    refused = tuple(step for step in plan.steps if step.action.is_refused)
    if refused and when_there == "refuse":
        raise _refusal(refused)
    wanted = list(plan.of(Action.WRITE))
    if when_there == "replace":
        wanted = [step for step in plan.steps if step.action is Action.WRITE or step.action.is_refused]
    saved = plan.saved
    listen("prove")
    for step in wanted:
        saved.read(step.path)
        if step.part == KEYS and unwrap is not None:
            unwrap_key(saved.read(step.path), step.name, unwrap)
    documents: dict[str, bytes] = {}
    topics = Topics(saved.facts.site)
    for step in wanted:
        if step.part == REGISTRY and targets.registry is not None:
            targets.registry.write(step.name, saved.read(step.path))
        elif step.part == BROKER and targets.broker is not None:
            documents[topic_of(step.name, topics)] = saved.read(step.path)
        else:
            _write_file(saved, targets, step, unwrap)
        listen(step.path)
    if targets.registry is not None and any(step.part == REGISTRY for step in plan.steps):
        listen("read back")
        check_registry(targets.registry)
    not_taken = put_back(recorder, documents) if recorder is not None and documents else []
    kept = refused if when_there == "keep" else ()
    return Restored(tuple(wanted), kept, tuple(not_taken))


def _write_file(saved: Saved, targets: Targets, step: Step, unwrap: CipherKeys | None) -> None:
    place, data, mode = place_of_file(targets, step.path), saved.read(step.path), None
    if step.part == KEYS:
        if unwrap is None:
            return
        data, mode = unwrap_key(data, step.name, unwrap), 0o600
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_dir() and not place.is_symlink():
            raise UsageError(
                f"{place} is a folder; a file goes there", hint=f"move it away: mv {place} {place}.old"
            )
        write_whole(place, data, mode=mode)
    except OSError as error:
        raise UsageError(
            f"{place} cannot be written: {error.strerror}", hint="name another --into"
        ) from error


def _refusal(refused: tuple[Step, ...]) -> GateRefusedError:
    shown = "; ".join(f"{step.where}: {step.action.value} ({step.why})" for step in refused[:_SHOWN])
    more = f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
    return GateRefusedError(
        f"{len(refused)} things are there and would be replaced: {shown}{more}",
        hint="--dry-run lists them; --when-there keep leaves them, --when-there replace goes back to the backup",
    )
