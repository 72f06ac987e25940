"""The trash of a site: what lies in it and for how long, taking back, emptying; in mirrors and in packs."""

from __future__ import annotations

import errno
import os
import random

import pytest

from tests.toolkit.sync.policies.facts import DAY
from tests.toolkit.sync.policies.site import Site
from toolkit.errors import SyncError, UsageError
from toolkit.sync.folder import Folder
from toolkit.sync.gc import Rules as Collecting
from toolkit.sync.gc import collect
from toolkit.sync.layouts.packs import PackStore
from toolkit.sync.pins import documents_of
from toolkit.sync.policies.audit import read_audit
from toolkit.sync.policies.holds import hold
from toolkit.sync.policies.policy import Match, Rule
from toolkit.sync.policies.putting_back import put_back
from toolkit.sync.policies.released import released_in
from toolkit.sync.policies.shelf import open_shelf
from toolkit.sync.policies.taking import locked
from toolkit.sync.policies.trash import AT_ONCE, binned, day_of
from toolkit.sync.policies.trash_can import Wanted, empty, list_trash, restore
from toolkit.sync.remotes.directory import DirectoryRemote

EXPIRE = Rule(name="expire", action="expire", match=Match(path="scratch/**"))


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def back(site, path, *, days=0.0, policy=None, keep=0, dry_run=False, **wanted):
    return restore(
        policy or site.policy(EXPIRE),
        Wanted(path.encode(), **wanted),
        who="jane",
        now_ms=site.now(days),
        keep_until_ms=keep,
        dry_run=dry_run,
    )


def states(done):
    return [(each.path, each.tier, each.state) for each in done.rows]


def collect_cold(site):
    for _ in ("mark", "delete"):
        collect(PackStore(DirectoryRemote(str(site.root / "cold"))), Collecting(grace_seconds=0))


def test_it_is_listed_with_the_day_on_which_it_is_gone(site):
    site.write("scratch/a")
    site.write("scratch/deep/b")
    site.route("archive", "hot", "cold")
    site.run(site.policy(EXPIRE))
    today = day_of(site.now())
    listed = list_trash(site.policy(EXPIRE, trash=7))
    assert [(each.path, each.tier, each.size, each.day) for each in listed.found] == [
        (path, tier, 20_000, today) for tier in ("hot", "cold") for path in ("scratch/a", "scratch/deep/b")
    ]
    (gone,) = {each.gone_ms for each in listed.found}
    assert site.now(7) < gone <= site.now(8)
    (one,) = list_trash(site.policy(EXPIRE), below=b"scratch/deep", places=["cold"]).found
    assert (one.path, one.tier, one.held) == ("scratch/deep/b", "cold", "")
    with pytest.raises(UsageError, match="no tier or storage 'lukewarm'") as refused:
        list_trash(site.policy(EXPIRE), places=["lukewarm"])
    assert "hot" in refused.value.hint


def test_a_file_of_a_mirror_comes_back_and_again_is_harmless(site):
    file = site.write("scratch/deep/a")
    data, before = file.read_bytes(), file.stat()
    site.run(site.policy(EXPIRE))
    assert states(back(site, "scratch/deep/a", dry_run=True)) == [("scratch/deep/a", "hot", "back")]
    assert not file.exists()
    assert states(back(site, "scratch/deep/a")) == [("scratch/deep/a", "hot", "back")]
    assert (file.read_bytes(), file.stat().st_mtime_ns) == (data, before.st_mtime_ns)
    assert list((site.root / "hot/.tiers/trash").iterdir()) == []
    again = back(site, "scratch/deep/a")
    assert (states(again), again.exit_code) == ([("scratch/deep/a", "hot", "there already")], 0)
    with pytest.raises(SyncError, match="nothing of scratch/b is in the trash"):
        back(site, "scratch/b")


def test_what_is_taken_back_is_kept_for_a_while(site):
    site.write("scratch/a")
    site.write("scratch/b")
    policy = site.policy(EXPIRE)
    site.run(policy)
    back(site, "scratch", keep=site.now(7))
    site.run(policy, 6.9)
    assert site.has("hot") == ["scratch/a", "scratch/b"]
    site.run(policy, 7.1)
    assert site.has("hot") == []


def test_nothing_is_overwritten(site):
    file = site.write("scratch/a")
    site.write("scratch/b")
    site.run(site.policy(EXPIRE))
    site.write("scratch/a", b"newer")
    done = back(site, "scratch")
    assert states(done) == [("scratch/a", "hot", "stays in the trash"), ("scratch/b", "hot", "back")]
    assert (done.exit_code, file.read_bytes()) == (1, b"newer")
    assert "something else has its name" in done.rows[0].problem
    assert "tiers sync where scratch/a" in done.rows[0].cure
    assert states(back(site, "scratch/a", dry_run=True)) == [("scratch/a", "hot", "stays in the trash")]
    site.write("keep")
    (site.root / "hot/scratch/a").unlink()
    (site.root / "hot/scratch/b").unlink()
    (site.root / "hot/scratch").rmdir()
    (site.root / "hot/scratch").symlink_to("/etc")
    assert "is a link or a file" in back(site, "scratch/a").rows[0].problem


def test_of_two_of_one_day_the_last_comes_back_and_then_the_first(site):
    policy, today = site.policy(EXPIRE), day_of(site.now())
    for text in (b"first", b"second", b"third"):
        site.write("scratch/a", text)
        site.run(policy)
    assert site.trash("hot") == [f"{today}/scratch/a", f"{today}~1/scratch/a", f"{today}~2/scratch/a"]
    file = site.root / "hot/scratch/a"
    for text in (b"third", b"second", b"first"):
        assert states(back(site, "scratch/a")) == [("scratch/a", "hot", "back")]
        assert file.read_bytes() == text
        file.unlink()
    site.write("scratch/a", b"of today")
    site.run(policy)
    site.write("scratch/a", b"of later")
    site.run(policy, 1)
    back(site, "scratch/a", day=today)
    assert file.read_bytes() == b"of today"
    file.unlink()
    with pytest.raises(SyncError, match="in the trash of 2001-01-01"):
        back(site, "scratch/a", day="2001-01-01")


def test_a_route_brings_and_deletes_again_what_came_back(site):
    site.write("frames/a")
    site.write("frames/b")
    site.route("frames", "hot", "warm", "frames")
    policy = site.policy(Rule(name="r", action="expire", tier="hot", match=Match(path="frames/a")))
    site.run(policy)
    assert released_in(documents_of(site.storages["hot"])).keys() == {b"frames/a"}
    back(site, "frames/a", policy=policy)
    assert released_in(documents_of(site.storages["hot"])) == {}
    (site.root / "hot/frames/a").unlink()
    site.route("frames", "hot", "warm", "frames")
    assert site.has("warm") == ["frames/b"]


def test_a_route_at_work_is_waited_for(site):
    site.write("frames/a")
    site.route("frames", "hot", "warm", "frames")
    policy = site.policy(Rule(name="r", action="expire", tier="warm", match=Match(path="frames/**")))
    site.run(policy)
    folder = Folder(str(site.root / "warm"))
    with locked(folder, ["routes/frames"]), pytest.raises(SyncError, match="frames is at work"):
        back(site, "frames/a", policy=policy)
    folder.close()
    assert states(back(site, "frames/a", policy=policy)) == [("frames/a", "warm", "back")]


def test_killed_between_the_two_names_it_is_finished_by_the_next(site):
    file = site.write("scratch/a")
    site.run(site.policy(EXPIRE))
    lies = site.root / "hot/.tiers/trash" / day_of(site.now()) / "scratch/a"
    file.parent.mkdir(exist_ok=True)
    os.link(lies, file)
    assert states(back(site, "scratch/a")) == [("scratch/a", "hot", "back")]
    assert (site.trash("hot"), file.stat().st_nlink) == ([], 1)


def test_packs_name_it_again_and_a_collection_keeps_it(site):
    for name in ("a", "b", "c"):
        site.write(f"scratch/{name}")
    site.write("keep/d")
    site.route("archive", "hot", "cold")
    cold = site.storages["cold"]
    policy = site.policy(Rule(name="r", action="expire", tier="cold", match=Match(path="scratch/**")))
    entries = open_shelf(cold).entries([b"scratch/a"])
    site.run(policy)
    assert site.has("cold") == ["keep/d"]
    assert states(back(site, "scratch/a", policy=policy, dry_run=True)) == [("scratch/a", "cold", "back")]
    assert site.has("cold") == ["keep/d"]
    assert states(back(site, "scratch/a", policy=policy)) == [("scratch/a", "cold", "back")]
    assert site.has("cold") == ["keep/d", "scratch/a"]
    assert [each.path for each in binned(open_shelf(cold))] == [b"scratch/b", b"scratch/c"]
    again = back(site, "scratch/a", policy=policy, places=("cold",))
    assert states(again) == [("scratch/a", "cold", "there already")]
    empty(policy, who="jane", now_ms=site.now(), trash_seconds=AT_ONCE)
    assert list(binned(open_shelf(cold))) == []
    collect_cold(site)
    shelf = open_shelf(cold)
    assert shelf.entries([b"scratch/a"]) == entries
    assert shelf.holds(entries[0])


def test_packs_killed_before_the_trash_let_go(site):
    site.write("scratch/a")
    site.route("archive", "hot", "cold")
    policy = site.policy(Rule(name="r", action="expire", tier="cold"))
    site.run(policy)
    store = PackStore(DirectoryRemote(str(site.root / "cold")))
    (name,) = store.list_refs("trash/")
    ref = store.read_ref(name)
    back(site, "scratch/a", policy=policy)
    store.write_ref(name, ref)  # as a kill leaves it: the state names it, and so does the trash
    assert states(back(site, "scratch/a", policy=policy)) == [("scratch/a", "cold", "back")]
    assert (store.list_refs("trash/"), site.has("cold")) == ((), ["scratch/a"])


def test_packs_refuse_what_is_taken_or_was_collected(site):
    site.write("scratch/a")
    site.write("scratch/b", random.Random(7).randbytes(300_000))
    site.route("archive", "hot", "cold")
    policy = site.policy(Rule(name="r", action="expire", tier="cold"))
    site.run(policy)
    site.write("scratch/a", b"newer")
    site.route("other", "hot", "cold", "scratch", matching="a")
    store = PackStore(DirectoryRemote(str(site.root / "cold")))
    (name,) = store.list_refs("trash/")
    ref = store.read_ref(name)
    store.delete_ref(name)  # somebody empties it, a collection runs, and a backup brings the Ref back
    store.delete_ref("routes/archive/at/0000000001")
    kept = store.get_index_bytes(ref.digest)
    collect_cold(site)
    store = PackStore(DirectoryRemote(str(site.root / "cold")))
    store.remote.write(f"indexes/{ref.digest}", kept)
    store.write_ref(name, ref)
    done = back(site, "scratch", policy=policy)
    assert [each.state for each in done.rows] == ["stays in the trash"] * 2
    assert done.rows[0].problem == "something else has its name now"
    assert "collected already" in done.rows[1].problem
    assert "chunks are gone" in done.rows[1].problem
    assert (done.exit_code, site.has("cold")) == (1, ["scratch/a"])


def test_of_several_storages_one_has_to_be_named(site):
    site.write("scratch/a")
    site.route("archive", "hot", "cold")
    site.run(site.policy(EXPIRE))
    with pytest.raises(UsageError, match=r"in the trash of file:.*hot, file:.*cold") as refused:
        back(site, "scratch/a")
    assert refused.value.hint == "tiers trash restore scratch/a --from hot"
    assert states(back(site, "scratch/a", places=("cold",))) == [("scratch/a", "cold", "back")]
    assert states(back(site, "scratch/a", places=(site.storages["hot"].url,)))[0][1] == "hot"


def test_it_is_emptied_but_for_what_is_held(site):
    for name in ("a", "b"):
        site.write(f"scratch/{name}")
    policy = site.policy(EXPIRE)
    site.run(policy)
    hold(site.storages.values(), b"scratch/b", note="case 7", now_ms=site.now())
    assert ["case 7" in each.held for each in list_trash(policy).found] == [False, True]
    options = {"who": "jane", "now_ms": site.now(), "trash_seconds": AT_ONCE}
    assert [each.path for each in empty(policy, **options, dry_run=True).found] == ["scratch/a"]
    assert len(site.trash("hot")) == 2
    young = empty(policy, **{**options, "trash_seconds": DAY / 1000})
    assert (young.found, len(site.trash("hot"))) == ([], 2)
    gone = empty(policy, **options)
    assert ([each.path for each in gone.found], gone.exit_code) == (["scratch/a"], 0)
    assert site.trash("hot") == [f"{day_of(site.now())}/scratch/b"]


def test_a_storage_that_does_not_answer_is_named_and_the_rest_is_done(site):
    site.write("scratch/a")
    site.run(site.policy(EXPIRE))
    (site.root / "cold").rmdir()
    for done in (
        list_trash(site.policy(EXPIRE)),
        back(site, "scratch/a"),
        empty(site.policy(EXPIRE), who="jane", now_ms=site.now(), trash_seconds=AT_ONCE),
    ):
        assert (len(done.errors), done.exit_code) == (1, 5)
        assert str(site.root / "cold") in done.errors[0]
    assert site.has("hot") == ["scratch/a"]


def test_every_deed_stands_in_the_audit_log(site):
    for name in ("a", "b", "c"):
        site.write(f"scratch/{name}")
    policy = site.policy(EXPIRE)
    site.run(policy)
    site.write("scratch/b", b"newer")
    back(site, "scratch/a", dry_run=True)
    back(site, "scratch/a")
    back(site, "scratch/b")
    empty(policy, who="jane", now_ms=site.now(), trash_seconds=AT_ONCE)
    lines = read_audit(documents_of(site.storages["hot"]))
    assert sorted((line.deed, line.path, line.outcome) for line in lines if line.who == "jane") == [
        ("empty-trash", "scratch/b", "done"),
        ("empty-trash", "scratch/c", "done"),
        ("restore", "scratch/a", "done"),
        ("restore", "scratch/b", "something else has its name now"),
    ]


def test_a_disk_that_does_not_take_it_says_so(site):
    site.write("scratch/a")
    site.run(site.policy(EXPIRE))
    shelf = open_shelf(site.storages["hot"])
    (each,) = binned(shelf)
    name = b"x" * 300
    with pytest.raises(SyncError, match=os.strerror(errno.ENAMETOOLONG)):
        put_back(shelf, [type(each)(each.day, name, 1)])
    shelf.close()
