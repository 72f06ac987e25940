"""tiers.lock made: the digest of every image that rendering names, asked from its registry once, then kept.

After `used` and `registry`; `render.lock` reads what is written here. A row stays as it is until somebody says
`--update`, so that two renderings of one commit run the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from toolkit.errors import RegistryError, RenderError, TiersError
from toolkit.images.reference import Reference, parse_reference
from toolkit.images.registry import Resolved
from toolkit.images.used import UsedImage
from toolkit.render.lock import Lock
from toolkit.sync.whole import write_whole

_AT_ONCE = 8

Outcome = Literal["added", "kept", "updated", "removed"]
Resolve = Callable[[Reference], Resolved]


@dataclass(frozen=True)
class LockedImage:
    """A row of tiers.lock and what became of it."""

    image: str
    outcome: Outcome
    digest: str
    """The digest now; of a removed row the last one."""
    before: str = ""
    """The digest that was there, when it is another."""
    platforms: tuple[str, ...] = ()
    """What the registry said it has, when it was asked and the image is for several machines."""


@dataclass(frozen=True)
class Locking:
    """A new tiers.lock beside the old one."""

    lock: Lock
    rows: tuple[LockedImage, ...]

    @property
    def changed(self) -> tuple[LockedImage, ...]:
        """The rows that are not as before."""
        return tuple(row for row in self.rows if row.outcome != "kept")


def lock_images(used: Sequence[UsedImage], old: Lock, resolve: Resolve, *, update: bool) -> Locking:
    """Give every tag a digest; rows of images that nothing names go.

    Args:
        used: what rendering names; an image with a digest in its name needs no row.
        old: the lock as it is.
        resolve: asks a registry.
        update: ask for all tags again, not only for new ones.

    Raises:
        RegistryError: an image is missing, not shown to us, or not made for machines that run it.
        UnreachableError, IntegrityError: as `resolve`; with several the first in order of name.
    """
    wanted = {each.image: each for each in used if "@" not in each.image}
    asked = [name for name in wanted if update or name not in old.images]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        futures = {name: pool.submit(resolve, parse_reference(name)) for name in asked}
    failed = {name: error for name, future in futures.items() if (error := future.exception()) is not None}
    _raise_first(failed)
    answers = {name: future.result() for name, future in futures.items()}
    for name, answer in answers.items():
        _refuse_other_machines(wanted[name], answer)
    digests = {name: answers[name].digest if name in answers else old.images[name] for name in sorted(wanted)}
    rows = [_row(name, digest, old, answers.get(name)) for name, digest in digests.items()]
    rows += [LockedImage(name, "removed", old.images[name]) for name in sorted(set(old.images) - set(wanted))]
    return Locking(Lock(images=digests), tuple(rows))


def write_lock(path: Path, lock: Lock) -> None:
    """Write tiers.lock whole or not at all; equal locks give equal bytes.

    Raises:
        RenderError: the disk does not take it.
    """
    text = msgspec.json.format(msgspec.json.encode(lock, order="sorted"), indent=2) + b"\n"
    try:
        write_whole(path, text)
    except OSError as exc:
        raise RenderError(f"cannot write {path}: {exc.strerror}", hint="mend the folder's rights") from exc


def _row(name: str, digest: str, old: Lock, answer: Resolved | None) -> LockedImage:
    before = old.images.get(name, "")
    outcome: Outcome = "kept" if before == digest else "updated" if before else "added"
    platforms = answer.platforms if answer is not None else ()
    return LockedImage(name, outcome, digest, before if outcome == "updated" else "", platforms)


def _raise_first(failed: dict[str, BaseException]) -> None:
    """Raise the first error, which tells how many images have one."""
    for name in sorted(failed):
        error = failed[name]
        if isinstance(error, TiersError) and len(failed) > 1:
            others = ", ".join(sorted(set(failed) - {name}))
            raise type(error)(
                f"{error.message}; nor was it possible for {others}", hint=error.hint
            ) from error
        raise error


def _refuse_other_machines(image: UsedImage, answer: Resolved) -> None:
    missing = [each for each in image.platforms if answer.platforms and each not in answer.platforms]
    if missing:
        raise RegistryError(
            f"{image.image} is made for {', '.join(answer.platforms)} and not for {', '.join(missing)}, which runs it",
            hint=f"push one for {missing[0]} too, or give that pool an image of its own",
        )
