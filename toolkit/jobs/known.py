"""Is a name a job of tiers.yaml? First step of `plan`, `outlook`, `submit` and `where`."""

from __future__ import annotations

from difflib import get_close_matches

from toolkit.errors import UsageError
from toolkit.topology.topology import Topology


def require_job(topology: Topology, name: str) -> None:
    """Refuse a name that is no job of tiers.yaml.

    Raises:
        UsageError: names the nearest one, and all.
    """
    if name in topology.jobs:
        return
    near = get_close_matches(name, topology.jobs, n=1)
    raise UsageError(
        f"there is no job {name!r} in tiers.yaml" + (f"; did you mean {near[0]!r}?" if near else ""),
        hint="jobs: " + (", ".join(sorted(topology.jobs)) or "none; add one below `jobs:`"),
    )
