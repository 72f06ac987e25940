"""Pick the transport that a storage's URL names, with its login. Whoever opens a storage comes through this door.

`layouts` and the registry get a Remote that is ready: a transport, with patience around it where there is a line, a
limit around that for who asks for one, and the cipher outermost: what is encrypted is encrypted once, however often it
is sent.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urlsplit

from toolkit.errors import UsageError
from toolkit.sync.remotes.cipher_marks import refuse_encrypted
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.sync.remotes.remote import Remote
from toolkit.sync.task import Storage

if TYPE_CHECKING:
    from toolkit.sync.pace import Pace

    # A sync between folders is over before all of these are imported, so each is when it is needed.
    from toolkit.sync.remotes.s3 import Bucket
    from toolkit.sync.remotes.s3 import Login as AccessKey
    from toolkit.sync.remotes.sftp import SftpRemote

_PLACES = "write file:///folder, s3://bucket or sftp://host/folder"


def open_remote(url: str, *, create: bool = False) -> Remote:
    """Open the Remote behind a URL that needs no login of its own.

    Args:
        url: file:///folder, s3://bucket/prefix or sftp://user@host:port/folder.
        create: make the folder when it is missing.

    Raises:
        UsageError: no transport of ours goes there.
        MissingExtraError: s3:// without the extra s3.
        RemoteUnavailableError: it is not there or does not answer.
    """
    return _transport(Storage(tier="", url=url), b"", create=create)


def open_storage(
    place: Storage, *, login: bytes = b"", create: bool = False, pace: Pace | None = None
) -> Remote:
    """Open the Remote of a storage with the login, the host keys and the cipher that it names.

    Args:
        place: which storage.
        login: what its `credentials_file` would hold, when the caller has it from elsewhere.
        create: make the folder when it is missing.
        pace: what all bytes on the line keep to, both ways; a run counts its own and gives none.

    Raises:
        UsageError: no transport of ours goes there, or a file that it names cannot be read.
        MissingExtraError: s3:// without the extra s3.
        RemoteUnavailableError: it is not there or does not answer.
    """
    remote = _transport(place, login, create=create)
    if pace is not None:
        from toolkit.sync.remotes.limited import LimitedRemote

        remote = LimitedRemote(remote, pace)
    if not place.key_file:
        return refuse_encrypted(remote)  # a store that lost its key in tiers.yaml is not an empty one
    from toolkit.sync.remotes.encrypted import with_key

    return with_key(remote, place.key_file)


def folder_of(url: str) -> str:
    """Give the folder of a file URL.

    Raises:
        UsageError: the URL does not name a folder of this machine.
    """
    parts = _split(url)
    if parts.scheme in {"s3", "sftp"}:
        raise UsageError(
            f"{url} is not a folder of this machine, and only there files can lie as they are",
            hint="keep packs there (layout: packs), or mount it and write the mount as file:///folder",
        )
    path = unquote(parts.path)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost") or not path.startswith("/"):
        raise UsageError(f"{url!r} is not a place for data", hint=_PLACES)
    return path


def bucket_of(place: Storage, login: bytes = b"") -> Bucket:
    """Give the bucket of an s3:// storage. Raises UsageError."""
    from toolkit.sync.remotes.s3 import Bucket
    from toolkit.sync.secret_file import read_secret

    parts = _split(place.url)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if not parts.hostname or parts.username or port is not None or parts.query or parts.fragment:
        raise UsageError(
            f"s3://{parts.hostname}: a bucket and a prefix make the address", hint="s3://BUCKET/PREFIX"
        )
    file, give = place.credentials_file, None
    if login or file:

        def give() -> AccessKey:
            data = login or read_secret(file, what="login")
            return access_key(data, what="the login" if login else f"login {file}")

        give()  # what is wrong with it is said now
    return Bucket(
        name=parts.netloc,
        prefix=unquote(parts.path).strip("/"),
        endpoint=place.endpoint,
        region=place.region,
        login=give,
        authorities=_authorities(place.ca_file),
        object_class=place.object_class,
        plain=bool(place.key_file),
    )


def access_key(data: bytes, *, what: str) -> AccessKey:
    """Read an access key in the form of AWS' own file, ~/.aws/credentials.

    Its section `[default]` has the lines aws_access_key_id, aws_secret_access_key and, for a session,
    aws_session_token.

    Raises:
        UsageError: it is not of this form; nothing of it is shown.
    """
    import configparser

    from toolkit.sync.remotes.s3 import Login as AccessKey

    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(data.decode())
        section = parser["default"]
        return AccessKey(
            section["aws_access_key_id"],
            section["aws_secret_access_key"],
            section.get("aws_session_token", ""),
        )
    except (configparser.Error, KeyError, UnicodeDecodeError):
        # Not `from error`: its words hold lines of the file.
        raise UsageError(
            f"{what} is not of the form of ~/.aws/credentials",
            hint="[default] / aws_access_key_id = … / aws_secret_access_key = …, each on a line of its own",
        ) from None


def _transport(place: Storage, login: bytes, *, create: bool) -> Remote:
    parts = _split(place.url)
    if parts.scheme not in {"sftp", "s3"}:
        return DirectoryRemote(folder_of(place.url), create=create)
    from toolkit.sync.remotes.retrying import RetryingRemote

    if parts.scheme == "sftp":
        return RetryingRemote(_sftp(place, parts, login, create=create))
    from toolkit.sync.remotes.s3 import S3Remote

    return RetryingRemote(S3Remote(bucket_of(place, login)))


def _sftp(place: Storage, parts: SplitResult, login: bytes, *, create: bool) -> SftpRemote:
    from toolkit.sync.remotes.sftp import SftpRemote
    from toolkit.sync.remotes.ssh_command import Login
    from toolkit.sync.secret_file import check_secret

    try:
        port = 22 if parts.port is None else parts.port
    except ValueError:
        port = 0
    path = unquote(parts.path)
    if (
        parts.password
        or not port
        or not path.startswith("/")
        or "\0" in path
        or parts.query
        or parts.fragment
    ):
        raise UsageError(
            f"sftp://{parts.hostname}: user, host, port and an absolute folder make the address",
            hint="sftp://USER@HOST:PORT/FOLDER; a password has no place in it, name a key in credentials",
        )
    key = place.credentials_file and check_secret(place.credentials_file, what="private key")
    hosts = place.known_hosts_file
    if hosts and not Path(hosts).is_file():
        raise UsageError(
            f"host keys {hosts} cannot be read", hint=f"ssh-keyscan HOST >> {hosts}, and compare the keys"
        )
    to = Login(parts.hostname or "", port, unquote(parts.username or ""), key, hosts, login)
    return SftpRemote(to, path, create=create)


def _authorities(file: str) -> bytes:
    if not file:
        return b""
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise UsageError(
            f"authorities {file} cannot be read: {error.strerror}", hint=f"ls -l {file}"
        ) from error


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise UsageError(f"{url[:100]!r} is not a place for data", hint=_PLACES) from None
