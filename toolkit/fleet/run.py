"""Run a depot, and the driver of rollouts beside it where a site is small: `tiers depot --steer`.

The depot runs in the thread of the caller, the driver in one of its own with a link of its own, so a depot that waits
for a rate never holds up a rollout. When one of them fails, both end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from toolkit.fleet.depot import Depot
from toolkit.fleet.steer import Steering


def run_site(
    depot: Depot,
    steering: Steering | None,
    stop: threading.Event,
    *,
    ready: Callable[[], None] | None = None,
    beat: Callable[[], None] | None = None,
) -> None:
    """Serve, and steer if there is a driver, until `stop` is set.

    Args:
        depot: not running yet.
        steering: not running yet; None only serves.
        stop: set by whoever wants it to end; set at the end in any case.
        ready: called once the depot is connected.
        beat: called again and again while the depot works; see `heartbeat`.

    Raises:
        UnreachableError: the broker cannot be reached at the start.
        Exception: what ended the driver.
    """
    failures: list[Exception] = []

    def steer() -> None:
        try:
            if steering is not None:
                steering.run(stop)
        except Exception as error:  # noqa: BLE001  # handed to the caller's thread, whatever it is
            failures.append(error)
            stop.set()

    driver = threading.Thread(target=steer, name="steer", daemon=True)

    def connected() -> None:
        driver.start()
        if ready is not None:
            ready()

    try:
        depot.run(stop, ready=connected, beat=beat)
    finally:
        stop.set()
        if driver.ident is not None:
            driver.join()
    if failures:
        raise failures[0]
