"""What `tiers fleet simulate` needs beside its library call: words read as figures, and how far a rollout is, drawn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import UsageError

if TYPE_CHECKING:
    from toolkit.link.settings import LinkSettings
    from toolkit.protocol.waves import Progress
    from toolkit.topology.shares import Share

_WHOLE = 1_000_000


def shares_of(text: str, option: str) -> tuple[Share, ...]:
    """Read `10%,50%,100%`, or counts.

    Raises:
        UsageError: a part of it is neither a count nor a percentage.
    """
    from toolkit.topology.shares import Share

    try:
        return tuple(Share.parse(part.strip()) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"{option} {text!r}: {error}", hint=f"{option} 10%") from error


def part_of(text: str, option: str) -> float:
    """Read a percentage as a number from 0 to 1.

    Raises:
        UsageError: it is none.
    """
    (share, *more) = shares_of(text, option)
    if share.percent is None or more:
        raise UsageError(f"{option} {text!r} is not one percentage", hint=f"{option} 10%")
    return share.of(_WHOLE) / _WHOLE


def settings_of(url: str, password: Path | None, authority: Path | None) -> LinkSettings | None:
    """Give how to reach a broker; None when none is named.

    Raises:
        UsageError: it is not the URL of a broker.
        UnreachableError: the password file cannot be read.
    """
    from toolkit.link.settings import TlsSettings, settings_from_url

    if not url:
        return None
    tls = TlsSettings(ca_file=str(authority or ""))
    return settings_from_url(url, "rehearsal", tls=tls, password_file=str(password or ""))


@contextmanager
def drawn(devices: int) -> Iterator[Callable[[str, Progress], None]]:
    """Give what to tell of the running rollout; it draws a bar when stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _version, _progress: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("connecting", total=devices)
        yield lambda version, now: bar.update(
            task, completed=now.active, description=f"{version} wave {now.wave + 1} {now.state.value}"
        )
