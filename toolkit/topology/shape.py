"""A document -> nouns. Every complaint of pydantic becomes a finding with its place.

Comes after `variables` and before `checks`. So that a wrong key in one line does not hide a wrong reference in
another, wrong parts are cut out and the rest is read again: the checks then see everything that is sound.
"""

from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from toolkit.errors import Place
from toolkit.topology.excerpt import masked
from toolkit.topology.fields import field_at, keys_of, noun_at, text_at
from toolkit.topology.findings import Findings, did_you_mean, listed
from toolkit.topology.nodes import (
    Entry,
    Fields,
    Items,
    Node,
    Path,
    Scalar,
    dotted,
    find,
    place_of,
    plain,
    walk,
    with_entry,
    without,
)
from toolkit.topology.problems import CATALOGUE
from toolkit.topology.read import read
from toolkit.topology.topology import Topology

_MOST_PASSES = 30

_KINDS = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "dict_type": "keys and values",
    "mapping_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
}

_STAND_INS = """
version: 1
name: unnamed
registry: file:///unknown
broker: {url: "mqtts://unknown"}
clusters: {unknown: {context: unknown, tiers: [edge, hot, warm, cold]}}
images: {edge: "unknown:0", jobs: "unknown:0"}
tiers: {edge: {}}
"""

_ABOUT_THE_KEY = {"E0311", "E0312"}
"""Problems whose message begins with the key, because the value must not be shown."""

_HARMLESS = {
    "run": "true",
    "path": "unknown",
    "source": "unknown@0",
    "image": "unknown:0",
    "context": "unknown",
}
"""Keys that no check looks at, with a value that stands in for a wrong or missing one."""


@dataclass(frozen=True)
class Shaped:
    """What is sound of a document, and what was cut out of it."""

    topology: Topology
    cut: frozenset[Path]

    def is_sound(self, *path: str | int) -> bool:
        """Tell whether nothing at, above or below a path was cut out."""
        return not any(path[: len(cut)] == cut or cut[: len(path)] == path for cut in self.cut)


def shape(root: Fields, findings: Findings) -> Shaped:
    """Read a document into a Topology; what is wrong goes to `findings` and is cut out.

    What a site must have and is missing or wrong is replaced with a stand-in, which nobody sees: the findings stop
    the command before.
    """
    cut, replaced = _without_value(root, findings), set[Path]()
    document = _stood_in(without(root, cut), root) if cut else root
    for _ in range(_MOST_PASSES):
        try:
            return Shaped(Topology.model_validate(plain(document)), frozenset(cut))
        except ValidationError as exc:
            errors = exc.errors(include_url=False)
        wrong: set[Path] = set()
        for error in errors:
            path = _path_in(document, error)
            follows = any(
                gone[: len(path)] == path for gone in cut | replaced
            )  # from what was cut out before
            if not follows:
                _report(document, path, error, findings)
            if error["type"] == "missing" and path[-1] in _HARMLESS:
                replaced.add(path)
            else:
                wrong.add(_what_to_cut(path, error))
        # A key of no weight for the checks gets a stand-in, so that it does not hide the rest of its noun.
        replaced |= {path for path in wrong if path[-1] in _HARMLESS and field_at(path) is not None}
        cut |= wrong - replaced
        document = _stood_in(without(root, cut | replaced), root)
        for path in replaced:
            document = _with_stand_in(document, path)
    nothing_is_sound: frozenset[Path] = frozenset({()})
    return Shaped(Topology.model_validate(plain(_stood_in(Fields({}, root.place), root))), nothing_is_sound)


def _without_value(root: Fields, findings: Findings) -> set[Path]:
    """Report every key and item without a value and give their paths; an unknown key has a problem of its own."""
    empty = set()
    for path, node in walk(root):
        if not isinstance(node, Scalar) or node.value is not None or path[0] == "variables":
            continue
        noun = noun_at(path[:-1])
        if noun is not None and str(path[-1]) not in keys_of(noun):
            continue
        name = f"'{path[-1]}'" if isinstance(path[-1], str) else "this item"
        findings.add("E0203", place_of(root, path, key=True), f"{name} has no value")
        empty.add(_up_to_list(path))
    return empty


def _with_stand_in(document: Fields, path: Path) -> Fields:
    """Put the stand-in for a key without weight, unless its noun has been cut out."""
    if not isinstance(find(document, path[:-1]), Fields):
        return document
    here = Place("")
    entry = Entry(here, Scalar(_HARMLESS[str(path[-1])], here))
    filled = with_entry(document, tuple(map(str, path)), entry)
    return filled if isinstance(filled, Fields) else document


def _path_in(document: Fields, error: ErrorDetails) -> Path:
    """Give the path of an error; names of union members and the like, which pydantic adds, are left out."""
    path: Path = ()
    for position, step in enumerate(error["loc"]):
        is_missing = error["type"] == "missing" and position == len(error["loc"]) - 1
        if is_missing or find(document, (*path, step)) is not None:
            path = (*path, step)
    return path


def _what_to_cut(path: Path, error: ErrorDetails) -> Path:
    """Give the part that has to go: the value; what lacks a key; the whole list when an item is wrong."""
    kept = path[:-1] if error["type"] == "missing" and len(path) > 1 else path
    return _up_to_list(kept)


def _up_to_list(path: Path) -> Path:
    """Shorten a path that goes into a list to the list, so that positions in it stay what they are."""
    first_item = next((position for position, step in enumerate(path) if isinstance(step, int)), len(path))
    return path[:first_item]


def _stood_in(document: Node, root: Fields) -> Fields:
    """Fill in what every site must have."""
    stand_ins = read(_STAND_INS, "", Findings())
    entries: dict[str, Entry] = dict(document.entries) if isinstance(document, Fields) else {}
    if isinstance(stand_ins, Fields):
        entries = {**stand_ins.entries, **entries}
    return Fields(entries, root.place)


def _report(document: Fields, path: Path, error: ErrorDetails, findings: Findings) -> None:
    """Turn one error into a finding."""
    kind, key = error["type"], str(path[-1]) if path else ""
    is_key = error["loc"][-1:] == ("[key]",)
    place = place_of(document, path, key=is_key or kind == "extra_forbidden")
    where = dotted(path[:-1])
    if kind == "missing":
        findings.add(
            "E0202",
            place_of(document, path[:-1], key=True),
            f"'{key}' is missing {f'in {where}' if where else 'at the top of the file'}",
            cure=_how(path),
        )
    elif kind == "extra_forbidden":
        findings.add(
            "E0201",
            place,
            f"'{key}' is not a key {f'of {where}' if where else 'at the top of the file'}{_near(document, path)}",
            cure=_known(path[:-1]),
        )
    elif kind in CATALOGUE:
        findings.add(
            kind, place, f"'{key}' {error['msg']}" if kind in _ABOUT_THE_KEY else masked(error["msg"])
        )
    elif path == ("version",):
        findings.add("E0205", place, f"version {_shown(document, path)} of this format is not known")
    elif kind == "literal_error":
        words = error["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        said = key if is_key else _shown(document, path)
        message = f"'{said}' is not {listed(words, 'or')}{did_you_mean(said, words)}"
        findings.add("E0301", place, message, cure=f"write {listed(words, 'or')}")
    elif kind in _KINDS:
        _report_kind(document, path, kind, findings)
    elif kind == "too_short":
        findings.add("E0309", place, f"'{key}' is empty")
    else:
        findings.add("E0309", place, f"'{key}' {error['msg'].removeprefix('Input ')}")


def _report_kind(document: Fields, path: Path, kind: str, findings: Findings) -> None:
    """Report a value of the wrong kind, with the cure for a text that lost its quotes."""
    node = find(document, path)
    expected = _KINDS[kind]
    key = next((str(step) for step in reversed(path) if isinstance(step, str)), "")
    cure = f"write {expected}"
    if kind == "string_type" and isinstance(node, Scalar):
        cure = f'put quotes around it: "{node.text}"'
    elif isinstance(node, Scalar) and isinstance(node.value, str) and not node.plain:
        cure = f"write {expected} without quotes"
    elif kind == "tuple_type" and isinstance(node, Scalar):
        cure = f"write it as a list: [{node.text}]"
    found = (
        f"'{_shown(document, path)}'"
        if isinstance(node, Scalar)
        else "a list"
        if isinstance(node, Items)
        else "keys"
    )
    findings.add(
        "E0204", place_of(document, path), masked(f"'{key}' takes {expected}, not {found}"), cure=cure
    )


def _shown(document: Fields, path: Path) -> str:
    """Give the text of a value for a message."""
    node = find(document, path)
    return node.text if isinstance(node, Scalar) else ""


def _near(document: Fields, path: Path) -> str:
    """Say which key was meant: one of the same noun that is not there yet, else one of a noun inside it."""
    noun, key = noun_at(path[:-1]), str(path[-1])
    if noun is None:
        return ""
    known = keys_of(noun)
    meant = did_you_mean(key, [word for word in known if find(document, (*path[:-1], word)) is None])
    if meant:
        return meant
    for name in known:
        inner = noun_at((*path[:-1], name))
        if inner is not None and key in keys_of(inner):
            return f"; it belongs into '{name}'"
    return ""


def _known(path: Path) -> str:
    """Name the keys that may stand at a path."""
    noun = noun_at(path)
    return f"keys here are {', '.join(keys_of(noun))}" if noun else ""


def _how(path: Path) -> str:
    """Say what a missing key is for."""
    about = text_at(path).rstrip(".")
    return f"add '{path[-1]}': {about[:1].lower()}{about[1:]}" if about else ""
