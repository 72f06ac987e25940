"""Offer a bad v3: it is signed and whole, it loads, and it answers wrongly. No device may take it; v2 must serve on."""

from __future__ import annotations

from toolkit.demo.evidence import Evidence
from toolkit.demo.infer import measure
from toolkit.demo.material import damage
from toolkit.demo.ship import Offer, push, reports, roll_out
from toolkit.demo.site import DEVICES, MODEL, Site
from toolkit.errors import GateRefusedError

STEP = "refuse v3"


def refuse(site: Site, evidence: Evidence) -> None:
    """Add the row of this step.

    Raises:
        CommandFailedError: a command failed in another way than by a refusal.
        GateRefusedError: a device took the bad version, or stopped serving the good one.
    """
    bad = site.folder / "v3-damaged.onnx"
    damage(site.material.v1, site.material.v2, bad)
    offer = Offer("3", bad, site.material.golden_v2)
    push(site, offer)
    roll_out(site, offer, accept=(GateRefusedError.exit_code,))
    rows = reports(site)
    refused = {name: row for name, row in rows.items() if row.get("state") == "FAILED"}
    serving = {str(row.get("serving_version")) for row in rows.values()}
    if not refused or serving != {"2"}:
        raise GateRefusedError(
            f"v3 was refused by {len(refused)} devices, and {sorted(serving)} serve; expected v2 alone"
        )
    answers = [measure(name, site.port_of(name), MODEL, site.material.held_out) for name in DEVICES]
    if {each.model_version for each in answers} != {"2"}:
        raise GateRefusedError(f"after the refusal, version {answers[0].model_version} answers")
    reason = next(iter(refused.values()))
    evidence.good(
        STEP,
        f"the canary says {reason.get('code')}; v2 serves on both, {min(each.accuracy for each in answers):.1%}",
        reports=rows,
    )
