"""What a device gives up when something new does not fit on its disk: what nobody needs first, what serves never. Pure.

`edge_runtime.room` asks when an offer is refused with no-space, gives `install.step` an `Evicted` for each model that
gives something up, and only then deletes. A model that is wanted keeps the version that serves and the one to fall back
to, whatever is offered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import replace

from toolkit.protocol.installation import GOOD_VERSIONS, Installation
from toolkit.wire.states import InstallState


def choose(
    installations: Iterable[Installation], asking: str, size_of: Callable[[str], int], short_bytes: int
) -> dict[str, frozenset[str]]:
    """Choose what goes.

    Args:
        installations: of all models of the device.
        asking: model for which room is made; it gives up nothing itself.
        size_of: gives the bytes that an artifact takes on the disk.
        short_bytes: that are lacking.

    Returns:
        Model -> artifacts that it gives up; empty when all of it together would not be enough.
    """
    others = [each for each in installations if each.model != asking]
    chosen: dict[str, frozenset[str]] = {}
    for model, artifact in _expendable(others):
        if short_bytes <= 0:
            break
        size = size_of(artifact)
        if size:
            chosen[model] = chosen.get(model, frozenset()) | {artifact}
            short_bytes -= size
    return chosen if short_bytes <= 0 else {}


def _expendable(held: list[Installation]) -> Iterator[tuple[str, str]]:
    """Give what could go, the most dispensable first."""
    for each in held:
        begun = each.offer.artifact if each.offer and each.state is InstallState.CANCELLED else None
        if begun is not None and begun not in {good.artifact for good in each.good}:
            yield each.model, begun
    for each in held:
        kept = 1 if each.withdrawn else GOOD_VERSIONS
        for good in reversed(each.good[kept:]):
            if good.artifact != each.serving:
                yield each.model, good.artifact
    for each in held:
        if each.withdrawn and each.good and each.good[0].artifact != each.serving:
            yield each.model, each.good[0].artifact


def without(held: Installation, artifacts: frozenset[str]) -> tuple[Installation, bool]:
    """Take artifacts that are given up out of an installation; tell whether what was begun of its offer goes too.

    What a model has to keep stays, whatever is asked.
    """
    allowed = {artifact for _, artifact in _expendable([held])} & artifacts
    good = tuple(each for each in held.good if each.artifact not in allowed)
    begun = held.state is InstallState.CANCELLED and held.offer is not None and held.offer.artifact in allowed
    return replace(held, good=good), begun
