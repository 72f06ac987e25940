"""The order of the demo's steps. Called by the command `tiers demo`, which shows the rows as they come."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

from toolkit.demo.command import Commands
from toolkit.demo.describe import describe
from toolkit.demo.evidence import Evidence, Row
from toolkit.demo.fault import Fault, flip_stored_bytes
from toolkit.demo.gang import train
from toolkit.demo.howto import write_howto
from toolkit.demo.material import damage, find_material
from toolkit.demo.move import move
from toolkit.demo.refuse import refuse
from toolkit.demo.ship import Offer, infer, push, ship
from toolkit.demo.site import Site
from toolkit.errors import TiersError

Show = Callable[[Row], None]


def run(
    folder: Path, *, written_to: Path, fault: Fault = Fault.NONE, show: Show = lambda _: None
) -> Evidence:
    """Run the demo in an empty folder and return what it showed; the evidence is written in any case.

    Args:
        folder: where everything goes; must be empty or not there.
        written_to: the file that gets the evidence, demo.json.
        fault: what to break.
        show: called with each row when it is known.

    Raises:
        TiersError: the folder is not empty, or the carried models are not found.
    """
    folder = folder.resolve()
    if folder.exists() and any(folder.iterdir()):
        raise TiersError(f"{folder} is not empty", hint="name another folder, or remove it")
    material = find_material()
    folder.mkdir(parents=True, exist_ok=True)
    evidence = Evidence(folder)
    commands = Commands(folder)
    shown = 0
    try:
        with closing(Site(folder, material, commands)) as site, ExitStack() as at_end:
            at_end.callback(write_howto, site, str(Path(sys.executable).parent))
            for name, step in _steps(site, evidence, fault):
                try:
                    step()
                except TiersError as error:
                    evidence.bad(name, error)
                for row in evidence.rows[shown:]:
                    show(row)
                shown = len(evidence.rows)
                if evidence.exit_code:
                    break
    finally:
        evidence.facts["commands"] = commands.typed
        evidence.write(written_to)
    return evidence


def _steps(site: Site, evidence: Evidence, fault: Fault) -> list[tuple[str, Callable[[], None]]]:
    material, commands = site.material, site.commands
    shipped: list[int] = []

    def first() -> None:
        wait = "8s" if fault is Fault.DEAD_DEPOT else "180s"
        offer = Offer("1", material.v1, material.golden_v1, wait=wait)
        if fault is Fault.WRONG_SIGNATURE:
            commands.run("model", "keygen", site.folder / "rogue")
            offer = replace(offer, key="rogue/registry.pem")
        if fault is Fault.CORRUPT_CHUNK:
            push(site, offer)
            flip_stored_bytes(site.registry)
        shipped.append(ship(site, evidence, offer))

    def second() -> None:
        offer = Offer("2", material.v2, material.golden_v2)
        if fault is Fault.WORSE_V2:
            worse = site.folder / "v2-worse.onnx"
            damage(material.v1, material.v2, worse)
            # So wide that the outputs pass; what must stop it is the share of labels that it hits.
            offer = Offer("2", worse, material.golden_v2, tolerance=1e9)
        ship(site, evidence, offer, before=shipped[0])

    return [
        ("validate, render", lambda: describe(material, commands, evidence)),
        ("gang of two", lambda: train(material, commands, evidence, wanted=fault is Fault.NONE)),
        ("site", lambda: _open_site(site, evidence, fault)),
        ("ship v1", first),
        ("infer v1", lambda: _infer(site, evidence, "1")),
        ("ship v2", second),
        ("infer v2", lambda: _infer(site, evidence, "2")),
        ("refuse v3", lambda: refuse(site, evidence)),
        ("sync", lambda: move(site, evidence)),
    ]


def _infer(site: Site, evidence: Evidence, version: str) -> None:
    infer(site, evidence, version)


def _open_site(site: Site, evidence: Evidence, fault: Fault) -> None:
    site.commands.run("model", "keygen", site.keys)
    broker = site.start_broker()
    site.start_depot()
    site.start_devices()
    if fault is Fault.DEAD_DEPOT and site.depot is not None:
        site.depot.stop()
    loud = "" if broker == "mosquitto" else " (amqtt: for demos only)"
    evidence.good("site", f"broker {broker}{loud}, a depot that steers, 2 devices that serve", broker=broker)
