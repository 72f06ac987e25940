"""A container registry, asked one thing: which digest has this tag now, and for which machines is it?

Between `reference` and `lock`. OCI distribution specification 1.1 (https://github.com/opencontainers/distribution-spec):
GET /v2/NAME/manifests/TAG. The digest is computed from the bytes that came; what the registry says about them must
agree. Logins go to the registry or to the token service that it names, over TLS unless that is this machine; nothing
is redirected.
"""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import msgspec
import urllib3

from toolkit.errors import IntegrityError, RegistryError, UnreachableError
from toolkit.images.challenge import Challenge, parse_challenges
from toolkit.images.credentials import Login
from toolkit.images.reference import Reference, is_loopback
from toolkit.wire.learnt import learn

LARGEST_MANIFEST = 4 * 1024 * 1024
"""Bytes: what the specification lets a registry refuse to store, so none is larger."""
LARGEST_TOKEN = 256 * 1024
CONNECT_SECONDS, READ_SECONDS = 10.0, 30.0
_TRIES = 3
_INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG_FORM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_OK, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 200, 401, 403, 404

LoginOf = Callable[[Reference], Login | None]
"""Gives the login for a registry, when there is one."""


@dataclass(frozen=True)
class Resolved:
    """What a tag means now."""

    digest: str
    platforms: tuple[str, ...] = ()
    """os/architecture of each image of an index, such as linux/arm64; empty when the tag is a single image."""


class _Platform(msgspec.Struct, frozen=True):
    os: str = ""
    architecture: str = ""


class _Part(msgspec.Struct, frozen=True):
    platform: _Platform | None = None


class _Manifest(msgspec.Struct, frozen=True):
    """What we read of a manifest or an index."""

    mediaType: str = ""  # noqa: N815 -- the specification's spelling
    manifests: tuple[_Part, ...] = ()


class _Token(msgspec.Struct, frozen=True):
    token: str = ""
    access_token: str = ""


class Registries:
    """Asks registries; keeps connections and tokens. Use from several threads is fine."""

    def __init__(self, login_of: LoginOf, ca_file: str = "") -> None:
        """Ask nobody yet.

        Args:
            login_of: gives logins; asked only when a registry wants one.
            ca_file: PEM of an authority beside the system's; empty for none.

        Raises:
            RegistryError: the file holds no authority.
        """
        self._login_of = login_of
        self._tokens: dict[tuple[str, str], str] = {}
        context = ssl.create_default_context()
        if ca_file:
            try:
                context.load_verify_locations(ca_file)
            except (OSError, ssl.SSLError) as exc:
                raise RegistryError(
                    f"{ca_file} holds no authority in PEM", hint="give another file: --ca FILE"
                ) from exc
        retries = urllib3.Retry(
            total=_TRIES, redirect=0, status_forcelist=(429, 500, 502, 503, 504), backoff_factor=0.5,
            backoff_max=10.0, raise_on_status=False, raise_on_redirect=False,
        )  # fmt: skip
        self._pool = urllib3.PoolManager(
            ssl_context=context,
            retries=retries,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            headers={"User-Agent": "tiers"},
        )

    def resolve(self, reference: Reference) -> Resolved:
        """Ask for the digest of a tag.

        Raises:
            UnreachableError: the registry does not answer, or not as a registry.
            RegistryError: it has no such image, or does not let us see it.
            IntegrityError: what it sent is not what it says it is.
        """
        if not _TAG_FORM.fullmatch(reference.tag):
            raise RegistryError(
                f"{reference.repository} has no tag to ask for", hint="write NAME:TAG in tiers.yaml"
            )
        url = f"{reference.address}/v2/{reference.repository}/manifests/{reference.tag}"
        headers = {"Accept": ", ".join((*_INDEXES, *_MANIFESTS))}
        key = (reference.registry, reference.repository)
        if key in self._tokens:
            headers["Authorization"] = self._tokens[key]
        status, answered, body = self._get(url, headers, LARGEST_MANIFEST)
        if status == _UNAUTHORIZED:
            headers["Authorization"] = self._tokens[key] = self._authorize(reference, answered)
            status, answered, body = self._get(url, headers, LARGEST_MANIFEST)
        name = f"{reference.registry}/{reference.repository}:{reference.tag}"
        if status in {_UNAUTHORIZED, _FORBIDDEN}:
            raise RegistryError(
                f"{reference.registry} does not show us {name}", hint=f"docker login {reference.registry}"
            )
        if status == _NOT_FOUND:
            raise RegistryError(
                f"{reference.registry} has no {name}", hint="push it first, or mend the name in tiers.yaml"
            )
        if status != _OK:
            raise UnreachableError(
                f"{url} answers {status}, which no registry should", hint="try it with curl"
            )
        return _read(body, answered, name)

    def _authorize(self, reference: Reference, answered: Mapping[str, str]) -> str:
        """Give the value of `Authorization` that the registry asks for."""
        offered = parse_challenges(answered.get("WWW-Authenticate", ""))
        login = self._login_of(reference)
        for challenge in offered:
            if challenge.scheme == "bearer":
                return f"Bearer {self._token(reference, challenge, login)}"
        for challenge in offered:
            if challenge.scheme == "basic" and login is not None and login.user:
                return _basic(login)
        wants = " or ".join(each.scheme for each in offered) or "something unknown"
        raise RegistryError(
            f"{reference.registry} wants a login ({wants}) and there is none for it",
            hint=f"docker login {reference.registry}",
        )

    def _token(self, reference: Reference, challenge: Challenge, login: Login | None) -> str:
        """Get a token for reading this repository from the service that the registry names."""
        realm = challenge.parameters.get("realm", "")
        parts = urlsplit(realm)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.netloc)):
            raise RegistryError(
                f"{reference.registry} sends us for a token to {realm[:200]!r}, which has no TLS"
            )
        asked = {"scope": f"repository:{reference.repository}:pull"}
        if service := challenge.parameters.get("service"):
            asked["service"] = service
        if login is not None and login.identity_token:
            fields = {
                **asked,
                "grant_type": "refresh_token",
                "client_id": "tiers",
                "refresh_token": login.identity_token,
            }
            status, _, body = self._ask("POST", realm, {}, LARGEST_TOKEN, fields)
        else:
            headers = {"Authorization": _basic(login)} if login is not None else {}
            url = f"{realm}{'&' if parts.query else '?'}{urlencode(asked)}"
            status, _, body = self._get(url, headers, LARGEST_TOKEN)
        if status != _OK:
            hint = f"docker login {reference.registry}"
            raise RegistryError(
                f"{parts.netloc} gives no token for {reference.repository}: {status}", hint=hint
            )
        try:
            token = msgspec.json.decode(body, type=learn(_Token))
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise UnreachableError(f"{parts.netloc} does not answer with a token") from exc
        found = token.token or token.access_token
        if not found or not found.isascii() or not found.isprintable():
            raise UnreachableError(f"{parts.netloc} does not answer with a token")
        return found

    def _get(self, url: str, headers: Mapping[str, str], limit: int) -> tuple[int, Mapping[str, str], bytes]:
        return self._ask("GET", url, headers, limit, None)

    def _ask(
        self, method: str, url: str, headers: Mapping[str, str], limit: int, fields: Mapping[str, str] | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send one request. Never reads more than `limit` bytes of its answer."""
        host = urlsplit(url).netloc
        try:
            answer = self._pool.request(
                method, url, headers=dict(headers), preload_content=False, redirect=False,
                body=urlencode(fields) if fields else None,
            )  # fmt: skip
            try:
                body = answer.read(limit + 1, decode_content=True)
                if len(body) <= limit:
                    answer.drain_conn()
            finally:
                answer.close()
        except urllib3.exceptions.HTTPError as exc:
            raise UnreachableError(
                f"{host} does not answer: {_why(exc)}", hint=f"curl -sI https://{host}/v2/"
            ) from exc
        if len(body) > limit:
            raise IntegrityError(
                f"{host} sends more than {limit} bytes", hint="this is no manifest of an image"
            )
        return answer.status, answer.headers, body


def _read(body: bytes, answered: Mapping[str, str], name: str) -> Resolved:
    """Compute the digest and read what kind of thing it is."""
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    said = answered.get("Docker-Content-Digest", "")
    if said and _DIGEST.fullmatch(said) and said != digest:
        raise IntegrityError(
            f"{name} came with digest {digest}, and its registry says {said}", hint="try again"
        )
    try:
        manifest = msgspec.json.decode(body, type=learn(_Manifest))
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise IntegrityError(f"{name} has no manifest that can be read") from exc
    kind = manifest.mediaType or answered.get("Content-Type", "").partition(";")[0]
    if kind not in (*_INDEXES, *_MANIFESTS):
        raise IntegrityError(
            f"{name} is a {kind[:100]!r}, no image", hint="push it again with a recent docker or buildah"
        )
    named = {
        f"{part.platform.os}/{part.platform.architecture}"
        for part in manifest.manifests
        if part.platform is not None and part.platform.os not in {"", "unknown"}
    }
    return Resolved(digest, tuple(sorted(named)))


def _basic(login: Login) -> str:
    return "Basic " + base64.b64encode(f"{login.user}:{login.password}".encode()).decode()


def _why(error: urllib3.exceptions.HTTPError) -> str:
    """Say why in few words, without the objects that urllib3 puts into its messages."""
    reason = getattr(error, "reason", None) or error
    return re.sub(r"<[^>]*>:? ?", "", str(reason))[:300]
