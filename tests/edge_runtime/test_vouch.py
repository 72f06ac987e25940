"""What a builder vouches for is what the registry countersigns; what did not pass is not vouched for."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from edge_runtime.__main__ import main
from edge_runtime.engine.plan import PlanKey
from edge_runtime.golden import Finding
from edge_runtime.vouch import STATEMENT_FILE, Subject, read_builder_key, vouch, vouch_for
from tests.toolkit.registry.making import Site, make_model, make_site
from toolkit.errors import GateRefusedError, SignatureError
from toolkit.registry import countersign as registry_side
from toolkit.registry.catalogue import open_artifact, open_model
from toolkit.registry.keys import make_key, make_keyring, write_keyring
from toolkit.registry.push import PushRequest, push
from toolkit.wire.device_config import BrokerConfig, DeviceConfig, ModelConfig
from toolkit.wire.document import encode_json
from toolkit.wire.keyring import Keyring
from toolkit.wire.plan import PLAN_FILE

KEY = PlanKey(
    model="ab" * 32, settings="00", tensorrt="10.3.0", capability="8.7", gpu="Orin", device_model="Jetson Orin NX",
    l4t="36.4.3", driver=12060, architecture="aarch64",
)  # fmt: skip
PASSED = Finding(examples=8, worst_difference=1e-4, accuracy=1.0, p95_seconds=0.004)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path / "site")


@pytest.fixture
def subject(site: Site, tmp_path: Path) -> Subject:
    model, golden = make_model(tmp_path / "model", width=200)
    push(site.store, PushRequest(model, golden, "small", "1", min_accuracy=0.9), site.key)
    pushed = open_model(site.store, "small", "1", site.keyring)
    plan = tmp_path / "plans" / "it.plan"
    plan.parent.mkdir()
    plan.write_bytes(b"TIERS-PLAN" + bytes(100_000))
    return Subject(pushed.id, pushed.manifest, plan, KEY)


def test_the_registry_takes_what_a_builder_vouches_for(site: Site, subject: Subject, tmp_path: Path) -> None:
    pair = make_key(tmp_path / "builder.pem")
    ring = Keyring(keys=(*make_keyring({"builder": [pair]}).keys, *site.keyring.keys))
    folder, key = tmp_path / "out", read_builder_key(pair.file)
    built = vouch(subject, PASSED, builder="us-001", key=key, folder=folder)
    assert registry_side.STATEMENT_FILE == STATEMENT_FILE
    assert sorted(path.name for path in folder.iterdir()) == [STATEMENT_FILE, PLAN_FILE]
    done = registry_side.countersign(site.store, folder, ring, site.key)
    manifest = open_artifact(site.store, done.artifact, site.keyring).manifest
    assert manifest.plan == built.made_for
    said = {"model": manifest.plan.model, **msgspec.to_builtins(manifest.plan.machine)}
    assert PlanKey(**said) == KEY, "a device finds its own key in it"
    vouch(subject, PASSED, builder="us-001", key=key, folder=folder)
    assert registry_side.countersign(site.store, folder, ring, site.key).repeated


@pytest.mark.parametrize(
    ("finding", "says"),
    [
        (Finding(code="golden-mismatch", reason="3 values differ"), "golden-mismatch: 3 values differ"),
        (Finding(), "no golden examples"),
    ],
)
def test_what_did_not_pass_is_not_vouched_for(
    site: Site, subject: Subject, tmp_path: Path, finding, says
) -> None:
    with pytest.raises(GateRefusedError, match=says):
        vouch(subject, finding, builder="us-001", key=site.key, folder=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_check_that_cannot_run_is_no_pass(site: Site, subject: Subject, tmp_path: Path) -> None:
    config = DeviceConfig(
        site="north", device="us-001", state=str(tmp_path / "state"), keyring_file="k", broker=BrokerConfig(host="b"),
        models=(ModelConfig(name="small"),),
    )  # fmt: skip
    key = site.folder / "keys" / "site.pem"
    with pytest.raises(GateRefusedError, match="load-failed"):
        vouch_for(config, subject, key, tmp_path / "out")


def test_the_command_says_what_it_lacks(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, ring = tmp_path / "state", site.folder / "ring.json"
    write_keyring(ring, site.keyring)
    config = tmp_path / "device.json"
    broker = BrokerConfig(host="b")
    config.write_bytes(
        encode_json(
            DeviceConfig(site="north", device="d", state=str(state), keyring_file=str(ring), broker=broker)
        )
    )
    key = str(site.folder / "keys" / "site.pem")
    assert main(["vouch", "small", str(tmp_path / "out"), "--config", str(config), "--key", key]) != 0
    assert "tiers-edge: " in capsys.readouterr().err  # no GPU, or nothing is installed
    assert not (tmp_path / "out").exists()


def test_a_key_is_ed25519_and_nobody_elses(tmp_path: Path) -> None:
    file = make_key(tmp_path / "b.pem").file
    file.chmod(0o640)
    with pytest.raises(SignatureError, match="can be read by others"):
        read_builder_key(file)
    file.chmod(0o600)
    other = generate_private_key(SECP256R1())
    file.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(SignatureError, match="no Ed25519 key"):
        read_builder_key(file)
    file.write_bytes(b"nothing")
    with pytest.raises(SignatureError, match="not a private key"):
        read_builder_key(file)
    with pytest.raises(SignatureError, match="No such file"):
        read_builder_key(tmp_path / "none.pem")
