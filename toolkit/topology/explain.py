"""Where a value comes from: file and line, or the default, what it means and what it replaced.

Comes after `load`; `tiers explain PATH` prints it. For settings of devices it follows
device, rules, pool and tier; `explain_device` gives all of one device.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toolkit.errors import Place, UsageError
from toolkit.topology.fields import keys_of, text_at
from toolkit.topology.findings import did_you_mean
from toolkit.topology.load import Loaded
from toolkit.topology.nodes import Entry, Path, Scalar, dotted, find, find_entry, plain
from toolkit.topology.noun import Noun, as_written

_STEP = re.compile(r'\.?(?:"(?P<quoted>[^"]*)"|\[(?P<position>[0-9]+)\]|(?P<word>[^.\[\]"]+))')


@dataclass(frozen=True)
class Layer:
    """A value that another one replaced."""

    value: object
    place: Place


@dataclass(frozen=True)
class Explanation:
    """One value of the site."""

    path: str
    """Where it stands in the document."""
    value: object
    """The value as text, number, list or mapping, in the words of tiers.yaml."""
    place: Place | None
    """Where it was written; None for a default."""
    about: str
    """What the key means."""
    replaced: tuple[Layer, ...]
    """What it replaced, the nearest first: earlier files, or rules, pool and tier for settings of a device."""


def explain(loaded: Loaded, path: str) -> tuple[Explanation, ...]:
    """Explain a value; for a noun or a map of names every value right below it.

    Args:
        loaded: a valid site.
        path: such as `models.us-segmentation.rollout.canary` or `jobs.seg3d.retry.after[1]`; empty for the top. A
            name with a dot in it is put in quotes.

    Raises:
        UsageError: nothing stands at the path and there is no default for it.
    """
    steps = _parse(path)
    value = _value_at(loaded, steps)
    if isinstance(find(loaded.document, steps), Scalar):
        return (_explain_one(loaded, steps),)  # a short form, such as 25% of a wave
    if isinstance(value, Noun):
        return tuple(_explain_one(loaded, (*steps, key)) for key in keys_of(type(value)))
    if isinstance(value, Mapping):
        return tuple(_explain_one(loaded, (*steps, str(key))) for key in value) or (
            _explain_one(loaded, steps),
        )
    return (_explain_one(loaded, steps),)


def _parse(text: str) -> Path:
    """Take a path apart. Raises UsageError."""
    steps: Path = ()
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            raise UsageError(f"'{text}' is not a path", hint="tiers explain models.NAME.rollout")
        step = int(match["position"]) if match["position"] else match["quoted"] or match["word"]
        steps = (*steps, int(step) if isinstance(step, str) and step.isdigit() and steps else step)
        position = match.end()
    return steps


def _value_at(loaded: Loaded, steps: Path) -> object:
    """Walk through the nouns. Raises UsageError with the nearest key when a step leads nowhere."""
    value: object = loaded.topology
    for position, step in enumerate(steps):
        children = _children(value)
        if step not in children and isinstance(value, tuple) and len(value) == 1:
            children = _children(value[0])  # one storage may be written without a list
        if step not in children:
            settings = _device_settings(loaded, steps[: position + 1])
            if settings is None:
                raise _nothing_there(steps, position, children)
            children = {step: settings}
        value = children[step]
    return value


def _children(value: object) -> Mapping[str | int, object]:
    """Give what stands right below a value, by key, name or position."""
    if isinstance(value, Noun):
        return {key: getattr(value, name) for key, name in _names_of(value)}
    if isinstance(value, Mapping):
        return value
    return dict(enumerate(value)) if isinstance(value, tuple) else {}


def _names_of(noun: Noun) -> Iterator[tuple[str, str]]:
    """Give the keys in YAML with the names of their attributes."""
    return ((info.alias or name, name) for name, info in type(noun).model_fields.items())


def _nothing_there(steps: Path, position: int, children: Mapping[str | int, object]) -> UsageError:
    """Make the error for a path that leads nowhere."""
    known = [str(child) for child in children]
    where = dotted(steps[:position])
    meant = did_you_mean(str(steps[position]), known)
    message = f"there is no '{steps[position]}' {f'in {where}' if where else 'in tiers.yaml'}{meant}"
    return UsageError(message, hint=f"tiers explain {where}".rstrip())


def _explain_one(loaded: Loaded, steps: Path) -> Explanation:
    """Explain the value at a path that exists."""
    layers = [
        (entry, path) for path in _layers(loaded, steps) if (entry := find_entry(loaded.document, path))
    ]
    about = text_at(steps)
    written = find(loaded.document, steps)
    if layers:
        entry = layers[0][0]
        replaced = [
            *history(entry),
            *(Layer(plain(below.node), place_of_entry(below)) for below, _ in layers[1:]),
        ]
        return Explanation(dotted(steps), plain(entry.node), place_of_entry(entry), about, tuple(replaced))
    if written is not None:  # an item of a list
        return Explanation(dotted(steps), plain(written), written.place, about, ())
    return Explanation(dotted(steps), as_written(_value_at(loaded, steps)), None, about, ())


def place_of_entry(entry: Entry) -> Place:
    """Give the place of a value; of the key when the value is a block of keys."""
    return entry.node.place if isinstance(entry.node, Scalar) else entry.key_place


def history(entry: Entry) -> Iterator[Layer]:
    """Give the values of earlier files that an entry replaced."""
    while entry.replaced is not None:
        entry = entry.replaced
        yield Layer(plain(entry.node), place_of_entry(entry))


def _layers(loaded: Loaded, steps: Path) -> list[Path]:
    """Give the paths at which a value may be set, the strongest first."""
    match steps:
        case ("tiers", tier, "pools", str(pool), "devices", device, key):
            placed = loaded.topology.pool(pool)
            rules = reversed(loaded.topology.rules_for(placed, str(device)))
            return [
                steps,
                *(("overrides", position, "set", key) for position in rules),
                ("tiers", tier, "pools", pool, "settings", key),
                ("tiers", tier, "settings", key),
            ]
        case ("tiers", tier, "pools", _, "settings", key):
            return [steps, ("tiers", tier, "settings", key)]
        case _:
            return [steps] if find_entry(loaded.document, steps) else []


def _device_settings(loaded: Loaded, steps: Path) -> object | None:
    """Give the settings that hold for a device which sets nothing itself; None when there is no such device."""
    match steps:
        case ("tiers", _, "pools", str(pool), "devices", str(device)):
            placed = loaded.topology.pool(pool)
            return loaded.topology.settings_of(placed, device) if device in placed.node_names else None
        case _:
            return None
