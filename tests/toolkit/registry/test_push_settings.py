"""Settings of devices in a registry: checked before they are signed, counted up, and never changed under a version."""

from __future__ import annotations

import pytest

from tests.toolkit.registry.making import make_site
from toolkit.errors import IntegrityError, RegistryError
from toolkit.protocol.installation import Offer
from toolkit.protocol.offer import Ability, judge, read_index, read_manifest
from toolkit.registry.catalogue import open_model
from toolkit.registry.push_settings import push_settings, read_settings
from toolkit.wire.device_settings import SETTINGS_FILE, SETTINGS_NAME, DeviceSettings, decode_settings
from toolkit.wire.index import encode_index

SLOW = DeviceSettings(report_seconds=60.0, hold=True)


def test_what_is_pushed_is_what_a_device_takes(tmp_path) -> None:
    site = make_site(tmp_path)
    pushed = push_settings(site.store, SLOW, "1", site.key)
    artifact = open_model(site.store, SETTINGS_NAME, "1", site.keyring)
    assert (artifact.id, artifact.manifest.kind, pushed.counter) == (pushed.artifact, "config", 1)
    offer = Offer(version="1", artifact=pushed.artifact, rollout="r")
    manifest = read_manifest(artifact.sealed, site.keyring, SETTINGS_NAME, offer)
    able = Ability("x86_64", onnx_ir=0, free_memory_bytes=0, free_disk_bytes=1 << 30)
    assert judge(manifest, able, floor=0, held_bytes=0) is None
    index = read_index(encode_index(site.store.get_index(artifact.manifest.index))[1], manifest)
    (entry,) = index.entries
    assert entry.path == SETTINGS_FILE.encode()
    data = b"".join(site.store.read_chunk(ref.digest) for ref in entry.refs())
    assert decode_settings(data, what="settings") == SLOW


def test_a_version_never_changes_and_the_next_one_counts_up(tmp_path) -> None:
    site = make_site(tmp_path)
    first = push_settings(site.store, SLOW, "1", site.key)
    again = push_settings(site.store, SLOW, "1", site.key)
    assert (again.artifact, again.repeated) == (first.artifact, True)
    with pytest.raises(RegistryError, match="other settings"):
        push_settings(site.store, DeviceSettings(hold=False), "1", site.key)
    assert push_settings(site.store, DeviceSettings(hold=False), "2", site.key).counter == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b'{"format": 1, "broker": {"host": "elsewhere"}}', "broker"),
        (b'{"format": 1, "report_seconds": 0.1}', "report_seconds"),
        (b'{"format": 1, "install_window": {"opens": "25:00", "closes": "03:00"}}', "opens"),
        (b'{"format": 1, "disk_budget_bytes": -1}', "disk_budget_bytes"),
        (b'{"format": 2}', "format 2"),
    ],
)
def test_what_no_device_could_use_is_not_signed(tmp_path, text: bytes, says: str) -> None:
    file = tmp_path / "settings.json"
    file.write_bytes(text)
    with pytest.raises(IntegrityError, match=says):
        read_settings(file)


def test_a_file_that_is_not_there_is_told(tmp_path) -> None:
    with pytest.raises(RegistryError, match="cannot be read"):
        read_settings(tmp_path / "absent.json")
