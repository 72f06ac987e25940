"""A push makes the patches that pay, proves them, and the version's manifest names them."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from tests.toolkit.registry.making import Site, drifting, make_model
from toolkit.errors import RemoteUnavailableError
from toolkit.registry.catalogue import Artifact, open_artifact, open_model
from toolkit.registry.list import list_models
from toolkit.registry.patches import PatchRules
from toolkit.registry.push import PushRequest, PushResult, push
from toolkit.sync.delta.replay import PatchStream, replay
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.wire.index import encode_index


def push_step(site: Site, step: int, rules: PatchRules | None = None, **options: object) -> PushResult:
    model, golden = drifting(site.folder / f"step-{step}", step, **options)
    request = PushRequest(model, golden, "digits", str(step), patches=rules or PatchRules())
    return push(site.store, request, site.key)


def manifest_of(site: Site, version: str) -> Artifact:
    return open_model(site.store, "digits", version, site.keyring)


def files_of(site: Site, artifact: Artifact) -> dict[bytes, bytes]:
    index = site.store.get_index(artifact.manifest.index)
    return {
        entry.path: b"".join(site.store.read_chunk(ref.digest) for ref in entry.refs())
        for entry in index.entries
    }


def played(patch: bytes, before: dict[bytes, bytes]) -> dict[bytes, bytes]:
    stream = PatchStream([patch])
    return {
        file.path: b"".join(replay(file, stream, lambda path, at, length: before[path][at : at + length]))
        for file in stream.head(len(patch)).files
    }


def test_when_all_weights_drift_devices_with_the_last_two_versions_get_a_patch(site: Site) -> None:
    for step in (0, 1, 2):
        push_step(site, step)
    result = push_step(site, 3)
    assert [(each.from_version, each.way) for each in result.shipments] == [("2", "planes"), ("1", "planes")]
    target = manifest_of(site, "3")
    for patch, shipment in zip(target.manifest.patches, result.shipments, strict=True):
        base = manifest_of(site, shipment.from_version)
        assert patch.base == base.id
        assert patch.download_bytes == shipment.bytes == shipment.patch_bytes
        assert shipment.share < 0.45
        assert shipment.chunk_bytes > 2 * shipment.bytes
        made = open_artifact(site.store, patch.artifact, site.keyring)
        assert made.manifest.kind == "patch"
        assert made.manifest.makes.base == base.id
        assert made.manifest.makes.index == target.manifest.index
        (data,) = files_of(site, made).values()
        assert played(data, files_of(site, base)) == files_of(site, target)


def test_what_the_depot_sends_of_a_patch_is_what_the_manifest_says(site: Site) -> None:
    push_step(site, 0)
    push_step(site, 1)
    (patch,) = manifest_of(site, "1").manifest.patches
    made = open_artifact(site.store, patch.artifact, site.keyring).manifest
    index = site.store.get_index(made.index)
    stored = {ref.digest: len(site.store.read_stored(ref.digest)) for ref in index.entries[0].refs()}
    assert patch.download_bytes == sum(stored.values()) + len(encode_index(index)[1])
    assert len(stored) == made.chunks


def test_where_only_the_head_changed_chunks_are_as_good_and_no_patch_is_made(site: Site) -> None:
    site.push(version="1", head=1)
    result = site.push(version="2", head=2)
    (shipment,) = result.shipments
    assert shipment.way == "chunks" or shipment.bytes <= 0.9 * shipment.chunk_bytes
    assert shipment.bytes <= shipment.chunk_bytes
    small = site.push(version="3", head=2, min_accuracy=0.1)
    assert (small.shipments[0].way, small.shipments[0].bytes) == ("chunks", 0)
    bases = {patch.base for patch in manifest_of(site, "3").manifest.patches}
    assert manifest_of(site, "2").id not in bases


def test_a_repeated_push_changes_nothing_and_a_first_one_has_nothing_to_compare(site: Site) -> None:
    assert push_step(site, 0).shipments == ()
    first = push_step(site, 1)
    again = push_step(site, 1, PatchRules(versions=0))
    assert again.repeated
    assert again.artifact == first.artifact
    assert [line.version for line in list_models(site.store)] == ["0", "1"], "a patch is no version"


def test_without_patches_the_manifest_is_what_it_always_was(site: Site) -> None:
    push_step(site, 0)
    result = push_step(site, 1, PatchRules(versions=0))
    assert result.shipments == ()
    assert manifest_of(site, "1").manifest.format == 1


@pytest.mark.parametrize(
    ("rules", "note"), [(PatchRules(seconds=0), "longer than 0 s"), (PatchRules(max_bytes=1000), "too large")]
)
def test_a_limit_that_is_reached_leaves_the_chunks(site: Site, rules: PatchRules, note: str) -> None:
    push_step(site, 0)
    (shipment,) = push_step(site, 1, rules).shipments
    assert shipment.way == "chunks"
    assert note in shipment.note
    assert not manifest_of(site, "1").manifest.patches


def test_an_older_version_that_is_damaged_only_costs_its_patch(site: Site) -> None:
    push_step(site, 0)
    for pack in (site.folder / "registry" / "packs").iterdir():
        data = bytearray(pack.read_bytes())
        data[len(data) // 2] ^= 1
        pack.write_bytes(data)
    (shipment,) = push_step(site, 1).shipments
    assert shipment.way == "chunks"
    assert "damaged" in shipment.note
    assert not manifest_of(site, "1").manifest.patches


def test_a_patch_that_does_not_make_the_version_is_not_published(site: Site) -> None:
    push_step(site, 0)
    folder = site.folder / "step-1"

    def somebody_writes(_: int) -> None:
        other, _ = drifting(site.folder / "other", 2)
        (folder / "model.onnx").write_bytes(other.read_bytes())

    (shipment,) = push_step(site, 1, PatchRules(told=somebody_writes)).shipments
    assert shipment.way == "chunks"
    assert "does not make this version" in shipment.note
    assert not manifest_of(site, "1").manifest.patches


class _FullAfter(DirectoryRemote):
    """A registry that takes only so many objects, until it is told otherwise."""

    room = 1000

    def write_new(self, key: str, data: bytes) -> bool:
        if self.room <= 0:
            raise RemoteUnavailableError("the registry is full")
        self.room -= 1
        return super().write_new(key, data)


def test_a_push_that_was_interrupted_anywhere_is_finished_by_repeating_it(site: Site) -> None:
    push_step(site, 0)
    whole = push_step(replace(site, store=_copy(site, "whole")), 1)
    room = 0
    while True:
        remote = _FullAfter(str(site.folder / "registry"))
        remote.room = room
        try:
            result = push_step(replace(site, store=PackStore(remote)), 1)
            break
        except RemoteUnavailableError:
            assert site.store.read_ref("models/digits/1") is None
            room += 1
    assert room >= 1
    assert result.artifact == whole.artifact
    assert manifest_of(site, "1").manifest.patches


def _copy(site: Site, name: str) -> PackStore:
    shutil.copytree(site.folder / "registry", site.folder / name)
    return PackStore(DirectoryRemote(str(site.folder / name)))


def test_a_version_of_other_type_still_arrives(site: Site) -> None:
    make_model(site.folder / "unused")
    push_step(site, 0)
    (shipment,) = push_step(site, 1, kind=np.float32).shipments
    assert shipment.bytes <= shipment.chunk_bytes
