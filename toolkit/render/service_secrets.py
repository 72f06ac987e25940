"""Secrets of a service: their names, and the commands that make them. A secret itself is never rendered.

Used by `service`, which mounts them, and by whoever scrapes a service: /metrics wants a token too, and Prometheus can
show one only, so the Secret NAME-serving holds one of its tokens a second time under SCRAPE_KEY.
"""

from __future__ import annotations

from toolkit.placement import fitted_name

TOKEN_KEY = "token"  # noqa: S105 -- name of a key
"""Key of the Secret NAME-serving: every token that is taken, one a line."""
SCRAPE_KEY = "scrape-token"
"""Key of the Secret NAME-serving: the token that Prometheus shows, one of those."""
CERTIFICATE_KEY = "tls.crt"
_NEW_PAIR = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365"
    " -keyout tls.key -out tls.crt"
)


def serving_secret(service: str) -> str:
    """Name the Secret with certificate, key and tokens of a service."""
    return fitted_name(service, "serving")


def identity_secret(service: str) -> str:
    """Name the Secret with which its servers log in to the broker."""
    return fitted_name(service, "identity")


def offload_secret(service: str) -> str:
    """Name the Secret with which devices ask a service: the authority of its certificate, and one of its tokens."""
    return fitted_name(service, "offload")


def server_names(namespace: str, service: str) -> tuple[str, ...]:
    """Give the names under which a service is reached in its cluster, the shortest first."""
    inside = f"{service}.{namespace}"
    return service, inside, f"{inside}.svc", f"{inside}.svc.cluster.local"


def prepare(namespace: str, service: str) -> str:
    """Write the shell command that makes both Secrets, with a certificate that clients trust by itself for a year."""
    names = ",".join(f"DNS:{each}" for each in server_names(namespace, service))
    serving = ("tls.crt", "tls.key", TOKEN_KEY, SCRAPE_KEY)
    return " && ".join(
        (
            f"{_NEW_PAIR} -subj /CN={service} -addext subjectAltName={names}",
            f"openssl rand -hex 32 > {TOKEN_KEY}",
            f"cp {TOKEN_KEY} {SCRAPE_KEY}",
            _create(namespace, serving_secret(service), serving),
            _create(namespace, identity_secret(service), ("keyring.json", "device.crt", "device.key")),
        )
    )


def _create(namespace: str, secret: str, files: tuple[str, ...]) -> str:
    listed = " ".join(f"--from-file={each}" for each in files)
    return f"kubectl -n {namespace} create secret generic {secret} {listed}"
