"""`tiers fleet simulate`: rehearse a rollout on a broker, with devices that are not there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from toolkit.cli.present import JsonOption, Output, OutputOption, Table, say, show
from toolkit.cli.rehearsing import drawn, part_of, settings_of, shares_of

if TYPE_CHECKING:
    from toolkit.fleet.simulate.rehearsal import Act


def simulate(
    devices: Annotated[int, Option(min=10, max=5000, help="How many.")] = 100,
    waves: Annotated[str, Option(metavar="SHARES", help="Canary and waves.")] = "20%,100%",
    soak: Annotated[float, Option(min=0, help="Seconds between waves.")] = 1.0,
    limit: Annotated[str, Option(metavar="SHARE", help="Part of a wave that may refuse.")] = "10%",
    broken: Annotated[str, Option(metavar="SHARE", help="Devices that a bad version hurts.")] = "20%",
    seed: Annotated[int, Option(help="Which devices misbehave, and when.")] = 1,
    broker: Annotated[str, Option(metavar="URL", help="[default: one of our own]", show_default=False)] = "",
    password: Annotated[Path | None, Option("--password-file", help="Of the user in the URL.")] = None,
    ca: Annotated[Path | None, Option(help="Authority of the broker's certificate.")] = None,
    site: Annotated[str, Option(help="Topics stand below its name.")] = "rehearsal",
    prefix: Annotated[str, Option(help="Devices are named PREFIX-00001 and so on.")] = "sim",
    patience: Annotated[float, Option(min=1, help="Seconds that a rollout may take.")] = 300.0,
    output: OutputOption = Output.TABLE,
    as_json: JsonOption = False,
) -> None:
    """Roll out to simulated devices: a good version while some come and go, then one that must stop."""
    from tempfile import TemporaryDirectory

    from toolkit.errors import GateRefusedError
    from toolkit.fleet.simulate.rehearsal import Rules, rehearse
    from toolkit.fleet.simulate.stage import FleetPlan, faults

    rules = Rules(shares_of(waves, "--waves"), soak, part_of(limit, "--limit"), patience_seconds=patience)
    plan = FleetPlan(devices, seed, site, prefix, faults(broken_on=part_of(broken, "--broken")))
    settings = settings_of(broker, password, ca)
    with TemporaryDirectory(prefix="tiers-") as folder, drawn(devices) as told:
        played = rehearse(plan, rules, settings, Path(folder), told)
    columns = ("version", "state", "wave", "told", "run it", "refused", "seconds", "KiB a device")
    show(played, Table(columns, [_cells(act) for act in played.acts]), output, as_json=as_json)
    say(f"{played.outages} outages; the broker took {played.broker_bytes / 2**20:.1f} MiB at the most")
    if not played.good:
        raise GateRefusedError(
            "by these rules the good version did not come through, or the bad one was not stopped in its canary",
            hint="another --limit, or --waves with a larger canary: it sees rarer faults",
        )


def _cells(act: Act) -> tuple[object, ...]:
    done = (act.touched, act.active, act.refused, round(act.seconds, 1), act.bytes_median // 1024)
    return (act.version, act.state, f"{act.wave} of {act.waves}", *done)
