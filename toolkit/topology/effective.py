"""Which settings hold for a device, key by key: its own beat rules that match it, those its pool's, those its tier's.

Stands between the nouns and whoever reads settings: Topology.settings_of() for one device, `settings_of_all` for a
pool. Ten thousand devices have few different settings: what is made of settings is made once for all who share them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from toolkit.topology.settings import Settings

if TYPE_CHECKING:
    from toolkit.topology.override import Override
    from toolkit.topology.topology import PlacedPool

_NOTHING = Settings()


@dataclass(frozen=True)
class Alike:
    """Devices of one pool for which the same is set."""

    settings: Settings
    devices: tuple[str, ...]


def rules_for(placed: PlacedPool, device: str, overrides: Sequence[Override]) -> tuple[int, ...]:
    """Give the positions of the rules that match a device, in their order; so the last of them is the strongest."""
    labels = placed.labels_of(device)
    return tuple(position for position, rule in enumerate(overrides) if rule.match.fits(device, labels))


def settings_of(placed: PlacedPool, device: str | None, overrides: Sequence[Override]) -> Settings:
    """Give the settings that hold for a pool, or for one device of it."""
    if device is None:
        return merged(_of_pool(placed))
    rules = (overrides[position].set for position in rules_for(placed, device, overrides))
    return merged((*_of_pool(placed), *rules, placed.pool.devices.get(device, _NOTHING)))


def settings_of_all(placed: PlacedPool, overrides: Sequence[Override]) -> tuple[Alike, ...]:
    """Give all devices of a pool in groups for which the same settings hold, in the order of their first device."""
    # Two nouns with equal values may have set different keys, and only what is set beats the pool.
    groups: dict[tuple[tuple[int, ...], frozenset[str], Settings], list[str]] = {}
    for device in placed.node_names:
        own = placed.pool.devices.get(device, _NOTHING)
        rules = rules_for(placed, device, overrides) if overrides else ()
        groups.setdefault((rules, frozenset(own.model_fields_set), own), []).append(device)
    base = _of_pool(placed)
    together: dict[Settings, list[str]] = {}
    for (rules, _, own), devices in groups.items():
        layers = (*base, *(overrides[position].set for position in rules), own)
        together.setdefault(merged(layers), []).extend(devices)
    return tuple(Alike(settings, tuple(devices)) for settings, devices in together.items())


def merged(layers: Iterable[Settings]) -> Settings:
    """Lay settings over each other, the strongest last; a key that nobody sets has its default."""
    values = {key: getattr(layer, key) for layer in layers for key in layer.model_fields_set}
    return Settings().model_copy(update=values)


def _of_pool(placed: PlacedPool) -> tuple[Settings, ...]:
    return placed.tier.settings, placed.pool.settings
