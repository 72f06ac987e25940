"""Settings that change under a running daemon: taken up, left for a restart, or damaged and left alone."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import pytest

from edge_runtime.config import read_config
from edge_runtime.live import LOOK_SECONDS, Live
from toolkit.wire.device_config import BrokerConfig, DeviceConfig
from toolkit.wire.device_settings import LIVE
from toolkit.wire.document import encode_json

FIRST = DeviceConfig(
    site="north", device="us-001", state="state", keyring_file="k", broker=BrokerConfig(host="127.0.0.1")
)


class Watched:
    """A configuration in a file, and what was taken up of it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "config.json"
        self.write()
        self.taken: list[DeviceConfig] = []
        self.now = 100.0
        self._live = Live(self._read(), self._read, self.taken.append)

    def _read(self) -> DeviceConfig:
        return read_config(self.file, "")[1]

    def write(self, **changes: object) -> None:
        self.file.write_bytes(encode_json(msgspec.structs.replace(FIRST, format=0, **changes)))

    def look(self) -> None:
        self.now += LOOK_SECONDS
        self._live.look(self.now)


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_what_changed_is_taken_up_once(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    watched.look()
    assert not watched.taken
    watched.write(hold=True, report_seconds=5.0)
    watched.look()
    watched.look()
    assert [(each.hold, each.report_seconds) for each in watched.taken] == [(True, 5.0)]
    assert "settings taken up: report_seconds, hold" in caplog.text
    assert "restart" not in caplog.text


def test_it_does_not_look_all_the_time(watched: Watched) -> None:
    watched.look()
    watched.write(hold=True)
    watched.now -= LOOK_SECONDS / 2
    watched.look()
    assert not watched.taken
    watched.look()
    assert watched.taken


def test_what_needs_a_restart_is_said_and_not_taken(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.write(broker=BrokerConfig(host="127.0.0.2"))
    watched.look()
    assert not watched.taken
    assert "need a restart of the daemon: broker" in caplog.text


def test_a_damaged_file_changes_nothing_and_is_told_once(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    watched.file.write_bytes(b"{")
    watched.look()
    watched.look()
    assert not watched.taken
    assert caplog.text.count("the settings stay as they are") == 1
    watched.file.unlink()
    watched.look()
    watched.write(hold=True)
    watched.look()
    assert [each.hold for each in watched.taken] == [True]


def test_all_keys_that_are_taken_up_are_keys_of_a_configuration() -> None:
    assert set(LIVE) < set(DeviceConfig.__struct_fields__)
