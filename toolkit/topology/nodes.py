"""A YAML document as nodes that know their place, and the paths through it.

`read` makes these from text; `variables`, `inventory` and `merge` change them; `shape` turns them into nouns;
`references` and `explain` look things up in them. Nodes are never changed, every step makes new ones.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from toolkit.errors import Place

ScalarValue: TypeAlias = str | int | float | bool | None
Path: TypeAlias = tuple[str | int, ...]
"""Keys and list positions from the top of the document."""


@dataclass(frozen=True)
class Scalar:
    """One value."""

    value: ScalarValue
    place: Place
    text: str = ""
    """As it was written, without quotes."""
    plain: bool = False
    """Whether it was written without quotes, so that its text decided its type."""


@dataclass(frozen=True)
class Items:
    """A list."""

    children: tuple["Node", ...]
    place: Place


@dataclass(frozen=True)
class Fields:
    """A mapping; the order is the file's."""

    entries: Mapping[str, "Entry"]
    place: Place


@dataclass(frozen=True)
class Entry:
    """A key with its value, and the entry of an earlier file that it replaced."""

    key_place: Place
    node: "Node"
    replaced: "Entry | None" = field(default=None)


Node: TypeAlias = Scalar | Items | Fields


def plain(node: Node) -> object:
    """Give the node as dict, tuple and scalars, the way the nouns are validated."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Items):
        return tuple(plain(child) for child in node.children)
    return {key: plain(entry.node) for key, entry in node.entries.items()}


def find(root: Node, path: Path) -> Node | None:
    """Give the node at a path, None when there is none."""
    node: Node | None = root
    for step in path:
        node = _child(node, step) if node is not None else None
    return node


def find_entry(root: Node, path: Path) -> Entry | None:
    """Give the entry at a path that ends in a key, None when there is none."""
    parent = find(root, path[:-1])
    return parent.entries.get(str(path[-1])) if isinstance(parent, Fields) else None


def place_of(root: Node, path: Path, *, key: bool = False) -> Place:
    """Give the place of a value (or of its key); of the nearest one above when it is not there."""
    for length in range(len(path), 0, -1):
        entry = find_entry(root, path[:length])
        node = find(root, path[:length])
        if entry is not None and (key or length < len(path)):
            return entry.key_place
        if node is not None:
            return node.place
    return root.place


def keys_at(root: Node, path: Path) -> tuple[str, ...]:
    """Give the keys of the mapping at a path; none when there is no mapping."""
    node = find(root, path)
    return tuple(node.entries) if isinstance(node, Fields) else ()


def matches(root: Node, pattern: tuple[str, ...]) -> Iterator[tuple[Path, Node]]:
    """Give every path that fits a pattern, in which `*` stands for any key or position."""
    found: list[tuple[Path, Node]] = [((), root)]
    for step in pattern:
        found = [
            ((*path, child_step), child)
            for path, node in found
            for child_step, child in _children(node)
            if step in ("*", child_step)
        ]
    yield from found


def walk(node: Node, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """Give every node below this one with its path, in the order of the file."""
    for step, child in _children(node):
        yield (*path, step), child
        yield from walk(child, (*path, step))


def without(node: Node, paths: Iterable[Path]) -> Node:
    """Give the node without the values at these paths; () is left alone."""
    by_step: dict[str | int, list[Path]] = {}
    for path in paths:
        if path:
            by_step.setdefault(path[0], []).append(path[1:])
    if isinstance(node, Fields):
        entries = {
            key: Entry(entry.key_place, without(entry.node, by_step[key]), entry.replaced)
            if key in by_step
            else entry
            for key, entry in node.entries.items()
            if () not in by_step.get(key, [])
        }
        return Fields(entries, node.place)
    if isinstance(node, Items):
        children = tuple(
            without(child, by_step.get(position, []))
            for position, child in enumerate(node.children)
            if () not in by_step.get(position, [])
        )
        return Items(children, node.place)
    return node


def with_entry(node: Node, path: tuple[str, ...], entry: Entry) -> Node:
    """Give the node with an entry put at a path of keys; a mapping that is missing on the way is made."""
    if not isinstance(node, Fields) or not path:
        return node
    key, rest = path[0], path[1:]
    if rest:
        old = node.entries.get(key) or Entry(entry.key_place, Fields({}, entry.node.place))
        entry = Entry(old.key_place, with_entry(old.node, rest, entry), old.replaced)
    return Fields({**node.entries, key: entry}, node.place)


def dotted(path: Path) -> str:
    """Write a path for people: `jobs.seg3d.retry.after[1]`; keys with a dot are quoted."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += "." * bool(text) + (f'"{step}"' if "." in step else step)
    return text


def _child(node: Node, step: str | int) -> Node | None:
    """Give one child of a node."""
    if isinstance(node, Fields):
        entry = node.entries.get(step) if isinstance(step, str) else None
        return entry.node if entry else None
    if isinstance(node, Items) and isinstance(step, int) and 0 <= step < len(node.children):
        return node.children[step]
    return None


def _children(node: Node) -> Iterable[tuple[str | int, Node]]:
    """Give all children with the step that leads to them."""
    if isinstance(node, Fields):
        return ((key, entry.node) for key, entry in node.entries.items())
    return enumerate(node.children) if isinstance(node, Items) else ()
