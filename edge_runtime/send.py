"""Bring a folder of this device out through the broker: the work of `tiers-edge send`.

    folder -> sync.scan -> missing chunks -> LinkRemote -> fleet.inbox of the site

Only what changed since the last time travels. The daemon need not run; where it does, both use the broker side by side.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from edge_runtime.config import Settings
from toolkit.errors import UsageError
from toolkit.link.choose import make_link
from toolkit.link.settings import settings_from_config
from toolkit.sync.events import Listener
from toolkit.sync.remotes.link import LinkRemote
from toolkit.sync.result import SyncResult
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage, SyncTask, check_task
from toolkit.wire.topics import Topics


def send(
    settings: Settings, folder: Path, route: str, *, limit_bytes_per_second: int, listen: Listener
) -> SyncResult:
    """Send what the inbox does not have of a folder.

    Args:
        settings: of the device.
        folder: what to send; its files stay.
        route: the name under which the inbox keeps it.
        limit_bytes_per_second: most stored bytes that may leave in a second; 0 is no limit.
        listen: hears what is going on.

    Raises:
        UsageError: there is no such folder.
        IntegrityError: the route has no such name.
        RemoteUnavailableError: no broker, or no inbox answers.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", hint="give the folder whose files are to be sent")
    config = settings.config
    source = Storage(tier="device", url=folder.absolute().as_uri())
    inbox = Storage(tier="inbox", url="link://inbox", layout="packs")
    task = check_task(
        SyncTask(
            route=route,
            origin=config.device,
            source=source,
            targets=(inbox,),
            limit_bytes_per_second=limit_bytes_per_second,
        )
    )
    link = settings_from_config(
        config.broker, f"edge-{config.site}-{config.device}-send-{secrets.token_hex(4)}"
    )
    remote = LinkRemote(
        make_link(link),
        Topics(config.site),
        config.device,
        address=link.address,
        frame_bytes=link.preset.max_payload_bytes,
        keyring=settings.keyring,
    )
    try:
        return run_task(task, listen=listen, remotes=lambda _: remote)
    finally:
        remote.close()
