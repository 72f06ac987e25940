"""What pause, resume, abort and rollback share: seal the changed intent, and stay until it is so if asked to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.cli.broker import open_site
from toolkit.cli.rollout_report import Answer, answer, follow_aloud, seconds_of, trust
from toolkit.cli.site import variables_of

if TYPE_CHECKING:
    from toolkit.fleet.rollout import Change


@dataclass(frozen=True)
class ChangeOptions:
    """The options that all four commands have."""

    key: Path
    keyring: Path | None
    files: Sequence[Path]
    assignments: Sequence[str]
    broker: str


def change_rollout(
    name: str,
    what: Change,
    options: ChangeOptions,
    *,
    wait: str = "",
) -> Answer:
    """Write the change and give what is printed; `wait` is how long to follow, empty returns at once."""
    from toolkit.fleet.rollout import change
    from toolkit.registry.keys import read_key
    from toolkit.topology.load import load

    topology = load(options.files, variables_of(options.assignments)).topology
    private = read_key(options.key)
    with open_site(topology, options.broker, trust(private, options.keyring)) as watch:
        result = answer(watch, change(watch, private, name, what))
        if wait:
            result = replace(result, status=follow_aloud(watch, name, seconds_of(wait)))
    return result
