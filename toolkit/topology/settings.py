"""What can be set for a tier, for a pool or for one device; the nearer place wins, key by key.

Stands under tier, pool and `devices`; Topology.settings_of() gives the result, which becomes a device's configuration.
"""

from typing import Annotated, Literal

from pydantic import Field

from toolkit.topology.clock import Days, TimeOfDay
from toolkit.topology.noun import Noun
from toolkit.topology.units import Bytes, Duration, Rate


class InstallWindow(Noun):
    """When a device may take and install a new model. A window may pass midnight; it belongs to the day it opens on."""

    days: Days = Days.parse("mon-sun")
    """Days on which the window opens."""
    opens: TimeOfDay
    """Start of the window."""
    closes: TimeOfDay
    """End of the window; not later than its start means the next day."""
    timezone: str = ""
    """Time zone of both, such as Europe/Berlin; not set means the device's own, which is UTC in most containers."""


class Doors(Noun):
    """Where programs beside a device ask its models, and how much one of them may ask."""

    unix_socket: bool = False
    """Serve on a Unix socket too, `serving.sock` in the device's state folder, for its user and group."""
    client_requests: Annotated[int, Field(ge=1)] | None = None
    """Most requests of one client that may run at once; not set means no limit."""
    client_rate: Annotated[float, Field(gt=0)] | None = None
    """Most requests of one client in a second; not set means no limit."""
    access_log: bool = False
    """Write a line of JSON for each answer, without pictures, names or addresses."""


class Settings(Noun):
    """Settings of devices. What a device sets beats its pool, which beats its tier, key by key."""

    download: Rate | None = None
    """Most that one device may download; not set means no limit."""
    upload: Rate | None = None
    """Most that one device may upload; not set means no limit."""
    disk: Bytes = Bytes.parse("8GiB")
    """Byte budget of the store of models."""
    memory: Bytes | None = None
    """Most memory that loaded models may take together before idle lazy ones leave it; not set: what there is."""
    outbox: Bytes = Bytes.parse("4GiB")
    """Byte budget for data that waits to be sent."""
    doors: Doors | None = None
    """How local programs reach the models; not set means HTTP on loopback without limits for one client."""
    report: Duration = Duration.parse("30s")
    """Time between two reports when nothing changes but how many requests were served; at least 1s."""
    install_window: InstallWindow | None = None
    """When a device may take and install a new model; not set means always. It waits while its clock is in doubt."""
    trust_clock: bool = False
    """Take the device's clock as it is, where something sets it that the kernel is not told of, such as GPS."""
    log: Literal["debug", "info", "warning", "error"] = "info"
    """What the daemon logs."""
    hold: bool = False
    """Keep the model that runs and take no new one."""
