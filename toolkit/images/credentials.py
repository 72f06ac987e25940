"""Logins for registries, from where docker and podman keep them: their files, and the helpers that these name.

Read by `registry` when a registry asks who we are. Formats: https://docs.docker.com/reference/cli/docker/login/ and
containers-auth.json(5). A helper is a program docker-credential-NAME that reads a host and prints JSON.
"""

from __future__ import annotations

import base64
import binascii
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from toolkit.errors import UsageError
from toolkit.wire.learnt import learn

LARGEST_FILE = 1024 * 1024
_HELPER_SECONDS = 20.0
_TOKEN_USER = "<token>"  # noqa: S105 -- the word by which a helper says that the secret is an identity token


@dataclass(frozen=True, repr=False)
class Login:
    """User and password, or an identity token that a registry's token service takes. Never shown."""

    user: str = ""
    password: str = ""
    identity_token: str = ""


class _Auth(msgspec.Struct, frozen=True):
    auth: str = ""
    username: str = ""
    password: str = ""
    identitytoken: str = ""


class _File(msgspec.Struct, frozen=True):
    auths: Mapping[str, _Auth] = {}
    credHelpers: Mapping[str, str] = {}  # noqa: N815 -- docker's spelling
    credsStore: str = ""  # noqa: N815


class _FromHelper(msgspec.Struct, frozen=True):
    Username: str = ""
    Secret: str = ""


def find_login(files: Sequence[Path], keys: Sequence[str]) -> Login | None:
    """Give the login of the first file that has one.

    Args:
        files: as podman and docker look for them; one that is not there is passed over.
        keys: names of the registry in such a file, the usual one first.

    Raises:
        UsageError: a file cannot be read, or a helper that it names fails.
    """
    for file in files:
        known = _read(file)
        if known is None:
            continue
        for key in keys:
            helper = known.credHelpers.get(key) or (known.credsStore if key == keys[0] else "")
            if helper and (login := _ask(helper, key, file)) is not None:
                return login
            if key in known.auths and (login := _written(known.auths[key], file)) is not None:
                return login
    return None


def _read(file: Path) -> _File | None:
    try:
        with file.open("rb") as stream:
            data = stream.read(LARGEST_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise UsageError(f"cannot read {file}: {exc.strerror}", hint="docker login REGISTRY") from exc
    try:
        if len(data) > LARGEST_FILE:
            raise UsageError(f"{file} is larger than {LARGEST_FILE} bytes", hint="docker login REGISTRY")
        return msgspec.json.decode(data, type=learn(_File))
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        # The text of the error may hold a part of the file, and so of a password.
        raise UsageError(f"{file} is no file of logins", hint="docker login REGISTRY") from exc


def _written(auth: _Auth, file: Path) -> Login | None:
    """Give what stands in the file itself."""
    if auth.identitytoken:
        return Login(identity_token=auth.identitytoken)
    if auth.username:
        return Login(auth.username, auth.password)
    if not auth.auth:
        return None
    try:
        user, _, password = base64.b64decode(auth.auth, validate=True).decode().rstrip("\0").partition(":")
    except (binascii.Error, UnicodeDecodeError) as exc:
        raise UsageError(f"{file}: a login there is not in base64", hint="docker login REGISTRY") from exc
    return Login(user, password)


def _ask(helper: str, key: str, file: Path) -> Login | None:
    """Ask a helper; None when it knows nothing about this registry."""
    program = f"docker-credential-{helper}"
    if "/" in helper or "\\" in helper:
        raise UsageError(
            f"{file} names a helper that is a path: {helper[:80]!r}", hint="docker login REGISTRY"
        )
    try:
        done = subprocess.run(
            [program, "get"], input=key.encode(), capture_output=True, check=False, timeout=_HELPER_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise UsageError(
            f"{program}, which {file} names for {key}, does not work", hint=f"echo {key} | {program} get"
        ) from exc
    if done.returncode != 0:
        return None
    try:
        found = msgspec.json.decode(done.stdout[:LARGEST_FILE], type=learn(_FromHelper))
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise UsageError(f"{program} did not answer in JSON", hint=f"echo {key} | {program} get") from exc
    if found.Username == _TOKEN_USER:
        return Login(identity_token=found.Secret)
    return Login(found.Username, found.Secret) if found.Username or found.Secret else None
