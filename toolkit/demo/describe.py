"""First step of the demo: the hospital's tiers.yaml becomes objects. Validates, renders twice, lints."""

from __future__ import annotations

from toolkit.demo.command import Commands
from toolkit.demo.evidence import Evidence
from toolkit.demo.material import Material
from toolkit.errors import IntegrityError
from toolkit.wire.digest import digest_of


def describe(material: Material, commands: Commands, evidence: Evidence) -> None:
    """Add the rows "validate" and "render".

    Raises:
        CommandFailedError: tiers.yaml is invalid, or an object of ours has a lint error.
        IntegrityError: two renderings of the same file differ.
    """
    counts = commands.ask("validate", "-f", material.topology)["counts"]
    if not isinstance(counts, dict):
        raise IntegrityError("tiers validate --json gave no counts")
    evidence.good(
        "validate", ", ".join(f"{count} {what}" for what, count in counts.items() if count), counts=counts
    )
    folder = evidence.folder / "rendered"
    streams = {commands.run("render", "-f", material.topology) for _ in range(2)}
    if len(streams) != 1:
        raise IntegrityError(
            "two renderings of the same tiers.yaml differ", hint="report it with both outputs"
        )
    stream = streams.pop()
    commands.run("render", "-f", material.topology, "-o", folder)
    commands.run("lint", folder)
    objects = sorted(path.name for path in folder.rglob("*.yaml"))
    kinds = {name.split("-")[1] for name in objects}
    evidence.good(
        "render",
        f"{len(objects)} objects of {len(kinds)} kinds, twice the same bytes, 0 lint errors",
        digest=digest_of(stream.encode()),
        folder=folder,
        objects=objects,
    )
