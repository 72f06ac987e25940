"""`tiers model keygen`, `push` and `list`, in this process, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from tests.edge_runtime.pictures import STAGES, golden_pictures, picture_model
from tests.toolkit.registry.making import drifting, make_model
from toolkit.cli import main
from toolkit.registry.catalogue import open_model
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.choose import open_remote
from toolkit.wire.keyring import decode_keyring
from toolkit.wire.manifest import Range


@pytest.fixture
def keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["model", "keygen", str(tmp_path / "keys"), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert [Path(each["file"]).name for each in made] == ["registry.pem", "operator.pem", "keyring.json"]
    return tmp_path / "keys"


def _push(keys: Path, folder: Path, *more: str, head: int = 1, version: str = "1", **shape: int) -> int:
    model, golden = make_model(folder / f"m{head}", head=head, **shape)
    named = ["--golden", str(golden), "--name", "digits", "--version", version]
    stored = ["--key", str(keys / "registry.pem"), "--registry", (folder / "registry").as_uri()]
    return main(["model", "push", str(model), *named, *stored, *more])


def test_pushes_and_lists(keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _push(keys, tmp_path, "--json", "--metric", "accuracy=0.98") == 0
    first = json.loads(capsys.readouterr().out)
    assert _push(keys, tmp_path, "--json", head=2, version="2") == 0
    second = json.loads(capsys.readouterr().out)
    assert (first["delta_share"], first["repeated"], second["previous"]) == (1.0, False, "1")
    assert second["delta_share"] < 0.35
    registry, keyring = (tmp_path / "registry").as_uri(), str(keys / "keyring.json")
    assert main(["model", "list", "--registry", registry, "--keyring", keyring, "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)
    assert [(line["version"], line["artifact"], line["problem"]) for line in lines] == [
        ("1", first["artifact"], ""),
        ("2", second["artifact"], ""),
    ]
    assert main(["model", "list", "--registry", registry]) == 0
    assert first["artifact"][:12] in capsys.readouterr().out


def test_a_push_says_how_devices_with_earlier_versions_get_it(
    keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def step(number: int, *more: str) -> str:
        model, golden = drifting(tmp_path / str(number), number)
        named = ["--golden", str(golden), "--name", "digits", "--version", str(number)]
        stored = ["--key", str(keys / "registry.pem"), "--registry", (tmp_path / "registry").as_uri()]
        assert main(["model", "push", str(model), *named, *stored, *more]) == 0
        return capsys.readouterr().out

    step(0)
    (shipment,) = json.loads(step(1, "--json"))["shipments"]
    assert (shipment["from_version"], shipment["way"]) == ("0", "planes")
    assert shipment["share"] < 0.45
    assert "from 1" in step(2)
    assert "from 2" not in step(3, "--no-patches")
    registry = (tmp_path / "registry").as_uri()
    ring = decode_keyring((keys / "keyring.json").read_bytes(), what="keyring")
    patches = [
        len(open_model(PackStore(open_remote(registry)), "digits", str(each), ring).manifest.patches)
        for each in range(4)
    ]
    assert patches == [0, 1, 2, 0]


def test_what_a_device_must_have_is_given_as_options(
    keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ["--l4t", ">=36.4, <37", "--tensorrt", ">=10.3", "--gpu", "8.7", "--memory", "2GiB"]
    assert _push(keys, tmp_path, *wanted, "--json") == 0
    artifact = json.loads(capsys.readouterr().out)["artifact"]
    ring = decode_keyring((keys / "keyring.json").read_bytes(), what="keyring")
    store = PackStore(open_remote((tmp_path / "registry").as_uri()))
    made = open_model(store, "digits", "1", ring)
    assert made.id == artifact
    requires = made.manifest.requires
    assert requires.l4t == Range(at_least="36.4", below="37")
    assert requires.tensorrt == Range(at_least="10.3")
    assert (requires.compute_capabilities, requires.memory_bytes) == (("8.7",), 2 << 30)


@pytest.mark.parametrize(
    "wrong",
    [
        ("--l4t", "36.4"),
        ("--l4t", ">=36.4,>=36.5"),
        ("--tensorrt", ">=ten"),
        ("--gpu", "orin"),
        ("--memory", "much"),
    ],
)
def test_an_option_that_is_no_such_thing_is_refused_with_the_cure(
    keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: tuple[str, str]
) -> None:
    assert _push(keys, tmp_path, *wrong) == 2
    error = capsys.readouterr().err
    assert wrong[0] in error
    assert "such as" in error


def test_the_keys_are_not_overwritten(keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (keys / "registry.pem").read_bytes()
    assert main(["model", "keygen", str(keys)]) == 1
    assert "never overwritten" in capsys.readouterr().err
    assert (keys / "registry.pem").read_bytes() == before


def test_other_content_under_the_same_version_is_refused(
    keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _push(keys, tmp_path) == 0
    assert _push(keys, tmp_path) == 0
    assert _push(keys, tmp_path, head=2) == 1
    assert "--version" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "code", "says"),
    [
        ("model", 6, "is not an ONNX model"),
        ("golden", 6, "not a .npz"),
        ("key", 6, "chmod 600"),
        ("gone", 1, "cannot be read"),
    ],
)
def test_bad_input_names_file_and_cure(
    keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: str, code: int, says: str
) -> None:
    model, golden = make_model(tmp_path / "m")
    if spoil == "model":
        model.write_text("no model")
    elif spoil == "golden":
        golden.write_text("no arrays")
    elif spoil == "key":
        (keys / "registry.pem").chmod(0o644)
    else:
        model.unlink()
    arguments = ["model", "push", str(model), "--golden", str(golden), "--name", "digits", "--version", "1"]
    arguments += ["--key", str(keys / "registry.pem"), "--registry", (tmp_path / "registry").as_uri()]
    assert main(arguments) == code
    assert says in capsys.readouterr().err
    assert not list((tmp_path / "registry").glob("refs/**/1"))


def test_a_metric_that_is_no_number_is_a_usage_error(
    keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _push(keys, tmp_path, "--metric", "accuracy=good") == 2
    assert "NAME=NUMBER" in capsys.readouterr().err


def test_a_registry_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "list", "--registry", (tmp_path / "none").as_uri()]) == 5
    assert "none" in capsys.readouterr().err


def test_the_registry_of_tiers_yaml_is_taken(
    keys: Path, tmp_path: Path, hospital_text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tiers.yaml"
    file.write_text(hospital_text.replace("file:///var/lib/tiers/registry", (tmp_path / "registry").as_uri()))
    assert _push(keys, tmp_path) == 0
    capsys.readouterr()
    assert main(["model", "list", "-f", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "digits"


def test_stages_are_pushed_from_a_file_and_shown(
    keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, golden, stages = (tmp_path / name for name in ("p.onnx", "p.npz", "stages.json"))
    model.write_bytes(picture_model())
    golden.write_bytes(golden_pictures())
    stages.write_bytes(msgspec.json.encode(STAGES))
    registry = ["--registry", (tmp_path / "registry").as_uri()]
    named = ["--golden", str(golden), "--name", "pictures", "--key", str(keys / "registry.pem"), *registry]
    push = ["model", "push", str(model), *named, "--stages", str(stages)]
    assert main([*push, "--version", "1", "--p95", "fast"]) == 2
    assert "--p95" in capsys.readouterr().err
    assert main([*push, "--version", "1", "--p95", "250ms"]) == 0
    capsys.readouterr()
    assert (
        main(["model", "show", "pictures@1", *registry, "--keyring", str(keys / "keyring.json"), "--json"])
        == 0
    )
    shown = json.loads(capsys.readouterr().out)
    assert shown["stages"]["post"] == [{"name": "argmax", "of": ["scores"], "into": ["label"], "keep": True}]
    assert (shown["problem"], shown["requires"]["p95_seconds"]) == ("", 0.25)
    assert main(["model", "show", "pictures@1", *registry]) == 0
    assert "decode-image@1: image; channels 1" in capsys.readouterr().out
    assert main(["model", "show", "pictures@2", *registry]) == 1
    assert "tiers model list pictures" in capsys.readouterr().err
    assert main(["model", "show", "pictures", *registry]) == 2
    stages.write_text('{"pre": [{"name": "decode-film", "of": ["x"]}]}')
    assert main([*push, "--version", "2"]) == 6
    assert "decode-film@1 is not known here" in capsys.readouterr().err
