"""A bit turns in a document of each kind: verify names that document, and repair mends it from another copy.

Beside the store lie a second store of packs and a mirror that got the same; each of the two is enough to mend with.
"""

from __future__ import annotations

import os
import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.toolkit.sync.faults.stepping import HOUR_MS, ClockedRemote
from tests.toolkit.sync.trees import make_tree, photograph, storage, task_of
from toolkit.errors import IntegrityError
from toolkit.sync.collecting import PENDING, Sweep
from toolkit.sync.gc import collect
from toolkit.sync.layouts.mirror import MirrorTarget
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.other_copies import Copy, MirrorCopy, PackCopy
from toolkit.sync.ref import Ref, encode_ref
from toolkit.sync.repair import repair_mirror, repair_store
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage, SyncTask
from toolkit.sync.verify import verify_packs, verify_target
from toolkit.sync.verify_store import check_store
from toolkit.wire.document import encode_json
from toolkit.wire.manifest import Manifest, encode_manifest
from toolkit.wire.signature import seal

HERE = Storage(tier="cold", url="memory://here", layout="packs")
THERE = Storage(tier="cold", url="memory://there", layout="packs")
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.faults) for seed in range(1, 12))]


class Site:
    """One source, two stores of packs and a mirror, all equal; a model and a promise in the first store."""

    def __init__(self, root) -> None:
        self.root = root
        make_tree(root / "edge/frames", files=20)
        self.here, self.there = ClockedRemote(), ClockedRemote()
        self.remotes = {HERE.url: self.here, THERE.url: self.there}
        self.task = task_of(root, HERE, THERE, storage(root / "hot"))
        run_task(self.task, remotes=self.open)
        for remote in (self.here, self.there):
            store = PackStore(remote)
            head = store.read_ref("routes/frames/head")
            manifest = Manifest(
                kind="config", name="a", version="1", counter=1, index=head.digest,
                index_bytes=1, total_bytes=1, chunks=1,
            )  # fmt: skip
            artifact, payload = encode_manifest(manifest)
            store.put_sealed(artifact, seal(payload, "manifest", KEY))
            store.write_ref("models/a/1", Ref(kind="manifest", digest=artifact))
        check_store(PackStore(self.here), now_ms=self.here.now_ms)
        self.here.write("pending/x", encode_ref(PackStore(self.here).read_ref("routes/frames/head")))
        self.here.write("gc/sweeps/0000000001", encode_json(Sweep(began_ms=0, condemned=(), done=True)))
        collect(PackStore(self.here))

    def open(self, place: Storage):
        return self.remotes[place.url]

    def copies(self, which: str) -> list[Copy]:
        packs, mirror = PackCopy(PackStore(self.there)), MirrorCopy(str(self.root / "hot"))
        return {"packs": [packs], "mirror": [mirror], "both": [mirror, packs], "none": []}[which]

    def flip(self, prefix: str, seed: int) -> str:
        draw = random.Random(seed)
        key = draw.choice(sorted(key for key in self.here.objects if key.startswith(prefix)))
        data = bytearray(self.here.objects[key])
        # Of JSON the first bit, which is no JSON any more: another time in a Ref is no damage.
        at = 0 if data[:1] == b"{" else draw.randrange(len(data))
        data[at] ^= 0x80 if at == 0 else 1 << draw.randrange(8)
        self.here.objects[key] = bytes(data)
        return key

    def restored(self, name: str):
        back = storage(self.root / name)
        task = SyncTask(route="back", source=HERE, targets=(back,), path="frames")
        result = run_task(task, remotes=self.open)
        assert result.exit_code == 0, result.targets
        return photograph(self.root / name / "frames")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Site(tmp_path_factory.mktemp("site"))


@pytest.fixture
def site(made):
    """The same site for each test, put back afterwards: it takes a while to make."""
    objects = dict(made.here.objects)
    now = made.here.now_ms
    yield made
    made.here.objects, made.here.now_ms = objects, now


KINDS = (
    "packs/",
    "indexes/",
    "manifests/",
    "refs/models/",
    "refs/routes/frames/head",
    "refs/routes/frames/at/",
)
NOTES = ("gc/marks", "gc/sweeps/", PENDING)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_document_is_named_and_mended(site, kind, seed):
    before = dict(site.here.objects)
    key = site.flip(kind, seed)
    if site.here.objects[key] == before[key]:
        pytest.fail("nothing was flipped")
    assert key in {damage.what for damage in verify_packs(PackStore(site.here))}
    done = repair_store(PackStore(site.here), site.copies("packs"))
    assert done.left == []
    assert any(key in each for each in done.mended)
    assert verify_packs(PackStore(site.here)) == []
    assert site.restored(f"back-{kind.strip('/').replace('/', '-')}-{seed}") == photograph(
        site.root / "edge/frames"
    )
    again = repair_store(PackStore(site.here), site.copies("packs"))
    assert (again.mended, again.left) == ([], [])


@pytest.mark.parametrize("kind", NOTES)
def test_a_note_is_named_and_goes_when_nobody_can_lean_on_it(site, kind):
    key = site.flip(kind, 1)
    assert key in {damage.what for damage in verify_packs(PackStore(site.here))}
    if kind != "gc/marks":
        assert any(key in left for left in repair_store(PackStore(site.here), []).left)
        assert key in site.here.objects
        site.here.now_ms += 8 * 24 * HOUR_MS
    done = repair_store(PackStore(site.here), [])
    assert (key in done.mended, done.left) == (True, [])
    assert verify_packs(PackStore(site.here)) == []


def test_who_writes_does_not_count_on_a_store_whose_sweeps_cannot_be_read(site):
    site.flip("gc/sweeps/", 1)
    (site.root / "edge/frames/new").write_bytes(b"new" * 999)
    try:
        here = run_task(site.task, remotes=site.open).targets[0]
    finally:
        (site.root / "edge/frames/new").unlink()
        run_task(site.task, remotes=site.open)
    assert (here.exit_code, "gc/sweeps/" in here.error) == (6, True)


@pytest.mark.parametrize("kind", ["packs/", "indexes/"])
@pytest.mark.parametrize("copies", ["mirror", "both"])
def test_a_mirror_is_enough_to_mend_packs(site, kind, copies):
    site.flip(kind, 3)
    done = repair_store(PackStore(site.here), site.copies(copies))
    assert done.left == []
    assert verify_packs(PackStore(site.here)) == []


def test_without_another_copy_what_is_whole_is_saved_and_the_damaged_pack_stays(site):
    (key,) = (key for key in site.here.objects if key.startswith("packs/"))
    data = bytearray(site.here.objects[key])
    data[100] ^= 1
    site.here.objects[key] = bytes(data)
    done = repair_store(PackStore(site.here), [])
    assert key in site.here.objects
    assert done.exit_code == 6
    assert "1 chunks that no copy has whole" in done.left[0]
    assert "it stays, because 1 needed chunks are nowhere else" in done.left[1]
    assert len([each for each in site.here.objects if each.startswith("packs/")]) == 2
    # And when a copy turns up, the rest comes from there.
    assert repair_store(PackStore(site.here), site.copies("packs")).left == []
    assert key not in site.here.objects
    assert verify_packs(PackStore(site.here)) == []


def test_a_copy_that_has_rotted_too_is_not_believed(site):
    (key,) = (key for key in site.here.objects if key.startswith("packs/"))
    whole = site.there.objects[key]
    for remote in (site.here, site.there):
        data = bytearray(whole)
        data[100] ^= 1
        remote.objects[key] = bytes(data)
    try:
        assert repair_store(PackStore(site.here), site.copies("packs")).exit_code == 6
    finally:
        site.there.objects[key] = whole


def test_a_collection_refuses_a_damaged_store(site):
    for kind in ("indexes/", "manifests/", "refs/"):
        before = dict(site.here.objects)
        site.flip(kind, 2)
        with pytest.raises(IntegrityError):
            collect(PackStore(site.here))
        site.here.objects = before


def test_files_of_a_mirror_are_mended_from_packs(site):
    hot = site.task.targets[2]
    wanted = photograph(site.root / "hot/frames")
    for path in sorted((site.root / "hot/frames").rglob("*.dcm"))[:2]:
        facts, data = path.stat(), bytearray(path.read_bytes() or b"x")
        data[0] ^= 1
        path.write_bytes(data)
        os.utime(path, ns=(facts.st_mtime_ns, facts.st_mtime_ns))
    bad = len(verify_target(site.task, hot).damage)
    assert bad
    target = MirrorTarget(str(site.root / "hot"), site.task)
    try:
        done = repair_mirror(target, [PackCopy(PackStore(site.there))])
    finally:
        target.close()
    assert (len(done.mended), done.left) == (bad, [])
    assert photograph(site.root / "hot/frames") == wanted
    assert verify_target(site.task, hot).damage == ()


def test_a_share_at_a_time_reads_every_pack(tmp_path):
    remote = ClockedRemote()
    draw = random.Random(5)
    source = tmp_path / "edge/frames"
    task = task_of(tmp_path, HERE)
    for number in range(30):
        (source / str(number)).write_bytes(draw.randbytes(5000 + 400 * number))
        assert run_task(task, remotes=lambda _: remote).exit_code == 0
    bad = sorted(key for key in remote.objects if key.startswith("packs/"))[17]
    remote.objects[bad] = b"\xff" + remote.objects[bad][1:]
    named, read, rounds = [], 0, 0
    for number in range(1, 21):
        found = check_store(PackStore(remote), share=0.05, now_ms=number)
        named += [damage.what for damage in found.damage if damage.what == bad]
        read, rounds = read + found.packs, rounds + 1
        if found.full_ms:
            break
    assert (read, named.count(bad), found.full_ms) == (30, 1, 1)
    assert rounds > 10
    assert check_store(PackStore(remote), share=0.05, now_ms=99).packs < 6  # the next round
    assert check_store(PackStore(remote), now_ms=100).full_ms == 100
