"""The name of an image, taken apart the way container runtimes do: registry, repository, tag, digest.

Between the names in tiers.yaml and `registry`, which asks the registry. The format is that of
https://github.com/distribution/reference; a name without a host means Docker Hub there, and so it does here.
"""

from __future__ import annotations

from dataclasses import dataclass

HUB = "docker.io"
_HUB_ADDRESS = "registry-1.docker.io"
_HUB_CREDENTIALS = "https://index.docker.io/v1/"
_HUB_LIBRARY = "library/"
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Reference:
    """One image."""

    registry: str
    """Host, with a port where one is written."""
    repository: str
    tag: str
    digest: str = ""
    """sha256:…, when it is written."""

    @property
    def address(self) -> str:
        """Base of its registry's API. Only a registry on this machine is spoken to without TLS."""
        host = _HUB_ADDRESS if self.registry == HUB else self.registry
        return f"{'http' if is_loopback(host) else 'https'}://{host}"

    @property
    def credentials_keys(self) -> tuple[str, ...]:
        """Give the names under which files of credentials keep the login, the usual one first."""
        if self.registry == HUB:
            return _HUB_CREDENTIALS, HUB, "index.docker.io"
        return (
            self.registry,
            f"https://{self.registry}",
            f"https://{self.registry}/v2/",
            f"https://{self.registry}/v1/",
        )


def parse_reference(image: str) -> Reference:
    """Take an image's name apart; loading has checked its form and that it has a tag or a digest."""
    name, _, digest = image.partition("@")
    first, slash, rest = name.partition("/")
    has_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    registry, path = (first, rest) if has_host else (HUB, name)
    repository, _, tag = path.partition(":")
    if registry == HUB and "/" not in repository:
        repository = _HUB_LIBRARY + repository
    return Reference(registry, repository, tag, digest)


def is_loopback(host: str) -> bool:
    """Tell whether a host, with or without a port, is this machine."""
    name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
    return name in _LOOPBACK
