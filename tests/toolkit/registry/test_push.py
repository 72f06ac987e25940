from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import onnx
import pytest

from tests.toolkit.registry.making import Site, make_model
from toolkit.errors import IntegrityError, RegistryError, RemoteUnavailableError
from toolkit.registry.catalogue import open_model
from toolkit.registry.push import PushRequest, push
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.wire.manifest import Lineage, Range, Requires


def _content(site: Site, version: str) -> dict[str, bytes]:
    """Put the files of a version together from what the registry holds."""
    artifact = open_model(site.store, "digits", version, site.keyring)
    index = site.store.get_index(artifact.manifest.index)
    return {
        entry.path.decode(): b"".join(site.store.read_chunk(ref.digest) for ref in entry.refs())
        for entry in index.entries
    }


def test_what_was_pushed_can_be_put_together_again(site: Site) -> None:
    result = site.push(
        version="1.0", min_accuracy=0.5, lineage=Lineage(parent="none", metrics={"accuracy": 0.9})
    )
    model, golden = make_model(site.folder / "again")
    assert _content(site, "1.0") == {"model.onnx": model.read_bytes(), "golden.npz": golden.read_bytes()}
    manifest = open_model(site.store, "digits", "1.0", site.keyring).manifest
    assert manifest.requires.onnx_ir == 10
    assert manifest.requires.opset == 20
    assert manifest.golden.min_accuracy == 0.5
    assert manifest.total_bytes == result.total_bytes == model.stat().st_size + golden.stat().st_size
    assert (result.counter, result.previous, result.delta_share, result.repeated) == (1, "", 1.0, False)


def test_what_a_device_must_have_stands_in_the_manifest_beside_what_the_model_tells(site: Site) -> None:
    requires = Requires(l4t=Range(at_least="36.4"), compute_capabilities=("8.7",), memory_bytes=1 << 30)
    site.push(version="1", requires=requires)
    manifest = open_model(site.store, "digits", "1", site.keyring).manifest
    assert manifest.requires == msgspec.structs.replace(
        requires, onnx_ir=10, opset=20, disk_bytes=manifest.total_bytes
    )
    assert manifest.format == 2
    with pytest.raises(RegistryError, match="requirements"):
        site.push(version="1")


def test_the_next_version_stores_only_what_is_new(site: Site) -> None:
    first = site.push(version="1", head=1)
    second = site.push(version="2", head=2)
    assert (second.counter, second.previous) == (2, "1")
    assert 0 < second.delta_share < 0.35
    assert 0 < second.new_stored_bytes < 0.35 * first.new_stored_bytes
    assert second.delta_chunks == second.new_chunks < second.chunks / 2


def test_a_repeated_push_changes_nothing(site: Site) -> None:
    first = site.push(version="1")
    site.push(version="2", head=2)
    before = {
        file: file.stat().st_mtime_ns for file in (site.folder / "registry").rglob("*") if file.is_file()
    }
    again = site.push(version="1", lineage=Lineage(made_by="somebody else"))
    assert again == replace(first, repeated=True, new_chunks=0, new_stored_bytes=0)
    assert before == {file: file.stat().st_mtime_ns for file in before}


def test_a_version_never_changes(site: Site) -> None:
    first = site.push(version="1", head=1)
    for change in ({"head": 2}, {"head": 1, "min_accuracy": 0.9}):
        with pytest.raises(RegistryError, match="in the registry already") as caught:
            site.push(version="1", **change)
        assert "--version" in caught.value.hint
    assert open_model(site.store, "digits", "1", site.keyring).id == first.artifact


def test_a_push_that_was_interrupted_before_the_ref_is_finished_by_repeating_it(site: Site) -> None:
    class Broken(DirectoryRemote):
        def write_new(self, key: str, data: bytes) -> bool:
            if key.startswith("refs/"):
                raise RemoteUnavailableError("the disk went away")
            return super().write_new(key, data)

    model, golden = make_model(site.folder / "m")
    request = PushRequest(model, golden, "digits", "1")
    broken = PackStore(Broken(str(site.folder / "registry")))
    with pytest.raises(RemoteUnavailableError):
        push(broken, request, site.key)
    with pytest.raises(RegistryError, match="no model digits"):
        open_model(site.store, "digits", "1", site.keyring)
    result = push(site.store, request, site.key)
    assert (result.new_chunks, result.repeated) == (0, False)
    assert set(_content(site, "1")) == {"model.onnx", "golden.npz"}


def test_pushing_again_heals_a_lost_pack(site: Site) -> None:
    first = site.push(version="1")
    for pack in (site.folder / "registry" / "packs").iterdir():
        pack.unlink()
    again = site.push(version="1")
    assert again.new_chunks == first.chunks
    assert set(_content(site, "1")) == {"model.onnx", "golden.npz"}


@pytest.mark.parametrize("newer", [{"ir": 11}, {"opset": 21}])
def test_a_model_newer_than_the_devices_is_refused_unless_allowed(site: Site, newer: dict[str, int]) -> None:
    with pytest.raises(RegistryError, match="JetPack 6") as caught:
        site.push(version="1", **newer)
    assert "--allow-newer-onnx" in caught.value.hint
    assert site.store.list_refs() == ()
    assert site.push(version="1", allow_newer_onnx=True, **newer).counter == 1


@pytest.mark.parametrize(
    ("name", "version"), [("Digits", "1"), ("../x", "1"), ("digits", "../1"), ("digits", "")]
)
def test_names_that_cannot_be_are_refused(site: Site, name: str, version: str) -> None:
    model, golden = make_model(site.folder / "m")
    with pytest.raises(RegistryError, match="is no"):
        push(site.store, PushRequest(model, golden, name, version), site.key)


def test_a_file_that_is_no_model_leaves_nothing_behind(site: Site, tmp_path: Path) -> None:
    _, golden = make_model(site.folder / "m")
    wrong = tmp_path / "wrong.onnx"
    wrong.write_text("no model")
    with pytest.raises(IntegrityError, match=r"wrong\.onnx is not an ONNX model"):
        push(site.store, PushRequest(wrong, golden, "digits", "1"), site.key)
    assert list(site.store.digests()) == []


def test_a_model_with_weights_in_another_file_is_refused(site: Site, tmp_path: Path) -> None:
    model, golden = make_model(site.folder / "m")
    onnx.save(onnx.load(model), tmp_path / "split.onnx", save_as_external_data=True, location="weights.bin")
    with pytest.raises(RegistryError, match=r"weights in other files \(body"):
        push(site.store, PushRequest(tmp_path / "split.onnx", golden, "digits", "1"), site.key)
    assert list(site.store.digests()) == []
