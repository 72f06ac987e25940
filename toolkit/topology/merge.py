"""Several files become one document: `-f tiers.yaml -f site.yaml`.

Comes after `read` and before `variables`. Mappings merge by key; scalars and lists of a later file replace what was
there. Every value keeps its own file and line, and remembers what it replaced for `explain`.
"""

from toolkit.topology.nodes import Entry, Fields


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
    if isinstance(base.node, Fields) and isinstance(over.node, Fields):
        return Entry(base.key_place, merge(base.node, over.node), base.replaced)
    return Entry(over.key_place, over.node, base)
