"""The keyring of a running daemon is replaced: the new key counts, the retired one does not, and serving goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_runtime.trust import Trust
from tests.edge_runtime.conftest import MODEL, TOPICS, golden_file, linear_model
from toolkit.errors import IntegrityError, UsageError
from toolkit.sync.whole import write_whole
from toolkit.wire.desired import DesiredModel
from toolkit.wire.document import encode_json
from toolkit.wire.keyring import Keyring, TrustedKey


def keyring_of(*keys: tuple[Ed25519PrivateKey, str]) -> bytes:
    trusted = (
        TrustedKey(public=key.public_key().public_bytes_raw(), roles=(role,), name=role)  # type: ignore[arg-type]
        for key, role in keys
    )
    return encode_json(Keyring(keys=tuple(trusted)))


def test_another_keyring_is_taken_and_a_damaged_one_is_not(tmp_path: Path) -> None:
    file, key = tmp_path / "keyring.json", Ed25519PrivateKey.generate()
    with pytest.raises(UsageError, match="cannot be read"):
        Trust(file, "enroll")
    file.write_bytes(b"{}")
    with pytest.raises(IntegrityError):
        Trust(file, "enroll")
    write_whole(file, keyring_of((key, "registry")))
    trust = Trust(file, "enroll")
    first = trust.keyring
    assert trust.changes == 0
    for damaged in (b"half", b"x" * 100_000):
        write_whole(file, damaged)
        assert trust.keyring == first
    file.unlink()
    assert trust.keyring == first
    write_whole(file, keyring_of((key, "operator")))
    assert trust.keyring != first
    assert trust.changes == 1


@pytest.mark.broker
def test_a_daemon_follows_its_keyring(keys, depot, device, wait_until) -> None:
    file = device.folder / "keyring.json"
    new_registry, new_operator = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    device.start()
    depot.offer(keys.model("v1"))
    depot.wait_for_state("ACTIVE", "v1")

    # Sealed by keys that are not trusted yet: refused, and heard again when they are.
    v2 = keys.make("v2", files_of("v2"), key=new_registry)
    depot.made[v2.artifact] = v2
    depot.publish(topic_of(v2), v2.sealed)
    depot.desire((desired_of(v2, "r2"),), key=new_operator)
    wait_until(lambda: "not obeyed" in device.log(), "the new operator is refused")
    write_whole(
        file,
        keyring_of(
            (keys.registry, "registry"), (keys.operator, "operator"),
            (new_registry, "registry"), (new_operator, "operator"),
        ),
    )  # fmt: skip
    depot.wait_for_state("ACTIVE", "v2")

    # The old ones are retired: what they seal is refused, what is installed serves on, also after a restart.
    write_whole(file, keyring_of((new_registry, "registry"), (new_operator, "operator")))
    v3 = keys.model("v3")
    depot.made[v3.artifact] = v3
    depot.publish(topic_of(v3), v3.sealed)
    depot.desire((desired_of(v3, "r3"),), key=new_operator)
    refused = depot.wait_for(lambda model: model.version == "v3" and model.state.value == "REJECTED")
    assert refused.code == "bad-seal"
    said = device.log().count("not obeyed")
    depot.desire((desired_of(v3, "r4"),), key=keys.operator)
    wait_until(lambda: device.log().count("not obeyed") > said, "the retired operator is refused")
    assert device.infer([1, 0, 0, 0])[0] == "v2"
    device.stop()
    device.start()
    wait_until(lambda: serves(device), "it serves after a restart")
    assert device.infer([1, 0, 0, 0])[0] == "v2"


def files_of(version: str) -> dict[str, bytes]:
    weight = float(version[1:])
    return {"model.onnx": linear_model(weight), "golden.npz": golden_file(weight)}


def topic_of(made) -> str:
    return TOPICS.manifest(made.artifact)


def desired_of(made, rollout: str):
    return DesiredModel(model=MODEL, version=made.manifest.version, artifact=made.artifact, rollout=rollout)


def serves(device) -> bool:
    try:
        return device.get("/v2/models/linear/ready")[0] == 200
    except OSError:
        return False
