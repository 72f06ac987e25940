"""`tiers doctor --broker`, in this process, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from toolkit.cli import main
from toolkit.errors import UnreachableError

SITE = """
version: 1
name: ward
registry: file:///srv/registry
broker: {{url: "mqtt://127.0.0.1:{port}", preset: {preset}}}
clusters: {{main: {{context: ward, tiers: [edge]}}}}
images: {{edge: registry.example/tiers-edge:1.0, jobs: registry.example/tiers-jobs:1.0}}
tiers: {{edge: {{}}}}
"""


def site(folder: Path, port: int, preset: str = "mosquitto") -> str:
    file = folder / f"{preset}.yaml"
    file.write_text(SITE.format(port=port, preset=preset))
    return str(file)


@pytest.mark.broker
def test_a_sound_broker_and_one_that_is_not(
    mosquitto, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = site(tmp_path, mosquitto.port)
    assert main(["doctor", "--broker", "-f", file, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["problems"], shown["facts"]["mqtt5"]) == ([], True)
    mosquitto.stop()
    mosquitto.settings = (*mosquitto.settings, "max_packet_size 100000")
    mosquitto.start()
    assert main(["doctor", "--broker", "-f", file]) == 1
    seen = capsys.readouterr()
    assert "error D908 it takes 100000 bytes, the preset 'default' sends 262144" in seen.out
    assert "help: raise max_packet_size" in seen.out
    assert "1 findings" in seen.err
    mosquitto.stop()
    assert main(["doctor", "--broker", "-f", file]) == UnreachableError.exit_code
    assert "error D901" in capsys.readouterr().out
