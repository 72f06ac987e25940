"""Which Refs of a store may go by themselves: states that the retention leaves out, and pins that have ended.

`gc` forgets them before it looks what is used.
"""

from __future__ import annotations

from collections import defaultdict

from toolkit.sync.layouts.documents import Documents
from toolkit.sync.retention import Keep, State, kept

_AT = "/at/"


def forgettable(documents: Documents, keep: Keep | None, now_ms: int) -> tuple[str, ...]:
    """Name the Refs that may go.

    A state that is newer than its route's head is of a run that is under way or died; it stays.

    Args:
        documents: the store.
        keep: which states of a history stay; None keeps all.
        now_ms: milliseconds since 1970 by the clock of the store, for Refs that end by themselves.

    Raises:
        IntegrityError: a Ref is damaged.
    """
    going: list[str] = []
    histories: dict[str, list[State]] = defaultdict(list)
    heads: dict[str, int] = {}
    for name in documents.list_refs():
        root, at, _ = name.rpartition(_AT)
        is_route = name.startswith("routes/")
        if not (keep and is_route) and not name.startswith("pins/"):
            continue
        ref = documents.read_ref(name)
        if ref is None:
            continue
        if name.startswith("pins/") and 0 < ref.until_ms < now_ms:
            going.append(name)
        elif is_route and at:
            histories[root].append(State(ref.sequence, ref.written_ms))
        elif is_route and name.endswith("/head"):
            heads[name.removesuffix("/head")] = ref.sequence
    for root, states in histories.items() if keep else ():
        past = [state for state in states if state.sequence <= heads.get(root, 0)]
        stay = kept(past, keep) if keep else frozenset()
        going += [f"{root}{_AT}{state.sequence:010d}" for state in past if state.sequence not in stay]
    return tuple(sorted(going))
