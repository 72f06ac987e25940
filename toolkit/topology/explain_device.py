"""Everything that holds for one device: each value, the file and line that set it, and who: device, rule, pool or tier.

Comes after `load`, beside `explain`, which does the same for a path; `tiers explain device NAME` prints it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from toolkit.errors import Place, UsageError
from toolkit.topology.explain import Layer, history, place_of_entry
from toolkit.topology.fields import keys_of
from toolkit.topology.findings import did_you_mean
from toolkit.topology.load import Loaded
from toolkit.topology.nodes import Fields, Path, find, find_entry, place_of, plain
from toolkit.topology.noun import as_written
from toolkit.topology.settings import Settings
from toolkit.topology.topology import PlacedPool

DEFAULT = "default"


@dataclass(frozen=True)
class EffectiveValue:
    """One value that holds for the device."""

    key: str
    value: object
    """In the words of tiers.yaml."""
    place: Place | None
    """Where it was written; None for a default."""
    by: str
    """Who set it: device, overrides[N], pool, tier, the path of another key, or default."""
    replaced: tuple[Layer, ...] = ()
    """What it beat, the strongest first."""


@dataclass(frozen=True)
class MatchedRule:
    """A rule that the device fits."""

    rule: str
    """overrides[N], as `tiers explain` takes it; of two rules the one with the higher number wins."""
    place: Place
    match: object
    """The condition, in the words of tiers.yaml."""
    decides: tuple[str, ...]
    """Keys whose value comes from this rule; those that it sets besides were beaten."""


@dataclass(frozen=True)
class ExplainedDevice:
    """One device."""

    name: str
    tier: str
    pool: str
    rules: tuple[MatchedRule, ...]
    values: tuple[EffectiveValue, ...]


def explain_device(loaded: Loaded, name: str) -> ExplainedDevice:
    """Say what holds for a device and why.

    Raises:
        UsageError: no pool of the edge tier has a device of this name.
    """
    placed = _pool_with(loaded, name)
    settings = tuple(_setting(loaded, placed, name, key) for key in keys_of(Settings))
    rules = tuple(
        MatchedRule(
            rule=f"overrides[{position}]",
            place=rule.place,
            match=plain(rule.entries["match"].node),
            decides=tuple(each.key for each in settings if each.by == f"overrides[{position}]"),
        )
        for position in loaded.topology.rules_for(placed, name)
        if isinstance(rule := find(loaded.document, ("overrides", position)), Fields)
    )
    values = (*_machine(loaded, placed, name), *_labels(loaded, placed, name), *settings)
    return ExplainedDevice(name, placed.tier_name, placed.name, rules, values)


def _pool_with(loaded: Loaded, name: str) -> PlacedPool:
    known: list[str] = []
    for placed in loaded.topology.pools():
        if placed.tier_name == "edge":
            if name in placed.node_names:
                return placed
            known += placed.node_names
    message = f"there is no device '{name}'{did_you_mean(name, known)}"
    raise UsageError(message, hint="tiers explain tiers.edge.pools")


def _machine(loaded: Loaded, placed: PlacedPool, name: str) -> Iterator[EffectiveValue]:
    """Give where the device is, what it is, and what runs on it."""
    topology, document, pool = loaded.topology, loaded.document, _path(placed)
    names: Path = (*pool, "nodes", "names")
    listed = placed.pool.nodes.count is None
    at: Path = (*names, placed.node_names.index(name)) if listed else (*pool, "nodes", "count")
    by = "nodes.names" if listed else "nodes.count"
    yield EffectiveValue("pool", placed.name, place_of(document, at), by)
    cluster = topology.cluster_of(placed)
    yield EffectiveValue("cluster", cluster, place_of(document, ("clusters", cluster), key=True), "clusters")
    yield EffectiveValue("hardware", placed.pool.hardware, place_of(document, (*pool, "hardware")), "pool")
    for path, by in (
        ((*pool, "image"), "pool"),
        (("images", "runtimes", placed.hardware.runtime), f"images.runtimes.{placed.hardware.runtime}"),
        (("images", "edge"), "images.edge"),
    ):
        if find(document, path) is not None:
            yield EffectiveValue("image", topology.edge_image(placed), place_of(document, path), by)
            break
    for model, noun in topology.models_on(placed.name).items():
        place = place_of(document, ("models", model, "pools"), key=True)
        yield EffectiveValue(f"models.{model}", noun.source, place, f"models.{model}.pools")


def _labels(loaded: Loaded, placed: PlacedPool, name: str) -> Iterator[EffectiveValue]:
    nodes: Path = (*_path(placed), "nodes")
    for key in sorted(placed.labels_of(name)):
        layers = (("device", (*nodes, "own_labels", name, key)), ("pool", (*nodes, "labels", key)))
        yield _strongest(loaded, f"labels.{key}", layers, None)


def _setting(loaded: Loaded, placed: PlacedPool, name: str, key: str) -> EffectiveValue:
    rules = reversed(loaded.topology.rules_for(placed, name))
    layers = (
        ("device", (*_path(placed), "devices", name, key)),
        *((f"overrides[{position}]", ("overrides", position, "set", key)) for position in rules),
        ("pool", (*_path(placed), "settings", key)),
        ("tier", ("tiers", placed.tier_name, "settings", key)),
    )
    return _strongest(loaded, key, layers, getattr(Settings(), key))


def _strongest(
    loaded: Loaded, key: str, layers: tuple[tuple[str, Path], ...], default: object
) -> EffectiveValue:
    """Give the value of the first layer that has one, with those below it as what it beat."""
    found = [(by, entry) for by, path in layers if (entry := find_entry(loaded.document, path)) is not None]
    if not found:
        return EffectiveValue(key, as_written(default), None, DEFAULT)
    (by, top), below = found[0], found[1:]
    replaced = (*history(top), *(Layer(plain(entry.node), place_of_entry(entry)) for _, entry in below))
    return EffectiveValue(key, plain(top.node), place_of_entry(top), by, replaced)


def _path(placed: PlacedPool) -> Path:
    return ("tiers", placed.tier_name, "pools", placed.name)
