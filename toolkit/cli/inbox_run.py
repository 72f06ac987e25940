"""`tiers inbox run`: take what devices bring over the broker. Interrupt it whenever you like."""

from __future__ import annotations

import secrets
from typing import Annotated

import typer

from toolkit.cli.broker import AliveOption, BrokerOption, SealOption, link_settings
from toolkit.cli.present import say
from toolkit.cli.site import DEFAULT_FILES, NOTHING_SET, FilesOption, SetOption, variables_of

ToArgument = Annotated[
    str,
    typer.Option("--at", metavar="URL", help="The storage, file:///folder; each device gets a part of it."),
]


def run(
    at: ToArgument,
    key: SealOption = None,
    broker: BrokerOption = "",
    alive: AliveOption = None,
    files: FilesOption = DEFAULT_FILES,
    assignments: SetOption = NOTHING_SET,
) -> None:
    """Store what devices send until interrupted. A device adds, and can neither change nor delete what it has sent."""
    import signal
    import threading

    from toolkit.fleet.heartbeat import Heartbeat
    from toolkit.fleet.inbox import Inbox, InboxLimits
    from toolkit.fleet.inbox_rules import only_add
    from toolkit.fleet.inbox_store import storages
    from toolkit.link.choose import make_link
    from toolkit.registry.keys import read_key
    from toolkit.topology.load import load
    from toolkit.wire.topics import Topics

    topology = load(files, variables_of(assignments)).topology
    settings = link_settings(topology, broker, f"inbox-{secrets.token_hex(6)}")
    limits = InboxLimits(frame_bytes=settings.preset.max_payload_bytes)
    seal = read_key(key) if key is not None else None
    there = storages(at)
    inbox = Inbox(make_link(settings), Topics(topology.name), there, rule=only_add, key=seal, limits=limits)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    ready = lambda: say(f"inbox of {topology.name}: {at} over {settings.address}")  # noqa: E731
    inbox.run(stop, ready=ready, beat=Heartbeat(alive) if alive else None)
