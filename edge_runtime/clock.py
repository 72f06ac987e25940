"""What time it is, and whether this machine knows: devices start at 1970, or a year ahead, until something sets them.

`permit` asks before it judges an install window; nothing else here goes by the time of day (waits and time-outs use the
monotonic clock, and going back to old versions is stopped by counters). A clock is trusted when the time is not before
this software existed, and the kernel says that something keeps it in step, or systemd-timesyncd that it has set it
since the machine started.
"""

from __future__ import annotations

import ctypes
import platform
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from toolkit.errors import UsageError

WRITTEN: Final = datetime(2026, 11, 22, tzinfo=timezone.utc).timestamp()
"""When this file was written; an earlier time cannot be true."""
SYNCHRONIZED: Final = Path("run/systemd/timesync/synchronized")
"""systemd-timesyncd touches it when it has set the clock since this start (systemd-timesyncd.service(8))."""
_ADJTIMEX: Final = {"x86_64": 159, "aarch64": 171}
"""Number of the system call. glibc's own function asks by another one, which containers may not use."""
_TIMEX_BYTES: Final = 512
_STATUS_AT: Final = {8: 40, 4: 20}
"""Where `status` stands in struct timex, by the size of a long (adjtimex(2))."""
_UNSYNCHRONIZED: Final = 0x40
"""STA_UNSYNC."""
_ERROR: Final = 5
"""TIME_ERROR: the system clock is not synchronized."""
_CURE: Final = (
    "run systemd-timesyncd, or chrony with rtcsync, on the machine; "
    "or set trust_clock if something else sets its clock"
)
_ROOT: Final = Path("/")


@dataclass(frozen=True)
class Reading:
    """A look at the clock."""

    seconds: float
    """Since 1970 UTC, as the clock has it."""
    doubt: str = ""
    """Why it cannot be trusted, and the cure, in one line; empty when it can."""


@dataclass(frozen=True)
class Clock:
    """The machine's clock. Tests and drills give other functions."""

    now: Callable[[], float] = time.time
    """Seconds since 1970 UTC."""
    is_kept: Callable[[], bool] | None = None
    """Whether something keeps it in step; None asks this machine."""
    trust: bool = False
    """Take it as it is, for machines whose clock is set by something that the kernel is not told of."""

    def read(self) -> Reading:
        """Look at it."""
        now = self.now()
        if now < WRITTEN:
            shown = _day(now)
            return Reading(now, f"the clock says {shown}, which is before this software was made; {_CURE}")
        if self.trust or (self.is_kept or is_kept)():
            return Reading(now)
        return Reading(now, f"the clock says {_day(now)}, and nothing has set it since the start; {_CURE}")


def drilled(shown: str) -> Clock:
    """Give a clock that shows a time now and goes on from there, and that nothing keeps; for drills.

    Args:
        shown: date and time in UTC, such as 1970-01-01T00:00.

    Raises:
        UsageError: it is no such time.
    """
    try:
        start = datetime.fromisoformat(shown).replace(tzinfo=timezone.utc).timestamp()
    except ValueError as error:
        raise UsageError(f"--clock {shown!r} is no time", hint="such as --clock 1970-01-01T00:00") from error
    begun = time.monotonic()
    return Clock(now=lambda: start + time.monotonic() - begun, is_kept=lambda: False)


def is_kept(root: Path = _ROOT, status: Callable[[], tuple[int, int] | None] | None = None) -> bool:
    """Tell whether something keeps this machine's clock in step.

    Args:
        root: where its /run lies.
        status: gives the kernel's state and status bits; None asks the kernel.
    """
    if (root / SYNCHRONIZED).exists():
        return True
    found = (status or kernel_status)()
    return found is not None and found[0] != _ERROR and not found[1] & _UNSYNCHRONIZED


def kernel_status() -> tuple[int, int] | None:
    """Give what adjtimex(2) answers and its status bits; None where it may not be asked. It changes nothing."""
    number = _ADJTIMEX.get(platform.machine())
    libc = ctypes.CDLL(None, use_errno=True)
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes is 0: only read
    state = libc.syscall(number, timex) if number is not None else libc.adjtimex(timex)
    if state < 0:
        return None
    (bits,) = struct.unpack_from("i", timex, _STATUS_AT[ctypes.sizeof(ctypes.c_long)])
    return int(state), int(bits)


def _day(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d")
    except (OverflowError, OSError, ValueError):
        return f"{seconds:.0f} seconds since 1970"
