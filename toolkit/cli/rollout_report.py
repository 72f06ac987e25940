"""What the commands of `rollout` share: the answer they print, its table, and how a wait is told on stderr."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.present import Table, say
from toolkit.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from toolkit.fleet.reports import Watch
    from toolkit.fleet.rollout import Started
    from toolkit.fleet.status import RolloutRow
    from toolkit.wire.keyring import Keyring

TimeoutOption = Annotated[str, typer.Option("--timeout", help="How long --wait stays, such as 90s or 10m.")]
NameArgument = Annotated[str, typer.Argument(help="Name of the rollout; `tiers rollout status` lists them.")]


@dataclass(frozen=True)
class Answer:
    """What a command that wrote a rollout prints."""

    rollout: str
    repeated: bool
    """It was so already; nothing was written."""
    artifact: str
    devices: tuple[str, ...]
    waves: tuple[int, ...]
    notes: tuple[str, ...]
    status: RolloutRow

    def check(self, seconds: float, *, rolled_back: bool = False) -> None:
        """Raise what a wait of so many seconds ended with, unless it has succeeded (or, if wanted, is rolled back)."""
        from toolkit.fleet.follow import verdict
        from toolkit.protocol.waves import RolloutState

        wanted = RolloutState.ROLLED_BACK if rolled_back else RolloutState.SUCCEEDED
        error = verdict(self.status, seconds, wanted=wanted)
        if error is not None:
            raise error


def answer(watch: Watch, started: Started) -> Answer:
    """Put together what is printed about a rollout that stands now."""
    from toolkit.fleet.status import rollout_row

    rollout = started.rollout
    if started.repeated:
        say(f"rollout {rollout.name} is there already; nothing was written")
    return Answer(
        rollout=rollout.name,
        repeated=started.repeated,
        artifact=rollout.spec.artifact,
        devices=rollout.spec.devices,
        waves=tuple(wave.devices for wave in rollout.spec.waves),
        notes=started.notes,
        status=rollout_row(watch.retained, rollout),
    )


def follow_aloud(watch: Watch, name: str, seconds: float) -> RolloutRow:
    """Follow a rollout and say on stderr where it stands, each time that this changes."""
    from toolkit.fleet.follow import follow

    return follow(watch, name, seconds, lambda row: say(line_of(row)))


def line_of(row: RolloutRow) -> str:
    """Say on one line where a rollout stands."""
    counts = f"{row.active} active, {row.refused} refused, {row.waiting} waiting"
    return f"{row.name}: {row.state}, wave {row.wave} of {row.waves}, {counts}"


def table_of(rows: Sequence[RolloutRow]) -> Table:
    """Give the short form of rollouts."""
    columns = ("rollout", "model", "version", "state", "wave", "devices", "active", "refused", "waiting")
    cells = [
        (
            row.name,
            row.model,
            row.version,
            row.state,
            f"{row.wave}/{row.waves}",
            row.devices,
            row.active,
            row.refused,
            row.waiting,
        )
        for row in rows
    ]
    return Table(columns, cells)


def trust(key: Ed25519PrivateKey, keyring: Path | None) -> Keyring:
    """Give the keyring of a file; without one, a keyring that trusts the key's own seals and no others."""
    from toolkit.registry.keys import read_keyring
    from toolkit.wire.keyring import Keyring, TrustedKey

    if keyring is not None:
        return read_keyring(keyring)
    return Keyring(keys=(TrustedKey(public=key.public_key().public_bytes_raw(), roles=("operator",)),))


def seconds_of(text: str) -> float:
    """Read a duration such as 90s or 10m.

    Raises:
        UsageError: it is none.
    """
    from toolkit.topology.units import Duration

    try:
        return Duration.parse(text).seconds
    except ValueError as error:
        raise UsageError(f"--timeout: {error}", hint="--timeout 10m") from error
