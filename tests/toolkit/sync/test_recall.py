"""Somebody asks for archived data: it comes tier by tier from where it still is, and stays for as long as they said."""

from __future__ import annotations

import pytest

from tests.contracts.remote import BreakingRemote, MemoryRemote
from tests.toolkit.sync.trees import storage, task_of
from toolkit.errors import RemoteUnavailableError, SyncError
from toolkit.sync.pins import documents_of, pinned_paths
from toolkit.sync.policies.reads import last_reads
from toolkit.sync.recall import recall
from toolkit.sync.run import run_task
from toolkit.sync.task import Storage, SyncTask

COLD = Storage(tier="cold", url="memory://cold", layout="packs")
FOR_EVER = 2**62


@pytest.fixture
def site(tmp_path):
    """Studies of two patients in cold, nothing in warm and hot; gives the store and the demand routes."""
    remote = MemoryRemote()
    for name in ("p1/a.dcm", "p2/b.dcm"):
        file = tmp_path / "edge/studies" / name
        file.parent.mkdir(parents=True)
        file.write_bytes(name.encode() * 1000)
    run_task(task_of(tmp_path, COLD, route="archive", path="studies"), remotes=lambda _: remote)
    return remote


def hops(root, below):
    warm, hot = storage(root / "warm"), storage(root / "hot")
    return (
        SyncTask(route="recall", source=COLD, targets=(warm,), path="studies", below=below, trigger="demand"),
        SyncTask(route="stage", source=warm, targets=(hot,), path="studies", below=below, trigger="demand"),
    )


def test_it_comes_tier_by_tier_and_the_second_time_nothing_moves(tmp_path, site):
    found = recall(hops(tmp_path, "p1"), "hot", remotes=lambda _: site)
    assert [hop.route for hop in found.hops] == ["recall", "stage"]
    assert (tmp_path / "hot/studies/p1/a.dcm").read_bytes() == b"p1/a.dcm" * 1000
    assert not (tmp_path / "hot/studies/p2").exists()
    again = recall(hops(tmp_path, "p1"), "hot", remotes=lambda _: site)
    assert [(hop.route, hop.bytes_moved) for hop in again.hops] == [("recall", 0), ("stage", 0)]


def test_a_part_that_was_not_archived_yet_comes_too(tmp_path, site):
    young = tmp_path / "warm/studies/p1/young.dcm"
    young.parent.mkdir(parents=True)
    young.write_bytes(b"young")
    recall(hops(tmp_path, "p1"), "hot", remotes=lambda _: site)
    assert sorted(path.name for path in (tmp_path / "hot/studies/p1").iterdir()) == ["a.dcm", "young.dcm"]


def test_an_empty_folder_that_the_archive_left_is_not_the_data(tmp_path, site):
    (tmp_path / "warm/studies/p1").mkdir(parents=True)
    only_stage = hops(tmp_path, "p1")[1:]
    with pytest.raises(SyncError, match="holds nothing at 'studies/p1'"):
        recall(only_stage, "hot", remotes=lambda _: site)


def test_it_is_kept_where_it_was_asked_for_until_the_time_is_over(tmp_path, site):
    tasks = hops(tmp_path, "p1")
    recall(tasks, "warm", until_ms=5000, note="second opinion", remotes=lambda _: site)
    recall(hops(tmp_path, "p2"), "warm", remotes=lambda _: site)
    warm = tasks[0].targets[0]
    assert pinned_paths(warm, "studies", now_ms=4999) == {b"p1", b"p1/a.dcm"}
    assert pinned_paths(warm, "studies", now_ms=5000) == frozenset()
    assert set(last_reads(documents_of(warm))) == {b"studies/p1", b"studies/p2"}
    recall(tasks, "warm", until_ms=2000, remotes=lambda _: site)
    assert pinned_paths(warm, "studies", now_ms=4999)  # somebody was promised more


def test_the_route_that_archives_leaves_it_alone_meanwhile(tmp_path, site):
    tasks = hops(tmp_path, "p1")
    recall(tasks, "warm", until_ms=FOR_EVER, remotes=lambda _: site)
    recall(hops(tmp_path, "p2"), "warm", remotes=lambda _: site)
    archive = SyncTask(
        route="archive-2", source=tasks[0].targets[0], targets=(COLD,), path="studies", then="remove_source"
    )
    assert run_task(archive, remotes=lambda _: site).removed == 1
    assert (tmp_path / "warm/studies/p1/a.dcm").exists()
    assert not (tmp_path / "warm/studies/p2/b.dcm").exists()


def test_a_dry_run_moves_and_keeps_nothing(tmp_path, site):
    found = recall(hops(tmp_path, "p1"), "hot", until_ms=FOR_EVER, dry_run=True, remotes=lambda _: site)
    assert [(hop.route, hop.dry_run, hop.files) for hop in found.hops] == [("recall", True, 1)]
    assert found.until_ms == 0
    assert list((tmp_path / "warm").iterdir()) == []


def test_what_no_tier_holds_is_said(tmp_path, site):
    with pytest.raises(SyncError, match=r"holds nothing at 'studies/p9'|has no folder"):
        recall(hops(tmp_path, "p9"), "hot", remotes=lambda _: site)
    with pytest.raises(SyncError, match="no route on demand leads to moon"):
        recall(hops(tmp_path, "p1"), "moon", remotes=lambda _: site)


def test_a_tier_that_does_not_answer_is_not_taken_for_one_without_the_data(tmp_path, site):
    line = BreakingRemote(site, breaks_at=10**9)
    line.broken = True
    with pytest.raises(RemoteUnavailableError, match="the line is cut"):
        recall(hops(tmp_path, "p1"), "hot", remotes=lambda _: line)


def test_routes_in_a_circle_end(tmp_path):
    (tmp_path / "warm/studies").mkdir(parents=True)
    (tmp_path / "hot/studies").mkdir(parents=True)
    _, stage = hops(tmp_path, "p1")
    back = SyncTask(
        route="back", source=stage.targets[0], targets=(stage.source,), path="studies", below="p1"
    )
    with pytest.raises(SyncError):
        recall((stage, back), "hot")
