"""What a simulated device says of one of its models; the same fields as `edge_runtime.reports`. Used by `device`."""

from __future__ import annotations

from toolkit.fleet.simulate.fetch import Fetch
from toolkit.protocol.installation import Installation
from toolkit.wire.report import ModelReport
from toolkit.wire.states import InstallState

_WHOLE = frozenset(
    {InstallState.STAGED, InstallState.ACTIVATING, InstallState.PROBATION, InstallState.ACTIVE}
)


def describe(held: Installation, fetch: Fetch, *, chunks: int, have: int, seeded: int) -> ModelReport:
    """Give the line of a report.

    Args:
        held: the installation as it stands.
        fetch: whose counts are told; they grow over all versions.
        chunks: of the offered version; 0 while that is not known.
        have: how many of them are here.
        seeded: how many of them came from what was here.
    """
    offer = held.offer
    return ModelReport(
        model=held.model,
        state=held.state,
        version=offer.version if offer else "",
        artifact=offer.artifact if offer else "",
        rollout=offer.rollout if offer else "",
        serving_version=next((each.version for each in held.good if each.artifact == held.serving), ""),
        code=held.code,
        reason=held.reason,
        chunks_total=chunks,
        chunks_have=chunks if held.state in _WHOLE else have,
        chunks_seeded=seeded,
        bytes_received=fetch.received,
        bytes_resent=fetch.resent,
        chunks_bad=fetch.bad,
    )
