"""Backups: what goes in, what is stored again, what a kill leaves, and nothing is called saved that is not."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.contracts.remote import BreakingRemote, MemoryRemote
from tests.toolkit.registry.making import Site, make_site
from toolkit.backup.gather_files import gather_files, gather_keys, unwrap_key
from toolkit.backup.gather_registry import gather_registry
from toolkit.backup.gather_storages import storage_items
from toolkit.backup.part import Item, Part, known
from toolkit.backup.shelf import SavedRemote, numbers_of, open_saved
from toolkit.backup.take import Taken, check_all, take
from toolkit.errors import (
    GateRefusedError,
    IntegrityError,
    MissingObjectError,
    RemoteUnavailableError,
    UsageError,
)
from toolkit.registry.list import list_models
from toolkit.sync.gc import Rules, collect
from toolkit.sync.key_file import make_key_file
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.encrypted import EncryptedRemote
from toolkit.wire.cipher_keys import CipherKey, CipherKeys


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = make_site(tmp_path / "site")
    made.push(version="1")
    return made


def back_up(remote: object, *parts: Part, keep: int = 0) -> Taken:
    return take(PackStore(remote), "north", parts, registry="file:///registry", made_with="1", keep=keep)


def saved_registry(site: Site) -> Part:
    return gather_registry(site.store.remote)


def test_a_saved_registry_lists_the_same_models(site: Site) -> None:
    remote = MemoryRemote()
    back_up(remote, saved_registry(site))
    saved = open_saved(PackStore(remote))
    assert (saved.site, saved.number, saved.facts.registry) == ("north", 1, "file:///registry")
    models = list_models(PackStore(SavedRemote(saved, "registry")), keyring=site.keyring)
    assert models == list_models(site.store, keyring=site.keyring)
    assert [model.problem for model in models] == [""]
    assert check_all(saved) > 0


def test_a_saved_registry_is_not_written(site: Site) -> None:
    remote = MemoryRemote()
    back_up(remote, saved_registry(site))
    view = SavedRemote(open_saved(PackStore(remote)), "registry")
    for change in (
        lambda: view.write("refs/a", b"x"),
        lambda: view.write_new("refs/a", b"x"),
        lambda: view.delete("refs/a"),
    ):
        with pytest.raises(UsageError, match="cannot be changed"):
            change()


def test_the_second_backup_stores_what_is_new_and_reads_no_pack_again(site: Site) -> None:
    remote = MemoryRemote()
    first = back_up(remote, saved_registry(site))
    site.push(version="2", head=3)
    before = sum(map(len, remote.objects.values()))
    second = back_up(remote, saved_registry(site))
    assert second.saved.number == 2
    assert second.read_bytes < first.read_bytes * 2
    old = {path for path in first.saved.entries if path.startswith("registry/packs/")}
    assert all(second.saved.entries[path] == first.saved.entries[path] for path in old)
    assert sum(map(len, remote.objects.values())) - before < before
    assert [model.version for model in list_models(PackStore(SavedRemote(second.saved, "registry")))] == [
        "1",
        "2",
    ]
    assert [
        model.version
        for model in list_models(PackStore(SavedRemote(open_saved(PackStore(remote), number=1), "registry")))
    ] == ["1"]


def test_a_backup_of_what_did_not_change_is_the_one_that_is_there(site: Site) -> None:
    remote = MemoryRemote()
    back_up(remote, saved_registry(site))
    before = dict(remote.objects)
    again = back_up(remote, saved_registry(site))
    assert again.unchanged
    assert again.saved.number == 1
    assert remote.objects == before


def test_old_backups_go_when_so_many_are_kept() -> None:
    remote = MemoryRemote()
    for number in range(5):
        taken = back_up(remote, Part("files", [known("tiers.yaml", b"%d" % number)]), keep=2)
    assert taken.forgotten == (3,)
    assert numbers_of(PackStore(remote), "north") == [4, 5]


@pytest.mark.parametrize("after", [False, True])
def test_a_backup_that_is_killed_anywhere_goes_on_and_older_ones_stay_whole(
    site: Site, *, after: bool
) -> None:
    remote = MemoryRemote()
    back_up(remote, saved_registry(site))
    site.push(version="2", head=3)
    files = Part("files", [known("tiers.yaml", b"version: 1")])
    number = 0
    while True:
        number += 1
        breaking = BreakingRemote(remote, breaks_at=number, after=after)
        try:
            taken = back_up(breaking, saved_registry(site), files)
        except RemoteUnavailableError:
            assert check_all(open_saved(PackStore(remote), number=1)) > 0
            continue
        break
    assert number > 4
    assert taken.saved.read("files/tiers.yaml") == b"version: 1"
    assert check_all(open_saved(PackStore(remote))) > 0


def test_a_registry_that_is_not_whole_is_not_saved(site: Site) -> None:
    remote = MemoryRemote()
    part = saved_registry(site)
    lacking = Part("registry", [item for item in part.items if not item.path.startswith("packs/")])
    with pytest.raises(IntegrityError, match="Ref models/digits/1 is not whole in the backup"):
        back_up(remote, lacking)
    assert numbers_of(PackStore(remote), "north") == []


def test_what_goes_away_while_it_is_read_is_left_out_and_said() -> None:
    def gone() -> bytes:
        raise MissingObjectError("collected")

    taken = back_up(MemoryRemote(), Part("storages", [Item("cold/refs/a", gone), known("cold/refs/b", b"x")]))
    (part,) = taken.saved.facts.parts
    assert (part.files, part.skipped) == (1, "1 files went away while they were read")


def test_a_storage_gives_its_documents_and_none_of_its_data() -> None:
    remote = MemoryRemote()
    kept = ["audit/2026-11-22/1", "catalogue/ab/head", "indexes/b", "manifests/a", "reads/x", "refs/holds/case-7",
            "refs/pins/archive/job", "refs/routes/archive/head", "tags/x", "verified/store"]  # fmt: skip
    for key in (*kept, "packs/a", "gc/marks", "pending/a"):
        remote.write(key, key.encode())
    taken = back_up(MemoryRemote(), Part("storages", storage_items("cold-1", remote)))
    assert sorted(taken.saved.entries) == [f"storages/cold-1/{key}" for key in kept]
    assert taken.saved.read("storages/cold-1/refs/holds/case-7") == b"refs/holds/case-7"


def test_chunks_that_the_store_lost_are_stored_anew(site: Site) -> None:
    remote = MemoryRemote()
    back_up(remote, saved_registry(site))
    largest = max(remote.objects, key=lambda key: len(remote.objects[key]))
    assert largest.startswith("packs/")
    del remote.objects[largest]
    with pytest.raises((IntegrityError, MissingObjectError)):
        check_all(open_saved(PackStore(remote)))
    again = back_up(remote, saved_registry(site))
    assert check_all(again.saved) > 0


def test_a_bit_that_turns_in_the_store_is_found_by_a_drill(site: Site) -> None:
    remote = MemoryRemote()
    back_up(remote, saved_registry(site))
    (pack, *_) = (key for key in remote.objects if key.startswith("packs/"))
    data = bytearray(remote.objects[pack])
    data[len(data) // 3] ^= 1
    remote.objects[pack] = bytes(data)
    with pytest.raises(IntegrityError):
        check_all(open_saved(PackStore(remote)))


def test_an_encrypted_backup_reads_back(site: Site) -> None:
    keys = CipherKeys((CipherKey(bytes(32)),))
    inner = MemoryRemote()
    back_up(EncryptedRemote(inner, keys), saved_registry(site))
    assert check_all(open_saved(PackStore(EncryptedRemote(inner, keys)))) > 0
    assert not any(b"digits" in data or "digits" in key for key, data in inner.objects.items())


# ---------------------------------------------------------------- files and keys
def test_a_private_key_is_refused_whatever_its_name(tmp_path: Path) -> None:
    make_site(tmp_path / "site")
    disguised = tmp_path / "notes.txt"
    disguised.write_bytes(b"hello\n" + (tmp_path / "site/keys/site.pem").read_bytes())
    make_key_file(tmp_path / "archive.key")
    for file in (disguised, tmp_path / "archive.key"):
        with pytest.raises(GateRefusedError, match="private key") as caught:
            gather_files([file])
        assert "--wrap-with" in caught.value.hint


def test_a_wrapped_key_comes_back_with_the_other_key_only(tmp_path: Path) -> None:
    make_key_file(tmp_path / "archive.key")
    wrap, other = make_key_file(tmp_path / "wrap.key"), make_key_file(tmp_path / "other.key")
    taken = back_up(MemoryRemote(), gather_keys([tmp_path / "archive.key"], wrap))
    stored = taken.saved.read("keys/archive.key")
    assert b"tiers-key" not in stored
    assert unwrap_key(stored, "archive.key", wrap) == (tmp_path / "archive.key").read_bytes()
    with pytest.raises(IntegrityError, match=wrap.newest.key_id):
        unwrap_key(stored, "archive.key", other)
    with pytest.raises(IntegrityError):
        unwrap_key(stored, "another.key", wrap)
    with pytest.raises(GateRefusedError, match="of no use"):
        gather_keys([tmp_path / "wrap.key"], wrap)


def test_files_that_cannot_be_taken(tmp_path: Path) -> None:
    (tmp_path / "a b").write_text("x")
    (tmp_path / "x").mkdir()
    for name in ("c", "x/c"):
        (tmp_path / name).write_text("x")
    for files, says in (
        ([tmp_path / "a b"], "no file of this name"),
        ([tmp_path / "c", tmp_path / "x/c"], "the same name"),
        ([tmp_path / "none"], "cannot be read"),
    ):
        with pytest.raises(UsageError, match=says):
            gather_files(files)


# ---------------------------------------------------------------- the shelf
def test_what_is_not_there_is_said_with_what_is() -> None:
    remote = MemoryRemote()
    store = PackStore(remote)
    with pytest.raises(UsageError, match="has no backup") as caught:
        open_saved(store)
    assert "tiers backup" in caught.value.hint
    back_up(remote, Part("files", [known("a", b"1")]))
    take(store, "south", [Part("files", [known("a", b"1")])], registry="", made_with="1")
    with pytest.raises(UsageError, match="several sites") as caught:
        open_saved(store)
    assert "north, south" in caught.value.hint
    with pytest.raises(UsageError, match="no backup 7") as caught:
        open_saved(store, "north", 7)
    assert "--at takes one of: 1" in caught.value.hint


def test_a_collection_frees_what_only_forgotten_backups_had() -> None:
    keys = CipherKeys((CipherKey(bytes(32)),))
    inner = MemoryRemote()
    old, new = random.Random(1).randbytes(300_000), random.Random(2).randbytes(300_000)
    for data in (old, new):
        back_up(EncryptedRemote(inner, keys), Part("files", [known("big", data)]), keep=1)

    def packed() -> int:
        return sum(len(data) for key, data in inner.objects.items() if key.startswith("packs/"))

    before = packed()
    for _ in range(2):
        collect(PackStore(EncryptedRemote(inner, keys)), Rules(grace_seconds=0))
    assert before - packed() > 290_000
    saved = open_saved(PackStore(EncryptedRemote(inner, keys)))
    assert check_all(saved) > 0
    assert saved.read("files/big") == new
