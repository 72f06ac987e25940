"""Stores committed as bytes: a reader that knows only docs/formats.md restores each Ref, and so does our present code.

A store that could be read once can be read for ever; these stay as they are, and new format numbers bring new ones.
Overlays and drifts are not for the second reader, which says so; overlays of indexes (STORE-4) another short reader
makes whole.
"""

from __future__ import annotations

import ast
import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from blake3 import blake3

from tests.toolkit.sync.disks import need_acls, need_holes, need_xattrs
from tests.toolkit.sync.stores.listing import as_text, listing
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage, SyncTask
from toolkit.sync.verify import verify_packs

STORES = Path(__file__).parent / "stores"
READER = STORES / "second_reader.py"
BEYOND = {"STORE-2"}
"""Stores whose trees not every file system can hold."""


@pytest.fixture(params=["STORE-1", "STORE-2"])
def store(request, tmp_path):
    """A copy, because opening a store for writing may tidy it."""
    return _copy(request.param, tmp_path)


def _copy(name: str, tmp_path: Path) -> Path:
    if name in BEYOND:
        for need in (need_xattrs, need_acls, need_holes):
            need(tmp_path)
    return Path(shutil.copytree(STORES / name, tmp_path / name))


def test_the_second_reader_is_short_and_needs_nothing_of_ours():
    text = READER.read_text()
    assert len(text.splitlines()) < 100
    modules: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            modules |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            modules.add(str(node.module))
        elif isinstance(node, ast.Name):
            assert node.id not in ("__import__", "exec", "eval"), node.lineno
    assert {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names) == {
        "blake3",
        "zstandard",
    }


def test_a_second_implementation_restores_every_ref(store, tmp_path):
    done = subprocess.run(
        [sys.executable, "-I", READER, store, tmp_path / "restored"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    refs = [path.relative_to(store / "refs") for path in (store / "refs").rglob("*") if path.is_file()]
    assert len(refs) > 3
    trees = {str(ref): listing(tmp_path / "restored" / ref) for ref in refs}
    assert as_text(trees) == (STORES / f"{store.name}.txt").read_text()


@pytest.mark.parametrize(
    "name", ["STORE-1", pytest.param("STORE-2", marks=pytest.mark.faults), "STORE-3", "STORE-4", "STORE-5"]
)
def test_our_code_restores_every_route(name, tmp_path):
    store = _copy(name, tmp_path)
    committed = (STORES / f"{store.name}.txt").read_text()
    cold = Storage(tier="cold", url=store.as_uri(), layout="packs")
    heads = sorted((store / "refs/routes").rglob("head"))
    for head in heads:
        ref, back = json.loads(head.read_bytes()), tmp_path / "back" / head.parent.name
        back.mkdir(parents=True)
        task = SyncTask(
            route="recall",
            source=cold,
            targets=(Storage(tier="warm", url=back.as_uri()),),
            path=ref["path"],
        )
        assert run_task(task).exit_code == 0
        ref_name = str(head.relative_to(store / "refs"))
        assert as_text({ref_name: listing(back / ref["path"])}) in committed
    assert len(heads) > 1


@pytest.mark.parametrize("name", ["STORE-1", "STORE-2", "STORE-3", "STORE-4", "STORE-5"])
def test_our_code_finds_no_fault_in_them(name, tmp_path):
    store = _copy(name, tmp_path)
    assert verify_packs(PackStore(DirectoryRemote(str(store)))) == []


@pytest.mark.parametrize(("name", "magic"), [("STORE-3", b"TPK2"), ("STORE-5", b"TPK3")])
def test_the_second_reader_refuses_what_it_does_not_know_and_names_the_pack(name, magic, tmp_path):
    store = _copy(name, tmp_path)
    packs = {path.name: path.read_bytes() for path in (store / "packs").iterdir()}
    others = {name for name, data in packs.items() if data[-44:-40] == magic}
    assert others
    done = subprocess.run(
        [sys.executable, "-I", READER, store, tmp_path / "restored"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert any(name in done.stderr for name in others)
    assert not list((tmp_path).glob("restored/*"))


def test_a_short_reader_makes_overlays_of_indexes_whole_for_the_second_one(tmp_path):
    store = _copy("STORE-4", tmp_path)
    done = _second_reader(store, tmp_path / "refused")
    assert done.returncode == 1, "it refuses what does not hold the bytes that it is named after"
    laid = _make_indexes_whole(store)
    assert len(laid) == 3
    done = _second_reader(store, tmp_path / "restored")
    assert done.returncode == 0, done.stderr
    refs = [path.relative_to(store / "refs") for path in (store / "refs").rglob("*") if path.is_file()]
    trees = {str(ref): listing(tmp_path / "restored" / ref) for ref in refs}
    assert as_text(trees) == (STORES / "STORE-4.txt").read_text()


def _make_indexes_whole(store: Path) -> list[str]:
    """Written from docs/formats.md with the standard library, blake3 and the second reader's MessagePack."""
    unpack = runpy.run_path(str(READER))["unpack"]
    laid: dict[str, bytes] = {}
    for path in (store / "indexes").iterdir():
        overlay, _ = unpack(path.read_bytes())
        if "bases" not in overlay:
            continue
        bases = [(store / "indexes" / raw.hex()).read_bytes() for raw in overlay["bases"]]
        assert [blake3(base).digest() for base in bases] == overlay["bases"]
        laid[path.name] = b"".join(
            run if isinstance(run, bytes) else bases[run[0]][run[1] : run[1] + run[2]]
            for run in overlay["runs"]
        )
        assert blake3(laid[path.name]).hexdigest() == path.name
    for name, data in laid.items():
        (store / "indexes" / name).write_bytes(data)
    return list(laid)


def _second_reader(store: Path, into: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", READER, store, into]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_changed_byte_is_found_by_the_second_reader_too(tmp_path):
    store = _copy("STORE-1", tmp_path)
    pack = next((store / "packs").iterdir())
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-I", READER, store, tmp_path / "restored"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert pack.name in done.stderr
