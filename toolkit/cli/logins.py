"""Logins of storages for who works by hand: from a file, or from a variable that goes to no disk.

Between commands and `sync.remotes.choose`. A pod finds files where its Secrets are mounted; a person has no such mount,
so a login that is in a Secret of the cluster is refused with the command that brings it here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.sync.pace import Pace
    from toolkit.sync.remotes.remote import Remote
    from toolkit.sync.task import Storage
    from toolkit.topology.topology import Topology


def remotes_of(topology: Topology) -> Callable[[Storage], Remote]:
    """Give a function that opens the storages of a topology with the logins that tiers.yaml refers to."""
    return lambda place: open_place(topology, place)


def paced_remotes_of(topology: Topology) -> Callable[[Storage], Remote]:
    """Do what `remotes_of` does for who is no run of a route, at the limits of the routes that use the same line.

    All that one function opens of a tier keeps to one limit together. Errors as `open_place`, and UsageError for a time
    zone that is not known.
    """
    from toolkit.routes import tasks_on_line
    from toolkit.sync.line_pace import line_pace

    paces: dict[str, Pace | None] = {}

    def opened(place: Storage) -> Remote:
        line = f"{place.tier} {'' if place.tier else place.url}"
        if line not in paces:
            paces[line] = line_pace(tasks_on_line(topology, place))
        return open_place(topology, place, pace=paces[line])

    return opened


def open_place(
    topology: Topology, place: Storage, *, create: bool = False, pace: Pace | None = None
) -> Remote:
    """Open a storage of a topology (or another one, as it is), with a limit on what goes through it if one is given.

    Raises:
        UsageError: its login is in a variable that is not set, or in a Secret that is not mounted here.
        RemoteUnavailableError: it does not answer.
    """
    from toolkit.errors import UsageError
    from toolkit.sync.remotes.choose import open_storage

    known = [(home, storage) for home, tier in topology.tiers.items() for storage in tier.storage]
    for home, storage in (*known, ("registry", topology.registry)):
        if (home, storage.url) != (place.tier, place.url):
            continue
        if storage.credentials and storage.credentials.env:
            name = storage.credentials.env
            login = os.environ.get(name, "")
            if not login:
                hint = f"export {name}, or write credentials: {{file: PATH}}"
                raise UsageError(
                    f"the login of {place.url} is in the variable {name}, which is not set", hint=hint
                )
            return open_storage(place, login=login.encode(), create=create, pace=pace)
        for reference, file in (
            (storage.credentials, place.credentials_file),
            (storage.known_hosts, place.known_hosts_file),
            (storage.ca, place.ca_file),
            (storage.key, place.key_file),
        ):
            if reference and reference.name and not Path(file).exists():
                hint = (
                    f"kubectl -n {topology.name} get secret {reference.name} -o go-template="
                    f"'{{{{index .data \"{Path(file).name}\" | base64decode}}}}' > FILE; chmod 600 FILE; "
                    "then {file: FILE} in a file of your own: -f tiers.yaml -f own.yaml"
                )
                message = f"{place.url} needs what is in the Kubernetes Secret {reference.name}, not on this machine"
                raise UsageError(message, hint=hint)
    return open_storage(place, create=create, pace=pace)
