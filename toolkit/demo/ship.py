"""Push a version, roll it out to both devices, and measure what they answer. Used for v1, v2 and the bad v3."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from toolkit.demo.evidence import Evidence
from toolkit.demo.infer import Measured, measure
from toolkit.demo.site import DEVICES, MODEL, Site
from toolkit.errors import GateRefusedError, IntegrityError, RolloutError

MOST_OF_V1 = 0.35
"""Share of v1's bytes that v2 may cost a device: its body is v1's, only the head is new."""
LEAST_ACCURACY = 0.97
"""Share of the 200 held-out images that a version must hit here."""
LEAST_GOLDEN = 0.9
"""Share of the 20 golden examples that each device asks for itself, as the manifest says."""
_KIB = 1024


@dataclass(frozen=True)
class Offer:
    """A version to push and roll out."""

    version: str
    model: Path
    golden: Path
    key: str = "keys/registry.pem"
    tolerance: float = 1e-3
    wait: str = "180s"


def push(site: Site, offer: Offer) -> dict[str, object]:
    """Store a version in the registry and give what `tiers model push` says.

    Raises:
        CommandFailedError: it was refused.
    """
    return site.commands.ask(
        *("model", "push", offer.model, "--name", MODEL, "--version", offer.version),
        *("--golden", offer.golden, "--key", site.folder / offer.key, "--registry", site.registry.as_uri()),
        *("--tolerance", str(offer.tolerance), "--min-accuracy", str(LEAST_GOLDEN)),
    )


def roll_out(site: Site, offer: Offer, *, accept: tuple[int, ...] = (0,)) -> dict[str, object]:
    """Bring a version to both devices and give what `tiers rollout start --wait` says.

    Raises:
        CommandFailedError: it failed or was refused.
    """
    return site.commands.ask(
        *(
            "rollout",
            "start",
            MODEL,
            "--version",
            offer.version,
            *site.files,
            "--wait",
            "--timeout",
            offer.wait,
        ),
        *("--key", site.keys / "operator.pem", "--keyring", site.keys / "keyring.json"),
        accept=accept,
    )


def reports(site: Site) -> dict[str, dict[str, object]]:
    """Give each device's row about the model, from `tiers fleet status`.

    Raises:
        RolloutError: a device has none.
    """
    answer = site.commands.ask("fleet", "status", *site.files)
    rows = answer.get("devices")
    mine = [row for row in rows if row.get("model") == MODEL] if isinstance(rows, list) else []
    found = {str(row["device"]): dict(row) for row in mine}
    if set(found) != set(DEVICES):
        raise RolloutError(f"reports came from {sorted(found) or 'nobody'}, not from {sorted(DEVICES)}")
    return found


def ship(site: Site, evidence: Evidence, offer: Offer, *, before: int = 0) -> int:
    """Push, roll out, and add the row with the bytes that a device received; return that number.

    Args:
        site: the running site.
        evidence: where the row goes.
        offer: the version.
        before: bytes that the version before cost, 0 for the first.

    Raises:
        CommandFailedError: a command failed.
        GateRefusedError: the version cost more than MOST_OF_V1 of the one before.
    """
    pushed = push(site, offer)
    roll_out(site, offer)
    rows = reports(site)
    received = [_number(row, "bytes_received") for row in rows.values()]
    most = max(received)
    share = f", {most / before:.2f} of v1" if before else ""
    if before and most > MOST_OF_V1 * before:
        raise GateRefusedError(
            f"v{offer.version} cost {most} bytes{share}; at most {MOST_OF_V1:.0%} were allowed"
        )
    text = f"{len(rows)} devices active, {most / _KIB:.1f} KiB each{share}"
    evidence.good(f"ship v{offer.version}", text, pushed=pushed, reports=rows, bytes_received=received)
    return most


def infer(site: Site, evidence: Evidence, version: str, *, least: float = LEAST_ACCURACY) -> list[Measured]:
    """Send the held-out images to both devices and add the row with what came back.

    Raises:
        IntegrityError: another version answered.
        GateRefusedError: fewer than `least` of the images were right.
    """
    measured = [measure(name, site.port_of(name), MODEL, site.material.held_out) for name in DEVICES]
    worst = min(each.accuracy for each in measured)
    if {each.model_version for each in measured} != {version}:
        raise IntegrityError(f"version {measured[0].model_version} answers, not {version}")
    if worst < least:
        raise GateRefusedError(
            f"v{version} hits {worst:.1%} of the held-out images, at least {least:.0%} were asked"
        )
    slowest = max(measured, key=lambda each: each.p99_ms)
    evidence.good(
        f"infer v{version}",
        f"{worst:.1%} of {measured[0].images} real images, p50 {slowest.p50_ms:.2f} ms, p99 {slowest.p99_ms:.2f} ms",
        measured=[{**asdict(each), "accuracy": each.accuracy} for each in measured],
    )
    return measured


def _number(row: dict[str, object], key: str) -> int:
    value = row.get(key)
    if not isinstance(value, int):
        raise IntegrityError(f"a report has no {key}")
    return value
