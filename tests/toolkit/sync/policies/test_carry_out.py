"""Rules carried out on three folders: what moves arrives first and is read back; what goes, goes through the trash."""

from __future__ import annotations

import os

import msgspec
import pytest

from tests.toolkit.sync.policies.site import Site
from toolkit.errors import SyncError
from toolkit.sync.folder import Folder
from toolkit.sync.gc import Rules as Collecting
from toolkit.sync.gc import collect
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.pins import documents_of
from toolkit.sync.policies.audit import read_audit
from toolkit.sync.policies.carry_out import carry_out
from toolkit.sync.policies.holds import hold
from toolkit.sync.policies.plan import explain_path, make_plan
from toolkit.sync.policies.policy import Keep, Match, Place, Rule
from toolkit.sync.policies.shelf import open_shelf
from toolkit.sync.policies.taking import locked
from toolkit.sync.policies.trash import binned, day_of
from toolkit.sync.remotes.directory import DirectoryRemote
from toolkit.sync.retention import Keep as History
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage, SyncTask

DEMOTE = Rule(name="demote", action="demote", match=Match(older_than_seconds=30 * 86400))
EXPIRE = Rule(name="expire", action="expire", match=Match(path="scratch/**"))


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_data_ages_through_the_tiers(site):
    data = site.write("studies/a.dcm", age=1).read_bytes()
    site.write("studies/b.dcm", age=0)
    policy = site.policy(DEMOTE)
    outlook, done = site.run(policy)
    assert (outlook.is_idle, done.lines, done.exit_code) == (True, [], 0)
    site.run(policy, 29.5)
    assert (site.has("hot"), site.has("warm")) == (["studies/b.dcm"], ["studies/a.dcm"])
    assert (site.root / "warm/studies/a.dcm").read_bytes() == data
    site.run(policy, 29.5)
    assert (site.has("warm"), site.has("cold")) == ([], ["studies/a.dcm"])
    outlook, done = site.run(policy, 29.5)
    assert (outlook.is_idle, done.exit_code) == (True, 0)
    assert site.trash("hot") == [f"{day_of(site.now(29.5))}/studies/a.dcm"]
    site.run(site.policy(Rule(name="back", action="recall", tier="cold")), 30)
    assert (site.root / "warm/studies/a.dcm").read_bytes() == data
    assert site.has("cold") == ["studies/a.dcm"]


def test_names_that_are_no_text_links_and_pipes(site):
    name = b"\xff\n a"
    file = site.write("studies/a", age=40)
    file.rename(file.with_name(os.fsdecode(name)))
    file.with_name("link").symlink_to("/etc/passwd")
    os.mkfifo(file.with_name("pipe"))
    _, done = site.run(site.policy(DEMOTE))
    assert (done.exit_code, [line.path for line in done.lines]) == (0, ["studies/\\xff\n a"])
    assert [os.fsencode(path.name) for path in (site.root / "warm/studies").iterdir()] == [name]
    assert sorted(path.name for path in file.parent.iterdir()) == ["link", "pipe"]


def test_what_is_deleted_lies_in_the_trash_for_its_days(site):
    file = site.write("scratch/a", age=3)
    data = file.read_bytes()
    policy = site.policy(EXPIRE, trash=7)
    site.run(policy)
    assert not file.exists()
    binned_file = site.root / "hot/.tiers/trash" / day_of(site.now()) / "scratch/a"
    assert binned_file.read_bytes() == data
    site.run(policy, 6.9)
    assert binned_file.exists()
    _, done = site.run(policy, 8.1)
    assert not binned_file.exists()
    assert not (site.root / "hot/.tiers/trash" / day_of(site.now())).exists()
    assert done.count("empty-trash") == (1, len(data))


def test_packs_have_a_trash_too(site):
    site.write("scratch/a")
    site.write("keep/b")
    site.route("archive", "hot", "cold")
    (site.root / "hot/scratch/a").unlink()
    policy = site.policy(Rule(name="r", action="expire", tier="cold", match=Match(path="scratch/**")))
    _, done = site.run(policy)
    assert done.count("expire") == (1, 20_000)
    assert site.has("cold") == ["keep/b"]
    shelf = open_shelf(site.storages["cold"])
    assert [each.path for each in binned(shelf)] == [b"scratch/a"]
    site.run(policy, 8.1)
    assert list(binned(shelf)) == []


def test_nothing_moves_away_before_the_copy_was_read_back(site):
    site.write("studies/a.dcm", age=40)
    site.route("early", "hot", "warm")
    rotten = site.root / "warm/studies/a.dcm"
    data = bytearray(rotten.read_bytes())
    facts = rotten.stat()
    data[7] ^= 1
    rotten.write_bytes(data)
    os.utime(rotten, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    _, done = site.run(site.policy(Rule(name="m", action="move", tier="hot", to="warm")))
    assert site.has("hot") == ["studies/a.dcm"]
    assert done.exit_code == 1
    assert "does not hold it" in done.errors[0]


def test_as_many_copies_as_the_tier_asks_for_are_read_back(site):
    site.write("studies/a.dcm", age=40)
    policy = site.policy(Rule(name="m", action="move", tier="hot", to="warm"), hot={"copies": 2})
    _, done = site.run(policy)
    assert (site.has("hot"), site.has("warm")) == (["studies/a.dcm"], ["studies/a.dcm"])
    assert "1 verified copies elsewhere, 2 are asked for" in done.errors[0]
    site.route("archive", "warm", "cold")
    _, done = site.run(policy)
    assert (site.has("hot"), done.exit_code) == ([], 0)
    (line,) = [line for line in done.lines if line.deed == "move" and line.outcome == "done"]
    assert set(line.copies) == {site.storages["warm"].url, site.storages["cold"].url}


def test_a_copy_in_any_storage_of_the_tier_that_it_moves_to_will_do(site):
    site.write("studies/a.dcm", age=40)
    (site.root / "second").mkdir()
    second = Storage(tier="warm", url=(site.root / "second").as_uri())
    task = SyncTask(route="second", source=site.storages["hot"], targets=(second,))
    assert run_task(task).exit_code == 0
    policy = site.policy(Rule(name="m", action="move", tier="hot", to="warm"))
    hot, warm, cold = policy.tiers
    both = msgspec.structs.replace(warm, places=(*warm.places, Place(storage=second)))
    policy = msgspec.structs.replace(policy, tiers=(hot, both, cold))
    _, done = site.run(policy)
    assert (done.exit_code, site.has("hot"), site.has("warm")) == (0, [], [])
    (line,) = [line for line in done.lines if line.deed == "move"]
    assert line.copies == (second.url,)


def test_room_is_made_only_with_copies_that_were_read_back(site):
    for number in range(4):
        site.write(f"frames/f{number}", age=10 - number)
    site.route("frames", "hot", "warm", "frames")
    rotten = site.root / "warm/frames/f0"
    facts = rotten.stat()
    rotten.write_bytes(b"\0" * facts.st_size)
    os.utime(rotten, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    policy = site.policy(capacity={"hot": 90_000}, hot={"high": 0.85, "low": 0.5})
    outlook, done = site.run(policy, 1)
    (full,) = [each for each in outlook.evictions if each.leaving]
    assert [each.facts.path for each in full.leaving] == [b"frames/f0", b"frames/f1"]
    assert site.has("hot") == ["frames/f0", "frames/f2", "frames/f3"]
    assert site.trash("hot") == []
    assert done.count("evict") == (1, 20_000)
    assert done.exit_code == 1
    site.route("frames", "hot", "warm", "frames")
    assert site.has("warm") == [f"frames/f{number}" for number in range(4)]


def test_a_hold_beats_a_rule_and_one_that_comes_late_too(site):
    site.write("scratch/a")
    site.write("scratch/b")
    hold(site.storages.values(), b"scratch/a", note="jane: case 7", now_ms=site.now())
    policy = site.policy(EXPIRE)
    outlook = make_plan(policy, site.now())
    hold(site.storages.values(), b"scratch/b", note="jane: case 8", now_ms=site.now())
    done = carry_out(policy, outlook, who="test", now_ms=site.now())
    assert site.has("hot") == ["scratch/a", "scratch/b"]
    assert "held: " in done.errors[0]
    (explained,) = explain_path(policy, outlook, b"scratch/a")
    assert (explained.deed, explained.rules) == ("stay", (("expire", "matches"),))
    assert "case 7" in explained.reason


def test_what_is_held_is_not_emptied_out_of_the_trash(site):
    site.write("scratch/a")
    site.route("archive", "hot", "cold")
    policy = site.policy(EXPIRE)
    site.run(policy)
    hold(site.storages.values(), b"scratch/a", note="case 7", now_ms=site.now())
    site.run(policy, 30)
    assert site.trash("hot") == [f"{day_of(site.now())}/scratch/a"]
    assert len(list(binned(open_shelf(site.storages["cold"])))) == 1


@pytest.mark.parametrize("is_held", [False, True])
def test_garbage_is_collected_when_the_trash_is_empty_and_never_what_is_held(site, is_held):
    site.write("scratch/a")
    site.write("keep/b")
    site.route("archive", "hot", "cold")
    cold = site.storages["cold"]
    (entry,) = open_shelf(cold).entries([b"scratch/a"])
    policy = site.policy(Rule(name="r", action="expire", tier="cold", match=Match(path="scratch/**")))
    site.run(policy)
    if is_held:
        hold([cold], b"scratch", note="too late for the state, not for the trash", now_ms=site.now())
    collecting = Collecting(grace_seconds=0, keep=History(last=1), repack_below=0.9)
    for _ in ("mark", "delete"):
        collect(PackStore(DirectoryRemote(str(site.root / "cold"))), collecting)
    assert open_shelf(cold).holds(entry)
    site.run(policy, 9)
    for _ in ("mark", "delete"):
        collect(PackStore(DirectoryRemote(str(site.root / "cold"))), collecting)
    assert open_shelf(cold).holds(entry) == is_held
    (other,) = open_shelf(cold).entries([b"keep/b"])
    assert open_shelf(cold).holds(other)


def test_nothing_leaves_before_its_residency_under_a_fake_clock(site):
    site.write("scratch/a", age=100)
    policy = site.policy(EXPIRE, hot={"residency_seconds": 90 * 86400.0, "gib_month": 1024.0})
    outlook, _ = site.run(policy, 60)
    assert site.has("hot") == ["scratch/a"]
    assert outlook.waiting.objects == 1
    assert outlook.waiting.early_deletion == pytest.approx(30 / 30 * 1024 * 20_000 / 1024**3, rel=0.01)
    site.run(policy, 91)
    assert site.has("hot") == []


def test_keeping_the_best_by_the_metrics_beside_them(site):
    for step, dice in ((1, 0.7), (2, 0.9), (3, 0.8)):
        site.write(f"checkpoints/step-{step}/weights.pt", age=5 - step)
        site.write(f"checkpoints/step-{step}/metrics.json", b'{"metric": "dice", "score": %.1f}' % dice)
    keep = Keep(best=2, metric="dice", of="folders")
    rule = Rule(name="best", action="expire", match=Match(path="checkpoints/**"), keep=keep)
    site.run(site.policy(rule))
    assert {path.split("/")[1] for path in site.has("hot")} == {"step-2", "step-3"}


def test_a_second_run_does_nothing_and_two_at_once_are_refused(site):
    site.write("studies/a.dcm", age=40)
    policy = site.policy(DEMOTE)
    outlook = make_plan(policy, site.now())
    folder = Folder(str(site.root / "warm"))
    with locked(folder, ["lifecycle.rules"]), pytest.raises(SyncError, match="at work"):
        carry_out(policy, outlook, who="test", now_ms=site.now())
    folder.close()
    carry_out(policy, outlook, who="test", now_ms=site.now())
    again = carry_out(policy, outlook, who="test", now_ms=site.now())
    assert site.has("warm") == ["studies/a.dcm"]
    assert [line.outcome for line in again.lines] == ["it is not there any more"]


def test_a_run_that_was_killed_is_finished_by_the_next(site):
    site.write("frames/a", age=40)
    site.route("frames", "hot", "warm", "frames")
    site.run(site.policy(Rule(name="m", action="move", tier="warm", to="cold")))
    documents = documents_of(site.storages["warm"])
    head = documents.read_ref("routes/frames/head")
    assert list(documents.entries(head.digest)) == []
    # As a kill between the trash and the route's state leaves it: the state still names the file.
    site.route("frames", "hot", "warm", "frames", trigger="demand")
    (site.root / "warm/frames/a").unlink()
    head = documents.read_ref("routes/frames/head")
    assert [entry.path for entry in documents.entries(head.digest)] == [b"a"]
    site.run(site.policy())
    head = documents.read_ref("routes/frames/head")
    assert list(documents.entries(head.digest)) == []


def test_a_route_at_work_keeps_its_files_until_the_next_run(site):
    site.write("frames/a", age=40)
    site.route("frames", "hot", "warm", "frames")
    policy = site.policy(Rule(name="m", action="move", tier="warm", to="cold"))
    outlook = make_plan(policy, site.now())
    folder = Folder(str(site.root / "warm"))
    with locked(folder, ["routes/frames"]):
        done = carry_out(policy, outlook, who="test", now_ms=site.now())
    folder.close()
    assert "frames is at work" in done.errors[0]
    assert (site.has("warm"), site.has("cold")) == (["frames/a"], ["frames/a"])
    site.run(policy)
    assert site.has("warm") == []


def test_every_deed_stands_in_the_audit_log(site):
    site.write("studies/a.dcm", age=40)
    site.write("scratch/b")
    site.write("scratch/held")
    hold(site.storages.values(), b"scratch/held", note="case 7", now_ms=site.now())
    policy = site.policy(DEMOTE, EXPIRE)
    site.run(policy)
    site.run(policy, 40)
    lines = list(read_audit(documents_of(site.storages["hot"])))
    assert sorted((line.deed, line.path, line.rule, line.outcome) for line in lines) == [
        ("empty-trash", "scratch/b", "", "done"),
        ("empty-trash", "studies/a.dcm", "", "done"),
        ("expire", "scratch/b", "expire", "done"),
        ("keep", "", "demote", "done"),
        ("keep", "", "expire", "done"),
        ("move", "studies/a.dcm", "demote", "done"),
        ("move", "studies/a.dcm", "demote", "done"),
    ]
    first = next(read_audit(documents_of(site.storages["hot"]), day_of(site.now())))
    assert (first.who, first.size, first.source, first.target) == (
        "test",
        20_000,
        site.storages["hot"].url,
        site.storages["warm"].url,
    )


def test_a_storage_that_does_not_answer_is_said_and_the_rest_is_done(site):
    site.write("studies/a.dcm", age=40)
    site.write("scratch/b")
    policy = site.policy(Rule(name="m", action="move", to="cold", match=Match(path="studies/**")), EXPIRE)
    (site.root / "cold").rmdir()
    _, done = site.run(policy)
    assert done.exit_code == 5
    assert site.has("hot") == ["studies/a.dcm"]
    assert [line.outcome for line in done.lines if line.deed == "expire"] == ["done"]
    assert [line.deed for line in done.lines if line.outcome != "done"] == ["move", "move"]
