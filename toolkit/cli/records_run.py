"""`tiers records run`: keep what devices have put down, and tell them to forget it. Interrupt it whenever you like."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.broker import AliveOption, BrokerOption, SealOption, link_settings
from toolkit.cli.present import say
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of

if TYPE_CHECKING:
    from toolkit.fleet.records import RecordLimits

AtOption = Annotated[
    Path,
    typer.Option("--at", metavar="FOLDER", help="An own folder there for each device, files of JSON lines."),
]
RateOption = Annotated[str, typer.Option("--device-rate", metavar="RATE", help="Most from one device.")]
SizeOption = Annotated[
    str,
    typer.Option(
        "--device-size",
        metavar="SIZE",
        help="Most that is kept of one device, 10GiB.",
        show_default="no limit",
    ),
]

AuthorityOption = Annotated[
    Path | None,
    typer.Option(
        "--authority",
        metavar="FILE",
        help="Certificate of the site's authority, ca.crt: batches must be signed by the device that it names.",
        show_default="whoever may publish for a device is believed",
    ),
]


def run(
    at: AtOption,
    device_rate: RateOption = "4MiB/s",
    device_size: SizeOption = "",
    key: SealOption = None,
    authority: AuthorityOption = None,
    broker: BrokerOption = "",
    alive: AliveOption = None,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
) -> None:
    """Store records of devices until interrupted, each once. A device forgets a record when it is on the disk here."""
    import signal
    import threading

    from toolkit.fleet.heartbeat import Heartbeat
    from toolkit.fleet.records import Receiver
    from toolkit.link.choose import make_link
    from toolkit.link.spoken import Speakers
    from toolkit.registry.keys import read_key
    from toolkit.topology.load import load
    from toolkit.wire.topics import Topics

    topology = load(files, variables_of(assignments)).topology
    settings = link_settings(topology, broker, f"records-{secrets.token_hex(6)}")
    limits = _limits(device_rate, device_size)
    seal = read_key(key) if key is not None else None
    speakers = Speakers(authority) if authority is not None else None
    topics = Topics(topology.name)
    receiver = Receiver(make_link(settings), topics, at, key=seal, speakers=speakers, limits=limits)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    ready = lambda: say(f"records of {topology.name}: {at} over {settings.address}")  # noqa: E731
    receiver.run(stop, ready=ready, beat=Heartbeat(alive) if alive else None)


def _limits(device_rate: str, device_size: str) -> RecordLimits:
    from toolkit.errors import UsageError
    from toolkit.fleet.records import RecordLimits
    from toolkit.protocol.buckets import Rate
    from toolkit.topology.units import Bytes
    from toolkit.topology.units import Rate as WrittenRate

    try:
        rate = WrittenRate.parse(device_rate).bytes_per_second
        size = Bytes.parse(device_size).count if device_size else 0
    except ValueError as error:
        raise UsageError(
            f"a limit cannot be read: {error}", hint="--device-rate 4MiB/s --device-size 10GiB"
        ) from error
    return RecordLimits(rate=Rate(rate, 2 * rate), device_bytes=size)
