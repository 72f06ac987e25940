"""How pods reach the storages that they work on: folders as volumes, logins as files.

Between topology.storage and the views of `sync_agents` and `depot`. A folder stands in the pod under the path that its
address names, so that one address means the same in tiers.yaml, in a task and in the pod. A login is mounted from its
Secret and stands in no other object.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from toolkit.render.device import local_folders
from toolkit.render.worker_pod import Mount, secret_mount
from toolkit.topology.storage import Storage

CREDENTIALS_FOLDER = "/etc/tiers/credentials"
"""Where pods find logins of storages: one folder for each Secret, one file for each of its keys."""


def storage_mounts(storages: Iterable[Storage], *, read_only: bool = False) -> Iterator[Mount]:
    """Give a mount for each storage that is a folder, and one for each Secret with a login."""
    folders: dict[str, Mount] = {}
    secrets: dict[str, Mount] = {}
    for storage in storages:
        for path in local_folders(storage.url):
            name = f"storage-{len(folders)}"
            volume = {"path": path, "type": "Directory"}
            folders.setdefault(path, Mount(name, path, "hostPath", volume, read_only))
        secret = storage.credentials.name if storage.credentials else None
        if secret and urlsplit(storage.url).scheme != "file":
            name = f"login-{len(secrets)}"
            secrets.setdefault(secret, secret_mount(name, secret, f"{CREDENTIALS_FOLDER}/{secret}"))
    yield from folders.values()
    yield from secrets.values()
