"""Pick the transport that a storage's URL names. `layouts` and the registry open their Remote through this door."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from toolkit.errors import UsageError
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.sync.remotes.remote import Remote

_LATER = {"s3", "sftp"}


def open_remote(url: str, *, create: bool = False) -> Remote:
    """Open the Remote behind a URL.

    Args:
        url: file:///folder; s3:// and sftp:// are known but not built yet.
        create: make the folder of a file URL when it is missing.

    Raises:
        UsageError: no transport of ours goes there, or not yet.
        RemoteUnavailableError: it is not there or does not answer.
    """
    return DirectoryRemote(folder_of(url), create=create)


def folder_of(url: str) -> str:
    """Give the folder of a file URL.

    Raises:
        UsageError: the URL does not name a folder of this machine.
    """
    parts = urlsplit(url)
    if parts.scheme in _LATER:
        # Said before anybody installs an extra for it.
        raise UsageError(
            f"{parts.scheme}://{parts.hostname}: this version of tiers moves data between folders only",
            hint="mount it and write the mount as file:///folder, or try the route with --from-dir and --to-dir",
        )
    path = unquote(parts.path)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not path.startswith("/"):
        raise UsageError(
            f"{url!r} is not a place for data", hint="write file:///folder, s3://bucket or sftp://host/folder"
        )
    return path
