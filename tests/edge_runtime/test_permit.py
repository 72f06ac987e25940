"""What a device's settings allow: held, outside its window, with a clock in doubt, in a zone that nobody knows."""

from __future__ import annotations

import time
from datetime import datetime
from zoneinfo import ZoneInfo

from edge_runtime.clock import Clock
from edge_runtime.permit import HELD, Permit
from toolkit.wire.device_config import BrokerConfig, DeviceConfig, InstallWindow

NIGHTS = InstallWindow(opens="22:00", closes="04:00", days=("fri",), timezone="Europe/Berlin")


def at(text: str, *, kept: bool = True) -> Clock:
    seconds = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin")).timestamp()
    return Clock(now=lambda: seconds, is_kept=lambda: kept)


def permit(clock: Clock, *, hold: bool = False, window: InstallWindow | None = NIGHTS) -> Permit:
    return Permit(settings(hold=hold, install_window=window), clock)


def settings(**changes: object) -> DeviceConfig:
    broker = BrokerConfig(host="127.0.0.1")
    return DeviceConfig(site="north", state="s", keyring_file="k", broker=broker, **changes)


def test_without_a_window_and_not_held_everything_may_go_on_whatever_the_clock_says() -> None:
    free = permit(Clock(now=lambda: 0.0, is_kept=lambda: False), window=None)
    assert free.wait(urgent=False) is None
    assert not free.doubts_clock


def test_inside_its_window_it_installs_and_outside_it_says_when() -> None:
    assert permit(at("2026-11-27T22:00")).wait(urgent=False) is None
    assert permit(at("2026-11-28T03:59")).wait(urgent=False) is None
    outside = permit(at("2026-11-28T04:00")).wait(urgent=False)
    assert outside is not None
    assert outside.code == "outside-window"
    assert "Fri 2026-12-04 at 22:00 (CET)" in outside.reason


def test_while_the_clock_is_in_doubt_the_window_waits_even_if_it_seems_open() -> None:
    doubtful = permit(at("2027-11-26T23:00", kept=False))
    wait = doubtful.wait(urgent=False)
    assert wait is not None
    assert wait.code == "untrusted-clock"
    assert "timesyncd" in wait.reason
    assert doubtful.doubts_clock
    first = permit(Clock(now=lambda: 60.0, is_kept=lambda: True)).wait(urgent=False)
    assert first is not None
    assert first.code == "untrusted-clock"


def test_what_is_urgent_passes_the_window_and_the_clock_but_not_a_hold() -> None:
    assert permit(at("2026-11-28T12:00", kept=False)).wait(urgent=True) is None
    assert permit(at("2026-11-28T12:00"), hold=True).wait(urgent=True) is HELD
    assert permit(at("2026-11-28T12:00"), hold=True, window=None).wait(urgent=False) is HELD


def test_a_zone_that_this_machine_does_not_know_makes_it_wait_and_says_what_to_install() -> None:
    for name in ("Europe/Berln", "No/../zone", "UTC+99"):
        lost = InstallWindow(opens="00:00", closes="24:00", timezone=name)
        wait = permit(at("2026-11-28T12:00"), window=lost).wait(urgent=False)
        assert wait is not None
        assert wait.code == "unknown-zone"
        assert "tzdata" in wait.reason
        assert permit(at("2026-11-28T12:00"), window=lost).wait(urgent=True) is None


def test_without_a_zone_the_machine_s_own_counts() -> None:
    own = InstallWindow(opens="00:00", closes="24:00")
    assert permit(at("2026-11-28T12:00"), window=own).wait(urgent=False) is None
    hour = time.localtime(at("2026-11-28T12:00").now()).tm_hour
    later = InstallWindow(opens=f"{(hour + 1) % 24:02}:00", closes=f"{(hour + 2) % 24:02}:00")
    wait = permit(at("2026-11-28T12:00"), window=later).wait(urgent=False)
    assert wait is not None
    assert f"at {(hour + 1) % 24:02}:00" in wait.reason


def test_it_follows_settings_that_change() -> None:
    held = permit(at("2026-11-28T12:00", kept=False), hold=True)
    held.follow(settings(install_window=NIGHTS))
    assert held.wait(urgent=False).code == "untrusted-clock"
    held.follow(settings(install_window=NIGHTS, trust_clock=True))
    assert held.wait(urgent=False).code == "outside-window"
    held.follow(settings())
    assert held.wait(urgent=False) is None
