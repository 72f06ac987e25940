"""Where a device stands with one model, what can happen to it, and what it can be told to do: the words of `install`.

The device saves the `Installation` (in SQLite) at each arrow before anything is done, so that a crash at any moment
finds it again. `interpret` says what a happening means, `install` has the table, `follow` writes what changes along an
arrow, `edge_runtime.install` carries out the actions, `wire.report` tells the fleet.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Final

import msgspec

from toolkit.wire.digest import Digest
from toolkit.wire.document import Document
from toolkit.wire.states import InstallState

MAX_TRIES: Final = 3
RETRY_SECONDS: Final = 30.0
"""Pause before the second try of an offer; it doubles."""
RELOAD_SECONDS: Final = 30.0
"""Pause before the version that shall serve is loaded again, when there is no other one."""
MAX_RESTARTS: Final = 3
MAX_LOSSES: Final = 3
MAX_STRIKES: Final = 3
GOOD_VERSIONS: Final = 2
"""Versions that stay on the device: the one that serves and the one to fall back to."""
BANS_KEPT: Final = 32

RETRYABLE: Final = frozenset(
    {
        "no-space",
        "no-memory",
        "io-error",
        "unknown-artifact",
        "depot-damaged",
        "golden-interrupted",
        "golden-slow",
    }
)
"""Codes of failures that time may cure; all others ban the artifact for the rollout."""


class Offer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A version that an operator wants on this device, as its desired document names it."""

    version: str
    artifact: Digest
    rollout: str


class Proven(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A version whose golden check has passed here; its files are on this device."""

    version: str
    artifact: Digest
    rollout: str
    counter: int = 0


class Ban(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An artifact that failed here for good; it is not tried again for the same rollout."""

    artifact: Digest
    rollout: str


class Installation(Document, frozen=True, kw_only=True):
    """One model of one device. All times are seconds of the device's monotonic clock."""

    FORMAT: ClassVar[int] = 1
    model: str
    state: InstallState = InstallState.IDLE
    offer: Offer | None = None
    """What `state` speaks of."""
    good: tuple[Proven, ...] = ()
    """Versions that can serve: first the one that shall serve, then those to fall back to."""
    withdrawn: bool = False
    """The operator wants none of `good` served; they stay for the day on which he wants one again."""
    serving: str = ""
    """Artifact that answers requests in this process now; empty when none does."""
    counter: int = 0
    """Counter of the offered version's manifest, once it is known."""
    offered_floor: int = 0
    """Floor of the offered version's manifest; it becomes ours when the version is ACTIVE."""
    floor: int = 0
    """Lowest counter that may be installed."""
    attempt: int = 0
    """Grows with each try of anything; an outcome of an earlier attempt is ignored."""
    tries: int = 0
    """Tries of this offer."""
    resumed: int = 0
    """Restarts since the last arrow."""
    failed_starts: int = 0
    """Starts in a row in which the version that shall serve did not come to serve."""
    losses: int = 0
    """How often stored chunks of this offer were found damaged."""
    strikes: int = 0
    """Failed inferences in this probation."""
    code: str = ""
    reason: str = ""
    retry_at: float = 0.0
    """When to try again; 0 never."""
    probation_until: float = 0.0
    reload_at: float = 0.0
    """When to try again to load the version that shall serve; 0 never."""
    bans: tuple[Ban, ...] = ()

    @property
    def shall_serve(self) -> Proven | None:
        """The version that shall answer requests; None when none shall."""
        return None if self.withdrawn or not self.good else self.good[0]


class Event(str, Enum):
    """What can happen to an installation; the columns of the table."""

    OFFER = "offer"
    BANNED = "banned"
    """An offer of what has failed here for the same rollout."""
    RELABEL = "relabel"
    """The same artifact, wanted by another rollout."""
    WITHDRAW = "withdraw"
    ACCEPT = "accept"
    FOUND_INSTALLED = "found-installed"
    """Accepted, and the version's files are here."""
    FOUND_SERVING = "found-serving"
    """Accepted, and it serves already."""
    REFUSE = "refuse"
    WINDOW = "window"
    SEEDED = "seeded"
    DOWNLOADED = "downloaded"
    VERIFIED = "verified"
    CHUNKS_LOST = "chunks-lost"
    """Stored chunks were found damaged; they have been crossed out."""
    PASSED = "passed"
    PREPARED = "prepared"
    """The new version is loaded beside the old one."""
    FAIL = "fail"
    PROBATION_OVER = "probation-over"
    UNHEALTHY = "unhealthy"
    RETRY = "retry"
    RELOAD = "reload"
    RESTART = "restart"
    BOOT_LOOP = "boot-loop"
    """The version that shall serve did not come to serve in several starts."""
    EVICT = "evict"
    """What was begun of a withdrawn offer is given up to make room."""
    CRASH_LOOP = "crash-loop"
    """Loading the new version took the daemon down several times."""


class Action(str, Enum):
    """What the device does next. Each may be repeated; brackets hold what is given back to `step` at its end."""

    SERVE = "serve"
    """Serve what `shall_serve` says, loading it if need be. [Serving or Struck]"""
    STOP = "stop"
    """Stop what runs for an earlier attempt. []"""
    CLEAN = "clean"
    """Delete what `install.needs` does not name. []"""
    CHECK_OFFER = "check-offer"
    """Get manifest and index and check them. [ACCEPT, REFUSE, FAIL]"""
    AWAIT_WINDOW = "await-window"
    """Wait until installing is allowed. [WINDOW]"""
    SEED = "seed"
    """Take chunks from what is installed. [SEEDED, FAIL]"""
    DOWNLOAD = "download"
    """Fetch what the bitmap lacks. [DOWNLOADED, FAIL]"""
    ASSEMBLE = "assemble"
    """Put the files together and check every byte. [VERIFIED, CHUNKS_LOST, FAIL]"""
    CHECK_GOLDEN = "check-golden"
    """Run the golden inputs in a child process. [PASSED, FAIL]"""
    PREPARE = "prepare"
    """Load the new version beside the old one. [PREPARED, FAIL]"""


@dataclass(frozen=True)
class Offered:
    """The device's desired document names this version."""

    offer: Offer


@dataclass(frozen=True)
class Withdrawn:
    """The device's desired document no longer names this model."""


@dataclass(frozen=True)
class Restarted:
    """The daemon has just started; nothing is loaded and nothing runs."""


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True)
class Serving:
    """This artifact answers requests now; empty when none does any more."""

    artifact: str


@dataclass(frozen=True)
class Struck:
    """The version that shall serve failed to load (`fatal`) or failed an inference."""

    artifact: str
    reason: str
    fatal: bool = False


@dataclass(frozen=True)
class Evicted:
    """These artifacts are given up to make room for another model, see `room`; they are deleted afterwards."""

    artifacts: frozenset[str]


@dataclass(frozen=True)
class Outcome:
    """How an action of an attempt ended. `code` and `reason` for REFUSE and FAIL, `counter` and `floor` for ACCEPT."""

    attempt: int
    event: Event
    code: str = ""
    reason: str = ""
    counter: int = 0
    floor: int = 0


Given = Offered | Withdrawn | Restarted | Tick | Serving | Struck | Evicted | Outcome
"""Everything that can be given to `install.step`."""


@dataclass(frozen=True)
class Rules:
    """Figures of one model's configuration."""

    probation_seconds: float = 0.0


@dataclass(frozen=True)
class Needs:
    """Artifacts whose bytes an installation still needs."""

    versions: frozenset[str]
    parts: frozenset[str]
