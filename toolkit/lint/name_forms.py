"""The forms of names that Kubernetes asks for, each as one test. Used by the rules about jobs, queues and pods.

Source: k8s.io/apimachinery v0.35.3, pkg/util/validation/validation.go.
"""

from __future__ import annotations

import re

LONGEST_LABEL = 63
LONGEST_SUBDOMAIN = 253
LONGEST_PORT_NAME = 15
LABEL_FORM = "1 to 63 of a-z, 0-9 and -, with a letter or digit at both ends"
"""The form of a DNS label, for messages."""
SUBDOMAIN_FORM = "up to 253 of a-z, 0-9, - and ., with a letter or digit at both ends"
"""The form of a DNS subdomain, for messages."""

_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_SERVICE = re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_QUALIFIED = re.compile(r"(?:[A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_ENVIRONMENT = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_PORT = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


def is_label(name: str) -> bool:
    """Whether a name is a DNS label (RFC 1123), as names of containers, volumes and hosts are."""
    return len(name) <= LONGEST_LABEL and re.fullmatch(_LABEL, name) is not None


def is_service_name(name: str) -> bool:
    """Whether a name can be the name of a Service (RFC 1035): a DNS label that begins with a letter."""
    return len(name) <= LONGEST_LABEL and _SERVICE.fullmatch(name) is not None


def is_subdomain(name: str) -> bool:
    """Whether a name is a DNS subdomain (RFC 1123), as names of most objects are."""
    return len(name) <= LONGEST_SUBDOMAIN and _SUBDOMAIN.fullmatch(name) is not None


def is_qualified(name: str) -> bool:
    """Whether a name can be the key of a label: letters, digits, -, _ and ., with a prefix/ before it or not."""
    prefix, slash, rest = name.rpartition("/")
    if slash and not is_subdomain(prefix):
        return False
    return len(rest) <= LONGEST_LABEL and _QUALIFIED.fullmatch(rest) is not None


def is_label_value(value: str) -> bool:
    """Whether a text can be the value of a label; an empty one can."""
    return not value or (len(value) <= LONGEST_LABEL and _QUALIFIED.fullmatch(value) is not None)


def is_environment_name(name: str) -> bool:
    """Whether a text can name an environment variable where the relaxed form is not allowed."""
    return _ENVIRONMENT.fullmatch(name) is not None and name not in {".", ".."} and not name.startswith("..")


def is_port_name(name: str) -> bool:
    """Whether a text can name a port (RFC 6335): at most 15, with a letter, no -- inside."""
    return (
        len(name) <= LONGEST_PORT_NAME
        and _PORT.fullmatch(name) is not None
        and any(each.isalpha() for each in name)
    )
