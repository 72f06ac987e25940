"""The error tree and the one shape of every finding. Everything else stands on this file; it imports nothing of ours.

    TiersError                  exit 1   something we can explain went wrong
    ├── UsageError              exit 2   the command line asks for something that does not exist
    ├── TopologyError           exit 3   tiers.yaml is invalid; carries every Problem, not just the first
    ├── RenderError             exit 1   a template and a noun do not fit
    ├── MissingExtraError       exit 2   a command needs packages of an extra that is not installed
    ├── PartlyAppliedError      exit 4   some objects were changed, some were refused
    ├── UnreachableError        exit 5   a cluster or a broker does not answer (retryable)
    ├── IntegrityError          exit 6   bytes, a digest or a format are not what they should be
    │   ├── SignatureError      exit 6   a document is not signed by a key that we trust
    │   └── UnsafePathError     exit 6   a path would leave its root
    ├── GateRefusedError        exit 7   a gate said no (golden check, rollout, old plan, mass deletion, unpinned image)
    ├── DifferencesError        exit 8   `diff --exit-code` found differences
    ├── ClusterError            exit 1   a cluster refused a request, or lacks what we need
    ├── SyncError               exit 1   a transfer between tiers could not be finished
    │   ├── RemoteUnavailableError  exit 5   the other side of a sync does not answer (retryable)
    │   │   └── RemoteRefusedError  exit 5   it answers and says no: login, host key, rights, a full disk
    │   ├── MissingObjectError      exit 1   a store does not have the object that was asked for
    │   └── TornReadError       exit 1   a file kept changing while we read it (retryable)
    ├── RegistryError           exit 1   a name, version or image is not in its registry, or is there with other content
    ├── RolloutError            exit 1   a rollout cannot start or has failed
    ├── JobError                exit 1   a job failed for good
    ├── EngineError             exit 1   an inference engine cannot load or run a model
    └── StoreError              exit 1   the state folder of a device cannot be used

130 is for an interrupt (Ctrl-C). The exit code sits on the class; the page docs/reference/errors.md is made from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

INTERRUPTED_EXIT_CODE = 130
"""Exit code after Ctrl-C, by the shell's convention (128 + SIGINT)."""


class Severity(str, Enum):
    """How bad a finding is; only an error stops a command."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Place:
    """Where a finding is: a file with a position, an object, or a device.

    Lines and columns count from 1; 0 means that the position is not known.
    """

    where: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Write the place the way compilers do, so that editors can jump to it."""
        if not self.line:
            return self.where
        return f"{self.where}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Problem:
    """One finding of validate, lint or doctor: what is wrong, where, why it bites and what cures it."""

    code: str
    severity: Severity
    place: Place
    message: str
    why: str = ""
    cure: str = ""
    excerpt: str = ""

    def __str__(self) -> str:
        """Give the one-line form, `file:line:col CODE message`."""
        return f"{self.place} {self.code} {self.message}"


class TiersError(Exception):
    """Something went wrong that we can explain. `hint` is the cure, best as the next command to type."""

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep the message (what and where) apart from the hint (what to do next)."""
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(TiersError):
    """The command line asks for something that does not exist."""

    exit_code = 2


class MissingExtraError(UsageError):
    """A command needs packages that are not installed; the hint is the install line."""

    def __init__(self, what: str, *, extra: str) -> None:
        """Name what is missing and the extra of the distribution that brings it."""
        super().__init__(
            f"{what} needs the extra '{extra}', which is not installed",
            hint=f"pip install 'tiers[{extra}]'",
        )


class TopologyError(TiersError):
    """tiers.yaml is invalid. `problems` holds every finding."""

    exit_code = 3

    def __init__(self, problems: Sequence[Problem], *, hint: str = "") -> None:
        """Take all findings, errors and warnings, in file order."""
        self.problems = tuple(problems)
        errors = sum(1 for problem in self.problems if problem.severity is Severity.ERROR)
        noun = "error" if errors == 1 else "errors"
        super().__init__(f"{errors} {noun} in the topology", hint=hint)


class RenderError(TiersError):
    """A template and the noun it was given do not fit together."""


class PartlyAppliedError(TiersError):
    """Some objects were changed and some were refused."""

    exit_code = 4


class UnreachableError(TiersError):
    """A cluster or a broker does not answer."""

    exit_code = 5
    retryable = True


class IntegrityError(TiersError):
    """Bytes, a digest or a format number are not what they should be."""

    exit_code = 6


class SignatureError(IntegrityError):
    """A document is not signed by a key that we trust."""


class UnsafePathError(IntegrityError):
    """A path from a document would leave the folder it belongs to."""


class GateRefusedError(TiersError):
    """A gate said no: golden check, accuracy, rollout threshold, old plan, mass deletion, unpinned image."""

    exit_code = 7


class DifferencesError(TiersError):
    """Two states differ and the caller asked to be told by the exit code."""

    exit_code = 8


class ClusterError(TiersError):
    """A cluster refused a request, or lacks what we need."""


class SyncError(TiersError):
    """A transfer between tiers could not be finished."""


class RemoteUnavailableError(SyncError):
    """The other side of a sync does not answer or refuses to store."""

    exit_code = 5
    retryable = True


class RemoteRefusedError(RemoteUnavailableError):
    """The other side of a sync answers and says no: a login, a host key, rights, a full disk. It would say so again."""

    retryable = False


class MissingObjectError(SyncError):
    """A store does not have the object that was asked for."""


class TornReadError(SyncError):
    """A file kept changing while it was read."""

    retryable = True


class RegistryError(TiersError):
    """A model, version or image is not in its registry, or it is there with other content."""


class RolloutError(TiersError):
    """A rollout cannot start, or it has failed."""


class JobError(TiersError):
    """A job failed for good."""


class EngineError(TiersError):
    """An inference engine cannot load or run a model."""


class StoreError(TiersError):
    """The state folder of a device cannot be used."""
