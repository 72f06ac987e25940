"""What a restore would do, file by file, before anything is written: what is there, what is the same, what is newer.

Between `shelf` and `restore`. An empty machine gets everything. Where something is there already, numbers decide that
only grow (counter of a model, sequence of a Ref, number and seq of a rollout), never times of a day: an older state
never takes the place of a newer one unless somebody says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from toolkit.backup.gather_broker import BROKER, is_saved, topic_of
from toolkit.backup.gather_clusters import REVISIONS
from toolkit.backup.gather_files import FILES, KEYS
from toolkit.backup.gather_registry import REGISTRY
from toolkit.backup.gather_storages import STORAGES
from toolkit.backup.numbers import document_numbers, ref_numbers
from toolkit.backup.shelf import Saved, SavedRemote
from toolkit.errors import IntegrityError
from toolkit.sync.layouts.documents import Documents
from toolkit.sync.ref import Ref
from toolkit.sync.remotes.remote import Remote
from toolkit.wire.document import MAX_DOCUMENT_BYTES
from toolkit.wire.topics import Topics

NAMED_BY_CONTENT = ("indexes/", "packs/")
_AS_FILES = (REVISIONS, STORAGES)


class Action(str, Enum):
    """What a restore does with one file of a backup."""

    WRITE = "write"
    SAME = "same"
    """It is there already."""
    NEWER = "newer there"
    DIFFERS = "differs there"
    """What is there is neither the same nor comparable."""
    LEAVE = "left out"

    @property
    def is_refused(self) -> bool:
        """Whether somebody has to say what shall happen."""
        return self in {Action.NEWER, Action.DIFFERS}


@dataclass(frozen=True)
class Step:
    """One file of a backup and what happens with it."""

    path: str
    action: Action
    where: str
    """The place it goes to: a file, a key of the registry, a topic."""
    why: str = ""
    total_bytes: int = 0

    @property
    def part(self) -> str:
        """The part of the backup that it belongs to."""
        return self.path.partition("/")[0]

    @property
    def name(self) -> str:
        """Its path inside of the part."""
        return self.path.partition("/")[2]


@dataclass(frozen=True)
class Targets:
    """Where a restore goes."""

    folder: Path
    """For files of the site, and for what has no place of its own."""
    registry: Remote | None = None
    """None leaves the registry out."""
    broker: Mapping[str, bytes] | None = None
    """What the new broker retains now, by topic; None lays its documents down as files."""
    with_keys: bool = False
    """Whether wrapped keys can be opened."""


@dataclass(frozen=True)
class RestorePlan:
    """Every file of a backup with its action, in the order of writing: what others point to comes first."""

    saved: Saved = field(repr=False)
    steps: tuple[Step, ...]

    def of(self, *actions: Action) -> tuple[Step, ...]:
        """Give the steps with one of these actions."""
        return tuple(step for step in self.steps if step.action in actions)


def plan_restore(saved: Saved, targets: Targets) -> RestorePlan:
    """Compare a backup with what is there.

    Raises:
        RemoteUnavailableError: the registry, or the store of the backup, does not answer.
        IntegrityError: the backup was damaged.
    """
    by_part: dict[str, list[str]] = {}
    for path in sorted(saved.entries):
        by_part.setdefault(path.partition("/")[0], []).append(path)
    steps: list[Step] = []
    for part in (FILES, KEYS, *_AS_FILES):
        steps += [_file(saved, targets, path) for path in by_part.get(part, ())]
    steps += _registry(saved, targets, by_part.get(REGISTRY, []))
    steps += [_document(saved, targets, path) for path in by_part.get(BROKER, ())]
    return RestorePlan(saved, tuple(steps))


def place_of_file(targets: Targets, path: str) -> Path:
    """Give where a file of a backup goes on this machine; paths of an index never leave a folder."""
    part, _, name = path.partition("/")
    return targets.folder / name if part in {FILES, KEYS} else targets.folder / part / name


def _file(saved: Saved, targets: Targets, path: str) -> Step:
    place, size = place_of_file(targets, path), saved.entries[path].size
    if path.startswith(f"{KEYS}/"):
        if not targets.with_keys:
            return Step(path, Action.LEAVE, str(place), "it is wrapped: --unwrap-with KEYFILE", size)
        action = Action.DIFFERS if place.exists() else Action.WRITE
        return Step(path, action, str(place), "a key is there already" if place.exists() else "", size)
    try:
        there = place.read_bytes() if place.is_file() and not place.is_symlink() else None
    except OSError as error:
        return Step(path, Action.DIFFERS, str(place), f"it cannot be read: {error.strerror}", size)
    if there is None:
        in_the_way = place.is_symlink() or place.exists()
        action = Action.DIFFERS if in_the_way else Action.WRITE
        return Step(path, action, str(place), "something else is in the way" if in_the_way else "", size)
    same = there == saved.read(path)
    return Step(
        path, Action.SAME if same else Action.DIFFERS, str(place), "" if same else "other content", size
    )


def _registry(saved: Saved, targets: Targets, paths: list[str]) -> Iterator[Step]:
    target = targets.registry
    ordered = sorted(paths, key=lambda path: (_rank(path), path))
    if target is None:
        yield from (
            Step(path, Action.LEAVE, path, "no registry was named: --registry URL", saved.entries[path].size)
            for path in ordered
        )
        return
    sizes = {found.key: found.size for prefix in NAMED_BY_CONTENT for found in target.list(prefix)}
    mine, theirs = Documents(SavedRemote(saved, REGISTRY)), Documents(target)
    for path in ordered:
        key, size = path.partition("/")[2], saved.entries[path].size
        where = f"{target.url}/{key}"
        if key.startswith("refs/"):
            yield _ref(path, where, size, mine, theirs)
        elif key.startswith(NAMED_BY_CONTENT):
            yield Step(path, Action.SAME if sizes.get(key) == size else Action.WRITE, where, "", size)
        else:
            # A manifest is named by what is signed; one that is there may have a signature more.
            yield Step(path, Action.SAME if target.exists(key) else Action.WRITE, where, "", size)


def _ref(path: str, where: str, size: int, mine: Documents, theirs: Documents) -> Step:
    name = path.partition("/")[2].removeprefix("refs/")
    saved, there = mine.read_ref(name), _ref_there(theirs, name)
    if saved is None:
        raise IntegrityError(f"the backup lists the Ref {name} and does not have it")
    if there is None:
        return Step(path, Action.WRITE, where, "", size)
    if isinstance(there, str):
        return Step(path, Action.DIFFERS, where, there, size)
    if (there.kind, there.digest, there.sequence) == (saved.kind, saved.digest, saved.sequence):
        return Step(path, Action.SAME, where, "", size)
    ours, others = ref_numbers(mine, saved), ref_numbers(theirs, there)
    newer = others > ours
    why = f"it counts {others}, the backup {ours}" if others != ours else "it points elsewhere"
    return Step(path, Action.NEWER if newer else Action.DIFFERS, where, why, size)


def _ref_there(theirs: Documents, name: str) -> Ref | str | None:
    try:
        return theirs.read_ref(name)
    except IntegrityError as error:
        return error.message


def _document(saved: Saved, targets: Targets, path: str) -> Step:
    if targets.broker is None:
        return _file(saved, targets, path)
    topic = topic_of(path.partition("/")[2], Topics(saved.facts.site))
    size, there = saved.entries[path].size, targets.broker.get(topic)
    if not is_saved(topic, Topics(saved.facts.site)):
        return Step(path, Action.LEAVE, topic, "a backup writes nothing there", size)
    if there is None:
        return Step(path, Action.WRITE, topic, "", size)
    data = saved.read(path, limit=2 * MAX_DOCUMENT_BYTES)
    if there == data:
        return Step(path, Action.SAME, topic, "", size)
    numbers, others = document_numbers(topic, data), document_numbers(topic, there)
    if numbers is None:
        return Step(path, Action.SAME, topic, "what stands there was said after the backup", size)
    if others is not None and others < numbers:
        return Step(path, Action.WRITE, topic, f"it counts {others}, the backup {numbers}", size)
    return Step(path, Action.NEWER, topic, f"it counts {others}, the backup {numbers}", size)


def _rank(path: str) -> int:
    """Order of writing: chunks, indexes, manifests, Refs."""
    kinds = ("packs", "indexes", "manifests", "refs")
    kind = path.split("/")[1]
    return kinds.index(kind) if kind in kinds else 0
