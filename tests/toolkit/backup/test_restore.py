"""Restores: an empty machine gets everything, an older state never takes the place of a newer one by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contracts.remote import BreakingRemote, MemoryRemote
from tests.toolkit.registry.making import Site, make_site
from toolkit.backup.facts import decode_facts
from toolkit.backup.gather_broker import file_of, gather_broker, is_saved, topic_of
from toolkit.backup.gather_files import gather_files, gather_keys
from toolkit.backup.gather_registry import gather_registry
from toolkit.backup.part import Part, known
from toolkit.backup.plan import Action, Targets, plan_restore
from toolkit.backup.restore import Restored, restore
from toolkit.backup.shelf import Saved, open_saved
from toolkit.backup.take import take
from toolkit.errors import GateRefusedError, IntegrityError, RemoteUnavailableError, UsageError
from toolkit.registry.list import list_models
from toolkit.sync.key_file import make_key_file
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.ref import Ref
from toolkit.sync.remotes.remote import Remote
from toolkit.wire.course import Course
from toolkit.wire.desired import Desired
from toolkit.wire.digest import digest_of
from toolkit.wire.document import encode_json
from toolkit.wire.entry import Entry
from toolkit.wire.index import Index, file_entry
from toolkit.wire.signature import seal
from toolkit.wire.topics import Topics

TOPICS = Topics("north")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = make_site(tmp_path / "site")
    made.push(version="1")
    return made


@pytest.fixture
def shelf() -> MemoryRemote:
    return MemoryRemote()


def save(shelf: Remote, *parts: Part) -> Saved:
    return take(PackStore(shelf), "north", parts, registry="file:///registry", made_with="1").saved


def bring_back(saved: Saved, targets: Targets, **options: object) -> Restored:
    return restore(plan_restore(saved, targets), targets, **options)


def test_an_empty_machine_gets_everything_and_a_second_time_nothing(
    site: Site, shelf: MemoryRemote, tmp_path: Path
) -> None:
    (tmp_path / "tiers.yaml").write_text("version: 1\n")
    saved = save(
        shelf,
        gather_files([tmp_path / "tiers.yaml"]),
        gather_registry(site.store.remote),
        Part("storages", [known("cold-1/refs/routes/archive/head", b"{}")]),
    )
    registry = MemoryRemote()
    targets = Targets(tmp_path / "new", registry)
    done = bring_back(saved, targets)
    assert (tmp_path / "new/tiers.yaml").read_text() == "version: 1\n"
    assert (tmp_path / "new/storages/cold-1/refs/routes/archive/head").read_bytes() == b"{}"
    assert list_models(PackStore(registry), keyring=site.keyring) == list_models(
        site.store, keyring=site.keyring
    )
    assert len(done.written) == len(saved.entries)
    again = plan_restore(saved, targets)
    assert {step.action for step in again.steps} == {Action.SAME}
    assert restore(again, targets).written == ()


def test_a_plan_changes_nothing(site: Site, shelf: MemoryRemote, tmp_path: Path) -> None:
    saved = save(shelf, gather_registry(site.store.remote), Part("files", [known("tiers.yaml", b"x")]))
    registry = MemoryRemote()
    plan = plan_restore(saved, Targets(tmp_path / "new", registry))
    assert len(plan.of(Action.WRITE)) == len(saved.entries)
    assert registry.objects == {}
    assert not (tmp_path / "new").exists()


def test_a_restore_that_is_killed_anywhere_goes_on(site: Site, shelf: MemoryRemote, tmp_path: Path) -> None:
    site.push(version="2", head=3)
    saved = save(shelf, gather_registry(site.store.remote))
    registry, number = MemoryRemote(), 0
    while True:
        number += 1
        targets = Targets(tmp_path / "new", BreakingRemote(registry, breaks_at=number))
        try:
            bring_back(saved, targets)
        except RemoteUnavailableError:
            # Whatever is named by now is whole.
            assert not [model.problem for model in list_models(PackStore(registry)) if model.problem]
            registry.objects = {} if number % 2 else registry.objects
            continue
        break
    assert number > 3
    assert list_models(PackStore(registry)) == list_models(site.store)


def test_nothing_is_written_when_the_backup_is_damaged(
    site: Site, shelf: MemoryRemote, tmp_path: Path
) -> None:
    saved = save(shelf, Part("files", [known("a", b"first")]), gather_registry(site.store.remote))
    targets = Targets(tmp_path / "new", MemoryRemote())
    plan = plan_restore(saved, targets)
    pack = max(shelf.objects, key=lambda key: len(shelf.objects[key]))  # the file lies in another one
    for position in range(0, len(shelf.objects[pack]) // 2, 500):
        data = bytearray(shelf.objects[pack])
        data[position] ^= 1
        shelf.objects[pack] = bytes(data)
    with pytest.raises(IntegrityError):
        restore(plan, targets)
    assert not (tmp_path / "new").exists()
    assert isinstance(targets.registry, MemoryRemote)
    assert targets.registry.objects == {}


def test_a_file_that_differs_is_refused_unless_somebody_says_what(
    shelf: MemoryRemote, tmp_path: Path
) -> None:
    saved = save(shelf, Part("files", [known("tiers.yaml", b"old"), known("tiers.lock", b"{}")]))
    targets = Targets(tmp_path)
    (tmp_path / "tiers.yaml").write_bytes(b"edited since")
    with pytest.raises(GateRefusedError, match=r"tiers\.yaml: differs there \(other content\)") as caught:
        bring_back(saved, targets)
    assert "--when-there keep" in caught.value.hint
    assert not (tmp_path / "tiers.lock").exists()
    done = bring_back(saved, targets, when_there="keep")
    assert [step.name for step in done.kept] == ["tiers.yaml"]
    assert (tmp_path / "tiers.yaml").read_bytes() == b"edited since"
    assert (tmp_path / "tiers.lock").read_bytes() == b"{}"
    bring_back(saved, targets, when_there="replace")
    assert (tmp_path / "tiers.yaml").read_bytes() == b"old"


def test_nothing_is_written_through_a_link_or_over_a_folder(shelf: MemoryRemote, tmp_path: Path) -> None:
    saved = save(shelf, Part("files", [known("tiers.yaml", b"x"), known("tiers.lock", b"x")]))
    (tmp_path / "outside").write_bytes(b"not ours")
    (tmp_path / "new").mkdir()
    (tmp_path / "new/tiers.yaml").symlink_to(tmp_path / "outside")
    (tmp_path / "new/tiers.lock").mkdir()
    targets = Targets(tmp_path / "new")
    assert {step.action for step in plan_restore(saved, targets).steps} == {Action.DIFFERS}
    with pytest.raises(UsageError, match="is a folder"):
        bring_back(saved, targets, when_there="replace")
    (tmp_path / "new/tiers.lock").rmdir()
    bring_back(saved, targets, when_there="replace")
    assert (tmp_path / "outside").read_bytes() == b"not ours"
    assert (tmp_path / "new/tiers.yaml").read_bytes() == b"x"


def test_a_ref_that_went_on_is_newer(site: Site, shelf: MemoryRemote, tmp_path: Path) -> None:
    index = site.store.read_ref("models/digits/1")
    assert index is not None
    manifest = site.store.get_sealed(index.digest)
    assert manifest
    saved = save(shelf, gather_registry(site.store.remote))
    target = MemoryRemote()
    bring_back(saved, Targets(tmp_path, target))
    # The same name, pushed anew with a higher counter elsewhere.
    other = make_site(tmp_path / "other")
    for version in ("0", "1"):
        other.push(version=version, head=5)
    for found in other.store.remote.list():
        target.write(found.key, other.store.remote.read(found.key))
    plan = plan_restore(saved, Targets(tmp_path, target))
    (step,) = plan.of(Action.NEWER)
    assert step.name == "refs/models/digits/1"
    with pytest.raises(GateRefusedError, match="newer there"):
        restore(plan, Targets(tmp_path, target))
    assert PackStore(target).read_ref("models/digits/1") != index
    restore(plan, Targets(tmp_path, target), when_there="replace")
    assert PackStore(target).read_ref("models/digits/1") == index


def test_a_state_of_a_route_is_ordered_by_its_sequence_and_not_by_time(
    shelf: MemoryRemote, tmp_path: Path
) -> None:
    store = PackStore(MemoryRemote())
    digest = store.put_index(Index())
    store.write_ref("routes/a/head", Ref(kind="index", digest=digest, sequence=5, written_ms=1))
    saved = save(shelf, gather_registry(store.remote))
    for sequence, action in ((4, Action.DIFFERS), (5, Action.SAME), (6, Action.NEWER)):
        store.write_ref("routes/a/head", Ref(kind="index", digest=digest, sequence=sequence, written_ms=9))
        steps = plan_restore(saved, Targets(tmp_path, store.remote)).steps
        assert {step.name: step.action for step in steps}["refs/routes/a/head"] is action


def test_wrapped_keys_come_back_for_their_owner_only(shelf: MemoryRemote, tmp_path: Path) -> None:
    make_key_file(tmp_path / "archive.key")
    wrap = make_key_file(tmp_path / "wrap.key")
    saved = save(shelf, gather_keys([tmp_path / "archive.key"], wrap))
    left_out = plan_restore(saved, Targets(tmp_path / "new"))
    assert [step.action for step in left_out.steps] == [Action.LEAVE]
    targets = Targets(tmp_path / "new", with_keys=True)
    bring_back(saved, targets, unwrap=wrap)
    assert (tmp_path / "new/archive.key").read_bytes() == (tmp_path / "archive.key").read_bytes()
    assert (tmp_path / "new/archive.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(GateRefusedError, match="a key is there already"):
        bring_back(saved, targets, unwrap=wrap)
    with pytest.raises(IntegrityError):
        bring_back(
            saved, Targets(tmp_path / "third", with_keys=True), unwrap=make_key_file(tmp_path / "x.key")
        )
    assert not (tmp_path / "third").exists()


# ---------------------------------------------------------------- what a broker retains
def desired(site: Site, seq: int) -> bytes:
    return seal(encode_json(Desired(device="endo-01", seq=seq, fence=1)), "desired", site.key)


def course(site: Site, number: int, fence: int, seq: int) -> bytes:
    said = Course(rollout="wave", number=number, fence=fence, seq=seq, state="running")
    return seal(encode_json(said), "course", site.key)


@pytest.mark.parametrize(
    ("topic", "make", "older", "newer"),
    [
        (TOPICS.desired("endo-01"), desired, (3,), (4,)),
        (TOPICS.course("wave"), course, (1, 1, 9), (1, 2, 1)),
        (TOPICS.course("wave"), course, (1, 9, 9), (2, 1, 1)),
    ],
)
def test_a_broker_that_knows_more_keeps_it(
    site: Site,
    shelf: MemoryRemote,
    tmp_path: Path,
    topic: str,
    make: Callable[..., bytes],
    older: tuple[int, ...],
    newer: tuple[int, ...],
) -> None:
    old, new = make(site, *older), make(site, *newer)
    saved = save(shelf, gather_broker({topic: old}, TOPICS))

    def action(there: dict[str, bytes]) -> Action:
        (step,) = plan_restore(saved, Targets(tmp_path, broker=there)).steps
        return step.action

    assert action({}) is Action.WRITE
    assert action({topic: old}) is Action.SAME
    assert action({topic: new}) is Action.NEWER
    assert action({topic: b"damaged"}) is Action.WRITE
    saved = save(shelf, gather_broker({topic: new}, TOPICS))
    assert action({topic: old}) is Action.WRITE


def test_what_a_device_says_now_is_not_taken_back(shelf: MemoryRemote, tmp_path: Path) -> None:
    topic = TOPICS.state("endo-01")
    saved = save(shelf, gather_broker({topic: b"then"}, TOPICS))
    (step,) = plan_restore(saved, Targets(tmp_path, broker={topic: b"now"})).steps
    assert step.action is Action.SAME


def test_without_a_broker_its_documents_are_laid_down_as_files(shelf: MemoryRemote, tmp_path: Path) -> None:
    topics = {TOPICS.course("wave"): b"c", TOPICS.rollout("wave"): b"r"}
    saved = save(shelf, gather_broker(topics, TOPICS))
    bring_back(saved, Targets(tmp_path))
    assert (tmp_path / "broker/r@wave@c").read_bytes() == b"c"
    assert (tmp_path / "broker/r@wave").read_bytes() == b"r"


def test_the_facts_are_readable_by_people(shelf: MemoryRemote) -> None:
    saved = save(
        shelf, Part("files", [known("a", b"12345")]), Part("revisions", skipped="no cluster answers")
    )
    said = json.loads(encode_json(saved.facts))
    assert said["parts"] == [
        {"files": 1, "name": "files", "total_bytes": 5},
        {"name": "revisions", "skipped": "no cluster answers"},
    ]
    assert open_saved(PackStore(shelf)).facts == saved.facts
    assert saved.made.startswith("20")
    assert saved.made.endswith(" UTC")


@pytest.mark.parametrize(
    "changed",
    [
        {"made_ms": 10**18},
        {"made_ms": -1},
        {"parts": [{"name": "a"}, {"name": "a"}]},
        {"format": 2},
        {"x": 1},
    ],
)
def test_facts_that_cannot_be_are_refused(changed: dict[str, object]) -> None:
    said = {"format": 1, "site": "a", "made_ms": 1, "made_with": "1", "registry": "", "parts": []}
    decode_facts(json.dumps(said).encode(), what="it")
    with pytest.raises(IntegrityError, match="it "):
        decode_facts(json.dumps(said | changed).encode(), what="it")


# ---------------------------------------------------------------- what somebody else made
@pytest.mark.parametrize(
    "entry",
    [
        Entry(b"files/x", "link", 0, 0o777, 0, b"", b"/etc/passwd"),
        Entry(b"files/sub", "folder", 0, 0o755, 0),
        file_entry(b"files/\xff", ()),
    ],
)
def test_a_backup_holds_plain_files_only(shelf: MemoryRemote, entry: Entry) -> None:
    saved = save(shelf, Part("files", [known("a", b"1")]))
    facts = next(each for each in saved.store.entries(saved.ref.digest) if each.path == b"backup.json")
    entries = sorted((facts, entry), key=lambda each: each.path)
    digest = saved.store.put_index(Index(entries=tuple(entries)))
    saved.store.write_ref("backups/north/2", Ref(kind="index", digest=digest))
    with pytest.raises(IntegrityError, match="which is no file of a backup"):
        open_saved(PackStore(shelf))
    assert open_saved(PackStore(shelf), number=1).read("files/a") == b"1"


@pytest.mark.parametrize(
    "file", ["d@endo-01@dat", "d@endo-01@put", "r@+", "r@#", "a@x@m@y", "e@client", "x", "@@"]
)
def test_a_restore_writes_on_no_other_topics(shelf: MemoryRemote, tmp_path: Path, file: str) -> None:
    saved = save(shelf, Part("broker", [known(file, b"x")]))
    (step,) = plan_restore(saved, Targets(tmp_path, broker={})).steps
    assert step.action is Action.LEAVE


@pytest.mark.parametrize(
    "topic",
    [TOPICS.rollout("wave-1"), TOPICS.course("wave-1"), TOPICS.desired("endo-01"), TOPICS.state("endo-01"),
     TOPICS.manifest(digest_of(b"x")), f"{TOPICS.root}/k/lesions"],
)  # fmt: skip
def test_every_document_of_a_site_has_a_file_and_a_way_back(topic: str) -> None:
    assert is_saved(topic, TOPICS)
    assert topic_of(file_of(topic, TOPICS), TOPICS) == topic
    for other in (TOPICS.presence("endo-01"), TOPICS.request("endo-01"), "tiers/1/south/r/wave-1"):
        assert not is_saved(other, TOPICS)
