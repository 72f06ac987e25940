"""A Remote in a bucket of S3, or of a service that speaks its language, through obstore.

A PUT is atomic there. An object is made only when there is none by `If-None-Match: *`; a service that ignores that word
would let two writers both believe that they were first, so it is asked once and refused if it does. `choose` opens it
and lets `retrying` repeat what was lost on the way; obstore itself repeats nothing, because it could not tell whether
the object that is there by now is ours.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from io import BytesIO
from ipaddress import ip_address
from typing import TypedDict
from urllib.parse import urlsplit

from toolkit.errors import (
    IntegrityError,
    MissingExtraError,
    MissingObjectError,
    RemoteRefusedError,
    RemoteUnavailableError,
    TiersError,
    UsageError,
)
from toolkit.sync.remotes.remote import MAX_OBJECT_BYTES, Found, check_key, check_prefix, is_key

_PROBE = ".incoming/if-none-match"
"""No key of ours begins with a dot, so nobody takes it for an object."""
_WHOLE_BYTES = 32 * 1024 * 1024
"""What is larger goes up in parts, several at a time; a pack goes up whole."""
_PART_BYTES, _PARTS_AT_ONCE = 8 * 1024 * 1024, 4
_PIECE_BYTES = 1024 * 1024
"""What is read comes in pieces of so many, for each of which obstore wakes us once."""
_LOGIN_HOLDS = timedelta(minutes=5)
"""After this the login is read again, so that a Secret may be renewed under a running agent."""
_CLASS = "Storage-Class"
_PACKS = "packs/"
_LONGEST = 300


@dataclass(frozen=True, repr=False)
class Login:
    """An access key. Its secret is never shown."""

    access_key: str
    secret_key: str
    token: str = ""


class _Credential(TypedDict):
    """What obstore asks a provider for."""

    access_key_id: str
    secret_access_key: str
    token: str | None
    expires_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Where objects are, and how to get in."""

    name: str
    prefix: str = ""
    endpoint: str = ""
    """Address of the service; empty is Amazon's, by region."""
    region: str = ""
    login: Callable[[], Login] | None = None
    """Gives the access key; None takes what the machine offers (variables, role of the instance or of the pod)."""
    authorities: bytes = b""
    """Certificates (PEM) that the service's may come from, beside those of the system."""
    object_class: str = ""
    """Storage class of packs."""
    plain: bool = False
    """Whether http may leave this machine: only what is encrypted already may go that way."""

    @property
    def url(self) -> str:
        """Where it is, for people."""
        return f"s3://{self.name}{'/' + self.prefix if self.prefix else ''}"


class S3Remote:
    """Objects in a bucket."""

    def __init__(self, bucket: Bucket, *, patience: float = 60.0) -> None:
        """Look at what was given; nothing is asked over the network yet.

        Args:
            bucket: where it is.
            patience: seconds after which a request counts as lost.

        Raises:
            UsageError: the address cannot be used, or plain http would show the data to the network.
            MissingExtraError: the extra s3 is not installed.
        """
        try:
            import obstore
            from obstore import exceptions
            from obstore.store import S3Store
        except ImportError as error:
            raise MissingExtraError(f"{bucket.url}", extra="s3") from error
        self._obstore, self._errors = obstore, exceptions
        self._bucket = bucket
        self._honours_new = False
        self._lock = threading.Lock()
        config: dict[str, str] = {}
        if bucket.endpoint:
            _check_endpoint(bucket)
            config["endpoint"] = bucket.endpoint.rstrip("/")
        if bucket.region:
            config["region"] = bucket.region
        client: dict[str, object] = {
            "allow_http": urlsplit(bucket.endpoint).scheme == "http",
            "timeout": timedelta(seconds=patience),
            "connect_timeout": timedelta(seconds=min(10.0, patience)),
        }
        if bucket.authorities:
            client["root_certificate"] = bucket.authorities
        try:
            self._store = S3Store(
                bucket.name,
                prefix=bucket.prefix or None,
                config=config or None,
                client_options=client,
                retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=patience)},
                credential_provider=_provider(bucket.login) if bucket.login else None,
            )
        except (exceptions.BaseError, ValueError) as error:
            raise UsageError(
                f"{bucket.url}: {_clean(str(error))}", hint="look at endpoint, region and ca_file"
            ) from error

    @property
    def url(self) -> str:
        """Where it is."""
        return self._bucket.url

    def read(
        self, key: str, *, start: int = 0, length: int | None = None, limit: int = MAX_OBJECT_BYTES
    ) -> bytes:
        """Give the bytes of an object; see `Remote.read`."""
        check_key(key)
        if length == 0 or not (start or length is not None):
            return self._read_whole(key, 0 if length == 0 else None, limit)
        part = {"offset": start} if length is None else (start, start + length)
        try:
            with self._explained(key):
                answer = self._obstore.get(self._store, key, options={"range": part})
                begin, end = answer.range
                return self._collect(answer, key, end - begin, limit)
        except _PastTheEndError:
            return b""

    def write(self, key: str, data: bytes) -> None:
        """Store an object whole; see `Remote.write`."""
        check_key(key)
        parts = len(data) > _WHOLE_BYTES
        with self._explained(key):
            self._obstore.put(
                self._store,
                key,
                data,
                attributes=self._attributes(key),
                use_multipart=parts,
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )

    def write_new(self, key: str, data: bytes) -> bool:
        """Store an object unless it is there; see `Remote.write_new`."""
        check_key(key)
        self._prove_new()
        return self._put_new(key, data, self._attributes(key))

    def exists(self, key: str) -> bool:
        """Say whether there is such an object."""
        check_key(key)
        try:
            with self._explained(key):
                self._obstore.head(self._store, key)
        except MissingObjectError:
            return False
        return True

    def list(self, prefix: str = "") -> Iterator[Found]:
        """Yield keys and sizes in the order of the keys; see `Remote.list`."""
        check_prefix(prefix)
        last = ""
        with self._explained(prefix):
            pages = self._obstore.list(self._store, prefix or None)
        while True:
            with self._explained(prefix):
                page = next(pages, None)
            if page is None:
                return
            for meta in page:
                key, size = str(meta["path"]), int(meta["size"])
                if not key.startswith(prefix) or not all(map(is_key, key.split("/"))):
                    continue
                if key <= last and not size:
                    continue  # what consoles leave as a folder: obstore takes the slash at its end away
                if key <= last:
                    # Readers merge listings and go on behind the last key; out of order they would miss objects.
                    raise IntegrityError(f"{self.url} does not list its keys in order: {key} after {last}")
                last = key
                yield Found(key, size, int(meta["last_modified"].timestamp() * 1000))

    def delete(self, key: str) -> bool:
        """Remove an object; say whether it was there."""
        if not self.exists(key):
            return False
        with self._explained(key):
            self._obstore.delete(self._store, key)
        return True

    # ------------------------------------------------------------ inside
    def _read_whole(self, key: str, length: int | None, limit: int) -> bytes:
        with self._explained(key):
            answer = self._obstore.get(self._store, key)
            if length == 0:
                return b""
            return self._collect(answer, key, int(answer.meta["size"]), limit)

    def _collect(self, answer: object, key: str, wanted: int, limit: int) -> bytes:
        if wanted > limit:
            raise IntegrityError(f"{self.url}/{key}: {wanted} bytes to read; at most {limit} are")
        left = wanted
        data = BytesIO()  # a join would hold all of it twice
        for piece in answer.stream(min_chunk_size=_PIECE_BYTES):  # type: ignore[attr-defined]
            left -= len(piece)
            if left < 0:
                break
            data.write(piece)
        if left:
            raise RemoteUnavailableError(
                f"{self.url}/{key}: {wanted} bytes were announced, others came", hint="run it again"
            )
        return data.getvalue()

    def _attributes(self, key: str) -> dict[str, str] | None:
        wanted = self._bucket.object_class
        return {_CLASS: wanted} if wanted and key.startswith(_PACKS) else None

    def _put_new(self, key: str, data: bytes, attributes: dict[str, str] | None = None) -> bool:
        try:
            with self._explained(key):
                self._obstore.put(
                    self._store, key, data, attributes=attributes, mode="create", use_multipart=False
                )
        except _ThereAlreadyError:
            return False
        return True

    def _prove_new(self) -> None:
        """See to it that the service refuses to make what is there: one request, and one more where it is the first."""
        with self._lock:
            if self._honours_new:
                return
            if self._put_new(_PROBE, b"") and self._put_new(_PROBE, b""):
                raise RemoteRefusedError(
                    f"{self.url}: this service ignores If-None-Match, so two writers could both be the first",
                    hint="use one that honours it (Amazon S3, Ceph, MinIO, versitygw), or sftp://, or a mounted folder",
                )
            self._honours_new = True

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        try:
            yield
        except TiersError:
            raise
        # What is missing comes as Python's own error.
        except (self._errors.BaseError, OSError, NotImplementedError) as error:
            raise self._error(error, key) from error

    def _error(self, error: Exception, key: str) -> TiersError:
        words, where = _clean(str(error)), f"{self.url}/{key}"
        if "NoSuchBucket" in words:
            return RemoteRefusedError(
                f"{self.url}: there is no such bucket", hint="make it, or look at the address"
            )
        if isinstance(error, FileNotFoundError):
            return MissingObjectError(f"{self.url} has no {key}")
        if "status code: 409" in words:
            # Two writers at once: which of them was first is not decided yet, whatever obstore calls it.
            return RemoteUnavailableError(f"{where}: {_reason(words)}", hint="run it again")
        if isinstance(error, self._errors.AlreadyExistsError):
            return _ThereAlreadyError(f"{where} is there")
        for_login = (self._errors.PermissionDeniedError, self._errors.UnauthenticatedError)
        if isinstance(error, for_login) and "InvalidObjectState" not in words:
            return RemoteRefusedError(
                f"{where}: the login is not let in: {_reason(words)}", hint=_cure_of(words)
            )
        if "status code: 416" in words or "InvalidRange" in words:
            return _PastTheEndError(f"{where} ends before")
        for pattern, meaning, cure in _FOR_GOOD:
            if re.search(pattern, words):
                return RemoteRefusedError(f"{where}: {meaning}: {_reason(words)}", hint=cure)
        return RemoteUnavailableError(
            f"{where}: {_reason(words)}", hint="look at the line and the service, run it again"
        )


class _ThereAlreadyError(RemoteRefusedError):
    """The object that was to be made is there."""


class _PastTheEndError(RemoteRefusedError):
    """A part was asked for that begins behind the end of the object."""


_FOR_GOOD = (
    (
        "certificate|UnknownIssuer|NotValidForName",
        "its certificate is not believed",
        "name its authority: ca_file",
    ),
    ("CredentialsNotLoaded|169.254.169.254|[Mm]etadata endpoint", "no login was found", "write credentials"),
    (
        "InvalidObjectState",
        "it rests in a class that has to be thawed first",
        "aws s3api restore-object brings it back for some days, then run this again; class: GLACIER_IR is read at once",
    ),
    ("InvalidStorageClass", "it does not know this storage class", "look at the class of the storage"),
    (
        "QuotaExceeded|InsufficientStorage|status code: 507",
        "it has no room",
        "free some space there and run it again",
    ),
    (
        "InvalidBucketName|PermanentRedirect|AuthorizationHeaderMalformed",
        "it is elsewhere",
        "look at the region",
    ),
)


def _cure_of(words: str) -> str:
    if "RequestTimeTooSkewed" in words:
        return "set this machine's clock: S3 takes no request that is fifteen minutes off"
    return "look at the access key, and at what it may do: docs/guides/sync.md, Over SSH and S3"


def _check_endpoint(bucket: Bucket) -> None:
    parts = urlsplit(bucket.endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
        raise UsageError(
            f"{bucket.url}: endpoint {parts.scheme}://{parts.hostname} cannot be", hint="https://HOST:PORT"
        )
    if parts.scheme == "http" and not bucket.plain and not _is_loopback(parts.hostname):
        raise UsageError(
            f"{bucket.url}: over http everybody on the way to {parts.hostname} could read the data",
            hint="give the service a certificate and write https, or encrypt the storage (key)",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _provider(login: Callable[[], Login]) -> Callable[[], _Credential]:
    def give() -> _Credential:
        found = login()
        return {
            "access_key_id": found.access_key,
            "secret_access_key": found.secret_key,
            "token": found.token or None,
            "expires_at": datetime.now(timezone.utc) + _LOGIN_HOLDS,
        }

    return give


def _clean(words: str) -> str:
    """Take out what could trouble a terminal; a service can say what it likes."""
    return "".join(each if each.isprintable() else " " for each in words)


def _reason(words: str) -> str:
    """Give what matters of obstore's long words: code and message of the service, else their end."""
    code, message = re.search("<Code>(.*?)</Code>", words), re.search("<Message>(.*?)</Message>", words)
    if code:
        return f"{code[1]} {message[1] if message else ''}".strip()[:_LONGEST]
    said = re.search(
        r"(dns error|Connection refused|timed out|TimedOut|connection closed|reset by peer|status code: \d+)",
        words,
    )
    if said:
        return said[1]
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]} …"
