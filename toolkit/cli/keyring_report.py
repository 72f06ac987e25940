"""What the commands of `keyring` share: how a keyring is shown, and what comes after it was changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.present import Output, Table, show

if TYPE_CHECKING:
    from toolkit.wire.keyring import Keyring

KeyringArgument = Annotated[Path, typer.Argument(metavar="KEYRING", help="The file keyring.json.")]
NEXT = (
    "next: put it on depots and devices, by tiers device enroll or a new Secret. Devices read it again themselves; "
    "restart depot and driver"
)


def show_keyring(keyring: Keyring, output: Output, *, as_json: bool) -> None:
    """Print whose seals count, and for what."""
    from toolkit.wire.keyring import key_id_of

    rows = [(key.name, key_id_of(key.public), ", ".join(key.roles)) for key in keyring.keys]
    value = [
        {"name": key.name, "key": key_id_of(key.public), "roles": list(key.roles)} for key in keyring.keys
    ]
    show(value, Table(("name", "key", "may sign as"), rows), output, as_json=as_json)
