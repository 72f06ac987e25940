"""`tiers doctor --broker`: look at the broker of a site instead of its clusters. Part of `doctor`."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import typer

from toolkit.cli.broker import link_settings
from toolkit.cli.present import Output, Table, describe, say, show

if TYPE_CHECKING:
    from toolkit.topology.topology import Topology


def look_at_broker(topology: Topology, output: Output, *, as_json: bool) -> None:
    """Probe the broker, print what was found, and end with exit code 5 or 1 when there is an error.

    Raises:
        UsageError: the login is kept where this machine cannot read it.
        UnreachableError: a file of the login cannot be read.
    """
    from toolkit.errors import TiersError, UnreachableError
    from toolkit.fleet.doctor import examine_broker

    settings = link_settings(topology, "", f"doctor-{secrets.token_hex(6)}")
    found = examine_broker(settings, topology.name, time.time())
    if output is Output.TABLE and not as_json:
        print("".join(f"{describe(problem)}\n" for problem in found.problems), end="")
    facts = found.facts
    rows = [(name, getattr(facts, name)) for name in facts.__dataclass_fields__] if facts else []
    show(found, Table(("fact", "value"), rows), output, as_json=as_json)
    say(f"{found.broker}: {len(found.problems)} findings")
    if facts is None:
        raise typer.Exit(UnreachableError.exit_code)
    if not found.healthy:
        raise typer.Exit(TiersError.exit_code)
