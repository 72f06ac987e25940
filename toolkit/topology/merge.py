"""Several files become one document: `-f tiers.yaml -f site.yaml`.

Comes after `read` and before `variables`. Mappings merge by key; scalars and lists of a later file replace what was
there, and so does a reference to a secret: where it is kept is one thing, so `{file: …}` takes the place of
`{secret: …}`. Every value keeps its own file and line, and remembers what it replaced for `explain`.
"""

from toolkit.topology.nodes import Entry, Fields, Node, Scalar

_KEPT_IN = {"secret", "file", "env"}
"""Keys of a reference to a secret, which names exactly one of them."""


def merge(base: Fields, over: Fields) -> Fields:
    """Give the base with everything that the later file says.

    Keys keep the order of the base, new ones come at the end.
    """
    entries = dict(base.entries)
    for key, entry in over.entries.items():
        entries[key] = _merge_entry(entries[key], entry) if key in entries else entry
    return Fields(entries, base.place)


def _merge_entry(base: Entry, over: Entry) -> Entry:
    """Merge two values of one key; a mapping keeps the place of its first key, all else moves."""
    replaces = _is_reference(base.node) and _is_reference(over.node)
    if isinstance(base.node, Fields) and isinstance(over.node, Fields) and not replaces:
        return Entry(base.key_place, merge(base.node, over.node), base.replaced)
    return Entry(over.key_place, over.node, base)


def _is_reference(node: Node) -> bool:
    """Tell whether a mapping says where a secret is kept."""
    if not isinstance(node, Fields) or len(node.entries) != 1:
        return False
    ((key, entry),) = node.entries.items()
    return key in _KEPT_IN and isinstance(entry.node, Scalar)
