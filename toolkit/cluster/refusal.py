"""What a server's "no" means: a Status document → an error with the cure. Between `request` and everybody above it.

Format: the Status kind of Kubernetes; a conflict of field managers lists causes with reason FieldManagerConflict, the
field, and a message that names the owner. An `object has been modified` is also a 409, but has no such cause.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from toolkit.errors import ClusterError

_OWNER = re.compile(r'conflict with "((?:[^"\\]|\\.)*)"')
_LONGEST_MESSAGE = 2000
NOT_FOUND, CONFLICT, FORBIDDEN, UNAUTHORIZED, INVALID = 404, 409, 403, 401, 422
_CURES = {
    UNAUTHORIZED: "log in to the cluster again; kubectl auth whoami shows as whom",
    FORBIDDEN: "kubectl auth can-i --list shows what this user may do",
    INVALID: "a field is wrong or cannot be changed in place: tiers lint, then tiers diff",
}
_PRIORITY = re.compile(r"PriorityClass(?:\.scheduling\.k8s\.io)? \"([^\"]+)\" is invalid")
"""How a server begins when value or preemptionPolicy of a PriorityClass would change; both are fixed for ever."""


@dataclass(frozen=True)
class FieldConflict:
    """A field that we want and that somebody else owns."""

    field: str
    """Path such as .spec.replicas."""
    owner: str
    """The other field manager, such as kubectl-edit."""


class RefusedError(ClusterError):
    """The server said no. `status` is the HTTP status."""

    def __init__(self, message: str, *, status: int, hint: str = "") -> None:
        """Keep what the server said and its status."""
        super().__init__(message, hint=hint)
        self.status = status


class ConflictError(RefusedError):
    """Somebody else owns fields that we want to set. `conflicts` names each field and owner."""

    def __init__(self, message: str, conflicts: tuple[FieldConflict, ...]) -> None:
        """Take every conflict of the object."""
        super().__init__(message, status=CONFLICT, hint="tiers diff shows both values")
        self.conflicts = conflicts


def refused(status: int, data: bytes, request: str) -> RefusedError:
    """Make the error that a Status document stands for.

    Args:
        status: HTTP status.
        data: the body, a Status document or whatever a proxy on the way wrote.
        request: method and path, for the message.
    """
    document = _status(data)
    message = str(document.get("message") or data.decode(errors="replace"))[:_LONGEST_MESSAGE]
    conflicts = tuple(_conflicts(document)) if status == CONFLICT else ()
    if conflicts:
        return ConflictError(message, conflicts)
    return RefusedError(f"{request}: {message}", status=status, hint=_cure(status, message))


def _cure(status: int, message: str) -> str:
    """Say what to do next. A PriorityClass may be deleted at any time: a pod keeps the number it was given."""
    priority = _PRIORITY.search(message) if status == INVALID else None
    if priority:
        return (
            "number and preemption of a PriorityClass cannot change; pods keep theirs when it is made anew:"
            f" kubectl delete priorityclass {priority[1]}, then tiers apply"
        )
    return _CURES.get(status, "")


def _status(data: bytes) -> dict[str, object]:
    try:
        document = json.loads(data)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _conflicts(document: dict[str, object]) -> list[FieldConflict]:
    details = document.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    found = []
    for cause in causes if isinstance(causes, list) else []:
        if isinstance(cause, dict) and cause.get("reason") == "FieldManagerConflict":
            owner = _OWNER.search(str(cause.get("message")))
            found.append(FieldConflict(str(cause.get("field")), owner[1] if owner else "somebody else"))
    return found
